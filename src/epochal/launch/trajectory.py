"""Snapshots of a member measured several at a time, by probes that can."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.engine.observe import split_orders
from epochal.engine.view import LiveView
from epochal.experiments.own_code import explained
from epochal.launch.stored_population import StoredPack


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a probe says of these members at a step: names to ``[M, ...]``."""

    members: Sequence[int]
    step: int
    columns: Mapping[str, NDArray[np.float64]]


def along_members(
    probe: ConfiguredProbe,
    pack: StoredPack,
    steps: Sequence[int],
    there: Set[tuple[int, int]],
) -> Iterator[Values]:
    """Member after member, of each the snapshots that are not there yet and where it had not diverged.

    Snapshots are read when the probe asks for them: no more of them are held than it takes at a time.
    """
    orders = split_orders(pack.program)
    for place, member in enumerate(pack.members):
        seen: list[int] = []

        def views(place: int = place, member: int = member, seen: list[int] = seen) -> Iterator[LiveView]:
            for step in steps:
                if (member, step) in there:
                    continue
                population, diverged = pack.at(step)
                if member not in diverged:
                    seen.append(step)
                    yield LiveView.of(pack.program, population, place, orders.of(place))

        values = probe.along(views(), with_kept=True)
        for number in range(len(steps)):
            with explained(), torch.no_grad():
                found: dict[str, Any] | None = next(values, None)
            if found is None:
                break
            columns = {name: value.cpu().double().numpy()[None] for name, value in found.items()}
            yield Values(members=[member], step=seen[number], columns=columns)
