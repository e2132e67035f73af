"""How many examples stand behind an accuracy of each split, member by member."""

from collections.abc import Iterable, Mapping
from typing import Any

BY_MEMBER = "splits_by_member"
"""Key of an environment that was put together from several runs."""


def split_sentences(environment: Mapping[str, Any]) -> list[str]:
    """What the columns ``val_*`` are measured on, where it is not a validation set; else nothing."""
    if environment.get("val_source") != "test":
        return []
    return ["val_* is measured on the test images: this set has no validation split."]


def split_sizes(
    spec: Mapping[str, Any], environment: Mapping[str, Any], members: Iterable[int]
) -> dict[int, Mapping[str, int]]:
    """Member to ``{"train": 884, "val": 1325}``; members of which nothing is known are left out.

    An environment tells the sizes once where all packs agree, else once per pack.
    """
    if BY_MEMBER in environment:
        return dict(environment[BY_MEMBER])
    splits = environment.get("splits")
    if isinstance(splits, Mapping):
        return dict.fromkeys(members, splits)
    packs = spec.get("packs") or []
    return {member: sizes for sizes, pack in zip(splits or [], packs, strict=False) for member in pack}
