"""Members of a pack as they stood at a snapshot."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.store.run import Run
from epochal.store.snapshots import load_snapshot


def population_at(
    run: Run, program: Program, start: Population, pack: int, members: Sequence[int], step: int
) -> tuple[Population, frozenset[int]]:
    """These members of a pack as they stood at a snapshot, and which had diverged."""
    stored = load_snapshot(run.paths.snapshots, pack, step)
    rows = [stored.members.index(member) for member in members]
    tensors = {
        name: torch.from_numpy(array[rows]).to(program.device) for name, array in stored.tensors.items()
    }
    memory, objective = (
        {name.removeprefix(of): value for name, value in tensors.items() if name.startswith(of)}
        for of in ("memory.", "objective.")
    )
    population = replace(
        start,
        step=step,
        flat=tensors["params"],
        buffers=tensors["buffers"],
        memory=memory or start.memory,
        objective=objective or start.objective,
    )
    return population, frozenset(stored.meta.get("diverged", ()))
