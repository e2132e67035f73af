"""Which column is what: by the names that people give them."""

import re
from collections.abc import Iterable, Sequence

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean

STEPS = (
    "step", "steps", "global_step", "trainer/global_step", "train/global_step", "_step", "iteration",
    "iterations", "iter", "update", "updates", "num_updates", "num_steps", "training_step", "t", "epoch",
    "epochs",
)  # fmt: skip
RUNS = (
    "seed", "random_seed", "run_seed", "run", "run_id", "run_name", "member", "trial", "replicate", "rep",
    "version", "experiment", "name",
)  # fmt: skip
METRICS, VALUES = ("metric", "tag", "variable", "key", "measure"), ("value", "values", "val", "y")
VALIDATION = r"(val|valid|validation|test|eval|dev|held_?out)"
ACCURACY = r"(acc|accuracy|top_?1|exact_match)"
ACCURACY_NAME = re.compile(rf"(^|[_/.\-]){ACCURACY}([_/.\-]?\d*)?($|[_/.\-])", re.IGNORECASE)
POSITIVE_NAME = re.compile(
    r"(^|[_/.\-])\w*(loss|norm|perplexity|ppl|penalty|nll|entropy|error|irm|mse|lr|learning_rate|sharpness)"
    r"($|[_/.\-\d])",
    re.IGNORECASE,
)
CLOCKS = re.compile(r"^_?(runtime|timestamp|wall_?time|time|relative_time)$|time_|_seconds$", re.IGNORECASE)


def is_accuracy(name: str) -> bool:
    """Whether a name says accuracy, which lies in [0, 1] or in percent."""
    return bool(ACCURACY_NAME.search(name))


def is_replicate_name(name: str) -> bool:
    return name.startswith("seed") or name.endswith("_seed")


def named(given: str, columns: Sequence[str], option: str, place: object) -> str:
    """The column that was asked for; case does not matter where it is clear.

    Raises:
        UserError: there is none; the nearest are offered.
    """
    if given in columns:
        return given
    same = [name for name in columns if name.lower() == given.lower()]
    if len(same) == 1:
        return same[0]
    raise UserError(f"--{option} {given}: {place} has no such column{did_you_mean(given, columns)}")


def guessed(known: Iterable[str], columns: Sequence[str]) -> str | None:
    """The first of the known names that is there."""
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[name] for name in known if name in lower), None)


def guessed_value(columns: Sequence[str]) -> str | None:
    """Accuracy on validation data, else any accuracy, else a loss on validation data, else any, else the only
    column."""
    for pattern in (
        rf"(^|[_/.\-]){VALIDATION}[_/.\-]?{ACCURACY}\b",
        rf"{VALIDATION}.*{ACCURACY}|{ACCURACY}.*{VALIDATION}",
        ACCURACY_NAME.pattern,
        rf"{VALIDATION}.*loss",
        r"loss",
    ):
        found = [name for name in columns if re.search(pattern, name, re.IGNORECASE)]
        if found:
            return found[0]
    return columns[0] if len(columns) == 1 else None
