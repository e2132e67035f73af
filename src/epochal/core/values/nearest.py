"""Which of the known names a misspelt one was meant to be."""

import difflib
from collections.abc import Iterable

MOST_NAMES = 12


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """``": did you mean 'weight_decay'?"``, or the first names there are when nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    if near:
        return ": did you mean " + " or ".join(repr(name) for name in near) + "?"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"; there is {', '.join(names[:MOST_NAMES])}{more}" if names else "; there is none"
