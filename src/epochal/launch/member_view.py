"""One member of a run at one snapshot, as a probe sees it."""

from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.view import LiveView
from epochal.experiments.restore import program_of
from epochal.launch.stored_population import StoredPack
from epochal.store.run import Run
from epochal.store.snapshots import members_at, packs_at


def view_of(run: Run, member: int | None, step: int | None, *, purpose: str) -> tuple[LiveView, int, int]:
    """The view, the member and the step; by default the first member at the last snapshot.

    Raises:
        UserError: no such member or snapshot, or the member had diverged.
    """
    if not run.snapshots:
        raise UserError(f"{run.name} has no snapshots: {purpose} needs the parameters of one")
    step = max(run.snapshots) if step is None else step
    if step not in run.snapshots:
        near = min(run.snapshots, key=lambda there: abs(there - step))
        raise UserError(f"{run.name} has no snapshot of step {step}; the nearest is {near}")
    pack, member = _pack_of(run, member, step)
    program = program_of(run, (member,), executor="vmap")
    start = initial_population(program)
    stored = StoredPack(run=run, program=program, start=start, number=pack, members=(member,))
    population, diverged = stored.at(step)
    if member in diverged:
        raise UserError(f"member {member} had diverged by step {step}: choose another with --member")
    return LiveView.of(program, population, 0), member, step


def _pack_of(run: Run, member: int | None, step: int) -> tuple[int, int]:
    for pack in packs_at(run.paths.snapshots, step):
        held = members_at(run.paths.snapshots, pack, step)
        if member is None or member in held:
            return pack, min(held) if member is None else member
    raise UserError(f"{run.name} has no member {member} at step {step}; it has {len(run.members)} members")
