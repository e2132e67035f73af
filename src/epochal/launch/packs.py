"""Which members train together."""

from collections.abc import Sequence

from epochal.core.values.spec import Spec


def packs_of(members: Sequence[Spec]) -> list[list[int]]:
    """Groups of member numbers with equal ``pack_key``, in the order of their first members.

    A pure function of the specs: in bits, a member is only as reproducible as its pack.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, member in enumerate(members):
        groups.setdefault(member.pack_key(), []).append(number)
    return list(groups.values())
