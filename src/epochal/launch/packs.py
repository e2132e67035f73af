"""Which members train together, and how."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from epochal.core.values.executor import InProcess
from epochal.core.values.request import Request
from epochal.core.values.spec import Spec
from epochal.engine.program import Program
from epochal.experiments.catalog import Experiment


@dataclass(frozen=True, kw_only=True)
class Pack:
    """``members`` are numbers in the request; ``number`` names the pack's files."""

    number: int
    members: tuple[int, ...]
    executor: InProcess

    def halves(self, number: int) -> tuple["Pack", "Pack"]:
        """Two packs of half the members: the first keeps the number, the second gets ``number``."""
        middle = (len(self.members) + 1) // 2
        return (
            replace(self, members=self.members[:middle]),
            replace(self, members=self.members[middle:], number=number),
        )


def packs_of(members: Sequence[Spec], limit: int = 0, among: Sequence[int] | None = None) -> list[list[int]]:
    """Groups of member numbers (of all, or ``among`` these) with equal ``pack_key``, by their first members.

    Groups above ``limit`` members are cut into parts as equal as can be; 0 means no limit. A pure function
    of the specs and the limit: in bits, a member is only as reproducible as its pack.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for number in range(len(members)) if among is None else among:
        groups.setdefault(members[number].pack_key(), []).append(number)
    return [part for group in groups.values() for part in _parts(group, limit)]


def build(experiment: Experiment, request: Request, pack: Pack) -> Program:
    """The program that trains a pack.

    Raises:
        UserError: it cannot be built.
    """
    program: Program = experiment.build(tuple(request.members[number] for number in pack.members))
    return replace(program, executor=pack.executor)


def _parts(group: list[int], limit: int) -> list[list[int]]:
    count = -(-len(group) // limit) if limit else 1
    bounds = [len(group) * part // count for part in range(count + 1)]
    return [group[a:b] for a, b in itertools.pairwise(bounds)]
