"""Logs that lie in several folders: one run is one member."""

from collections.abc import Sequence
from dataclasses import replace

from epochal.store.foreign.log import Log


def without_copies(logs: Sequence[Log]) -> list[Log]:
    """The logs without those that hold the same table and fields as an earlier one; the first says how many.

    Two runs with one condition never log the same numbers, clocks included; a copy would count twice in every
    median.
    """
    kept: list[Log] = []
    copies: list[Log] = []
    by_shape: dict[tuple[object, ...], list[Log]] = {}
    for log in logs:
        alike = by_shape.setdefault((log.frame.shape, tuple(log.frame.columns)), [])
        is_copy = any(log.fields == other.fields and log.frame.equals(other.frame) for other in alike)
        if is_copy:
            copies.append(log)
        else:
            alike.append(log)
            kept.append(log)
    if copies:
        words = "one log is a copy" if len(copies) == 1 else f"{len(copies)} logs are copies"
        note = f"{words} of others and left out, such as {copies[0].path}"
        kept[0] = replace(kept[0], notes=(*kept[0].notes, note))
    return kept
