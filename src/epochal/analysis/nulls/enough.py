"""How many draws a level needs."""

import math

from epochal.analysis.runs.levels import check_level
from epochal.core.values.errors import UserError


def draws_needed(alpha: float, num_tests: int = 1) -> int:
    """The fewest draws K whose smallest p, 1 / (K + 1), is at most alpha / num_tests."""
    check_level(alpha)
    if num_tests < 1:
        raise UserError(f"num_tests={num_tests}: at least 1, the number of tests that share the level")
    return math.ceil(num_tests / alpha * (1 - 1e-12)) - 1


def check_draws(draws: int, alpha: float, num_tests: int = 1) -> None:
    """Refuses a number of draws with which no result could be significant.

    Raises:
        UserError: which says how many draws are needed.
    """
    needed = draws_needed(alpha, num_tests)
    if draws < needed:
        shared = "" if num_tests == 1 else f" shared by {num_tests} tests"
        raise UserError(
            f"draws={draws} gives no p below {1 / (max(draws, 0) + 1):.2g}, but alpha={alpha:g}{shared} asks "
            f"for {alpha / num_tests:.2g}: at least {needed} draws, better {max(999, 10 * needed)}"
        )
