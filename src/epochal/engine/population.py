"""The state of a pack in training, all of it: what a resume state has to hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.objective import initial_state
from epochal.core.tensors.precision import wide
from epochal.core.tensors.rule import has_memory, initial_memory, is_learning
from epochal.core.values.outcome import Outcome
from epochal.engine.program import Program

REASONS = ("", "the loss is not finite", "the update is not finite")


@dataclass(kw_only=True)
class Population:
    """``flat [M, P]`` and ``buffers [M, Q]`` after ``step`` updates, with the optimiser's state.

    ``rows`` are the members' places in their pack: those that stopped early have left. ``stopped_at`` has an
    entry per place of the pack, -1 or the step of leaving. ``diverged_at`` is -1, or the step at which the
    member was frozen because its next update was not finite; ``diverged_why`` indexes ``REASONS``.
    ``stop_best`` and ``stop_waited`` belong to early stopping. ``initial`` is ``flat`` at step 0,
    ``optimizer_start`` the step at which the optimiser's state was fresh. ``objective`` is what the
    objective keeps between updates, nothing for most. ``memory`` is the rule's;
    where it does not learn it is drawn again, not stored (``keeps_memory``).
    """

    step: int
    flat: Float[Tensor, "M P"]
    buffers: Float[Tensor, "M Q"]
    initial: Float[Tensor, "M P"]
    optimizer: dict[str, Tensor]
    objective: dict[str, Tensor]
    diverged_at: Int64[Tensor, " M"]
    diverged_why: Int64[Tensor, " M"]
    stop_best: Float[Tensor, " M"]
    stop_waited: Float[Tensor, " M"]
    rows: Int64[Tensor, " M"]
    stopped_at: Int64[Tensor, " N"]
    memory: dict[str, Tensor]
    keeps_memory: bool
    optimizer_start: int = 0
    last_update: Float[Tensor, "M P"] | None = None
    """For probes only: no update depends on it and no state holds it."""

    @property
    def is_alive(self) -> Bool[Tensor, " M"]:
        return self.diverged_at < 0

    def outcomes(self, max_steps: int) -> list[Outcome]:
        """How each member of the pack stands now."""
        ended = {
            place: Outcome(status="stopped_early", step=at)
            for place, at in enumerate(self.stopped_at.tolist())
            if at >= 0
        }
        now = zip(self.rows.tolist(), self.diverged_at.tolist(), self.diverged_why.tolist(), strict=True)
        for place, at, why in now:
            if place in ended:
                continue
            if at >= 0:
                ended[place] = Outcome(status="diverged", step=at, reason=REASONS[why])
            else:
                status = "finished" if self.step >= max_steps else "running"
                ended[place] = Outcome(status=status, step=self.step)  # type: ignore[arg-type]
        return [ended[place] for place in range(len(ended))]

    def tensors(self) -> dict[str, Tensor]:
        """Everything but ``step`` and what :func:`initial_population` gives again, by name."""
        nested = {"optimizer": self.optimizer, "objective": self.objective}
        if self.keeps_memory:
            nested["memory"] = self.memory
        flat = {
            f"{group}.{name}": value for group, values in nested.items() for name, value in values.items()
        }
        return {name: getattr(self, name) for name in (*_PER_MEMBER, "stopped_at")} | flat

    def restored(self, step: int, tensors: Mapping[str, Tensor], *, optimizer_start: int = 0) -> "Population":
        """This fresh population at a stored step.

        Raises:
            KeyError, AssertionError: the tensors are not those of this program.
        """
        there = self.kept(tensors["rows"].to(self.rows.device))
        mine = there.tensors()
        given = {name: tensors[name].to(value.device) for name, value in mine.items()}
        for name, value in mine.items():
            assert given[name].shape == value.shape and given[name].dtype == value.dtype, (
                f"{name} does not fit"
            )
        own = {name: value for name, value in given.items() if "." not in name}
        return Population(
            step=step,
            initial=there.initial,
            optimizer=_group(given, "optimizer."),
            objective=_group(given, "objective."),
            memory=_group(given, "memory.") if self.keeps_memory else there.memory,
            keeps_memory=self.keeps_memory,
            optimizer_start=optimizer_start,
            **own,
        )

    def kept(self, rows: Int64[Tensor, " m"]) -> "Population":
        """The population of these of its rows; the others have left."""
        return Population(
            step=self.step,
            initial=self.initial[rows],
            optimizer={name: value[rows] for name, value in self.optimizer.items()},
            objective={name: value[rows] for name, value in self.objective.items()},
            memory={name: value[rows] for name, value in self.memory.items()},
            keeps_memory=self.keeps_memory,
            stopped_at=self.stopped_at,
            optimizer_start=self.optimizer_start,
            last_update=None if self.last_update is None else self.last_update[rows],
            **{name: getattr(self, name)[rows] for name in _PER_MEMBER},
        )


_PER_MEMBER = (
    "flat", "buffers", "diverged_at", "diverged_why", "stop_best", "stop_waited", "rows"
)  # fmt: skip


def initial_population(program: Program) -> Population:
    """All members before any update."""
    members, device = program.num_members, program.device
    keys = random.key(program.fields["init_seed"], "init")
    scales = program.fields["init_scale"].tolist() if "init_scale" in program.fields else [1.0] * members
    with torch.no_grad():
        drawn = [
            program.network.init(keys[member], program.dtype, scale) for member, scale in enumerate(scales)
        ]
    flat = torch.stack([params for params, _ in drawn])
    buffers = torch.stack([buffers for _, buffers in drawn])
    return Population(
        step=0,
        flat=flat,
        buffers=buffers,
        initial=flat.clone(),
        optimizer=program.transform.init(flat),
        objective=_objective_state(program),
        memory=_memory(program, flat, buffers),
        keeps_memory=is_learning(program.rule),
        diverged_at=torch.full((members,), -1, device=device),
        diverged_why=torch.zeros(members, dtype=torch.int64, device=device),
        stop_best=torch.full((members,), -torch.inf, dtype=wide(device), device=device),
        stop_waited=torch.zeros(members, dtype=wide(device), device=device),
        rows=torch.arange(members, device=device),
        stopped_at=torch.full((members,), -1, device=device),
    )


def _objective_state(program: Program) -> dict[str, Tensor]:
    """What the objective keeps of each member before any update."""
    with torch.no_grad():
        kept = [
            initial_state(program.objective, program.task, fields_of(program, member))
            for member in range(program.num_members)
        ]
    return {name: torch.stack([one[name] for one in kept]) for name in kept[0]}


def fields_of(program: Program, member: int) -> dict[str, Tensor]:
    """The fields of one member, as scalars."""
    return {name: values[member] for name, values in program.fields.items()}


def _memory(program: Program, flat: Float[Tensor, "M P"], buffers: Float[Tensor, "M Q"]) -> dict[str, Tensor]:
    """What the rule keeps of each member before any update."""
    if not has_memory(program.rule):
        return {}
    network, keys = program.network, random.key(program.fields["feedback_seed"], "feedback")
    kept = []
    with torch.no_grad():
        for member, key in enumerate(keys):
            fields = fields_of(program, member)
            index = program.task.index("train", fields)[:1]
            kept.append(
                initial_memory(
                    program.rule,
                    network,
                    network.layout.unflatten(flat[member]),
                    network.buffer_layout.unflatten(buffers[member]),
                    program.task.batch(index, fields, random.fold(key, "example")),
                    key,
                )
            )
    return {name: torch.stack([one[name] for one in kept]) for name in kept[0]}


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
