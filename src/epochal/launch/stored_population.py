"""Members of a pack as they stood at a snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.store.run import Run
from epochal.store.snapshots import load_snapshot


@dataclass(frozen=True, kw_only=True)
class StoredPack:
    """Members of a pack: the program of these, their population at the start, and where snapshots lie."""

    run: Run
    program: Program
    start: Population
    number: int
    members: Sequence[int]

    def at(self, step: int) -> tuple[Population, frozenset[int]]:
        """The members as they stood at a snapshot, and which had diverged."""
        stored = load_snapshot(self.run.paths.snapshots, self.number, step)
        rows = [stored.members.index(member) for member in self.members]
        device = self.program.device
        tensors = {name: torch.from_numpy(array[rows]).to(device) for name, array in stored.tensors.items()}
        memory, objective = (
            {name.removeprefix(of): value for name, value in tensors.items() if name.startswith(of)}
            for of in ("memory.", "objective.")
        )
        population = replace(
            self.start,
            step=step,
            flat=tensors["params"],
            buffers=tensors["buffers"],
            memory=memory or self.start.memory,
            objective=objective or self.start.objective,
        )
        return population, frozenset(stored.meta.get("diverged", ()))
