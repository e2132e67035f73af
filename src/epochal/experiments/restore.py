"""From a stored run back to ordinary modules."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from epochal.core.values.errors import UserError
from epochal.core.values.executor import InProcess
from epochal.core.values.source import copy_name
from epochal.core.values.spec import Spec
from epochal.engine.program import Program
from epochal.experiments import catalog
from epochal.store.run import Run


def member_spec(run: Run, member: int) -> Spec:
    """The complete spec of one member; own code is the run's copy of it, not the file it came from.

    Raises:
        UserError: the run has no such member.
    """
    rows = run.members.filter(run.members["member"] == member)
    if rows.is_empty():
        raise UserError(
            f"member={member} is not in {run.name}, which has members 0 to {len(run.members) - 1}"
        )
    varied = {name: rows[name][0] for name in run.spec["varied"]}
    copies = {
        digest: str(run.paths.code / copy_name(path, digest))
        for digest, path in run.spec["fields"].get("code", {}).items()
    }
    fields = {**run.spec["fields"], **varied, "code": copies}
    if "adam_epsilon" not in fields and "epsilon" in fields:  # what it was called in earlier runs
        fields["adam_epsilon"] = fields.pop("epsilon")
    return catalog.find(run.spec["experiment"]).spec_class.model_validate(fields)


def program_of(run: Run, members: Sequence[int], *, executor: InProcess) -> Program:
    """The program that trains these members of a run, which share a pack."""
    specs = tuple(member_spec(run, member) for member in members)
    program: Program = catalog.find(run.spec["experiment"]).build(specs)
    return replace(program, executor=executor)


def restore(run: Run, member: int, step: int | None = None) -> Any:
    """A member at a step with a snapshot (the last one by default), as a ``torch.nn.Module`` in eval mode.

    Raises:
        UserError: there is no such member or no snapshot at that step.
    """
    spec = member_spec(run, member)
    if step is None:
        step = run.last_snapshot(member)
    stored = run.snapshot(member, step)
    program = catalog.find(run.spec["experiment"]).build((spec.model_copy(update={"device": "cpu"}),))
    return program.network.materialise(
        torch.from_numpy(stored["params"]), torch.from_numpy(stored["buffers"])
    )
