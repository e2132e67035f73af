"""From a stored run back to ordinary modules."""

from typing import Any

import torch

from epochal.core.values.errors import UserError
from epochal.core.values.spec import Spec
from epochal.experiments import catalog
from epochal.store.run import Run


def member_spec(run: Run, member: int) -> Spec:
    """The complete spec of one member.

    Raises:
        UserError: the run has no such member.
    """
    rows = run.members.filter(run.members["member"] == member)
    if rows.is_empty():
        raise UserError(
            f"member={member} is not in {run.name}, which has members 0 to {len(run.members) - 1}"
        )
    varied = {name: rows[name][0] for name in run.spec["varied"]}
    return catalog.find(run.spec["experiment"]).spec_class.model_validate({**run.spec["fields"], **varied})


def restore(run: Run, member: int, step: int | None = None) -> Any:
    """A member at a step with a snapshot (the last one by default), as a ``torch.nn.Module`` in eval mode.

    Raises:
        UserError: there is no such member or no snapshot at that step.
    """
    spec = member_spec(run, member)
    if step is None:
        if not run.snapshots:
            raise UserError(f"{run.name} has no snapshots yet")
        step = run.snapshots[-1]
    stored = run.snapshot(member, step)
    program = catalog.find(run.spec["experiment"]).build((spec.model_copy(update={"device": "cpu"}),))
    return program.network.materialise(
        torch.from_numpy(stored["params"]), torch.from_numpy(stored["buffers"])
    )
