"""The state of a pack in training, all of it: what a resume state has to hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.values.outcome import Outcome
from epochal.engine.program import Program

REASONS = ("", "the loss is not finite", "the update is not finite")


@dataclass(kw_only=True)
class Population:
    """``flat [M, P]`` and ``buffers [M, Q]`` after ``step`` updates, with the optimiser's state.

    ``diverged_at`` is -1, or the step at which the member was frozen because its next update was not
    finite; ``diverged_why`` indexes ``REASONS``. ``initial`` is ``flat`` at step 0.
    """

    step: int
    flat: Float[Tensor, "M P"]
    buffers: Float[Tensor, "M Q"]
    initial: Float[Tensor, "M P"]
    optimizer: dict[str, Tensor]
    objective: dict[str, Tensor]
    diverged_at: Int64[Tensor, " M"]
    diverged_why: Int64[Tensor, " M"]

    @property
    def is_alive(self) -> Bool[Tensor, " M"]:
        return self.diverged_at < 0

    def outcomes(self, max_steps: int) -> list[Outcome]:
        """How each member stands now."""
        ended: list[Outcome] = []
        for at, why in zip(self.diverged_at.tolist(), self.diverged_why.tolist(), strict=True):
            if at >= 0:
                ended.append(Outcome(status="diverged", step=at, reason=REASONS[why]))
            else:
                status = "finished" if self.step >= max_steps else "running"
                ended.append(Outcome(status=status, step=self.step))  # type: ignore[arg-type]
        return ended

    def tensors(self) -> dict[str, Tensor]:
        """Everything but ``step`` and what :func:`initial_population` gives again, by name."""
        nested = {"optimizer": self.optimizer, "objective": self.objective}
        flat = {
            f"{group}.{name}": value for group, values in nested.items() for name, value in values.items()
        }
        own = ("flat", "buffers", "diverged_at", "diverged_why")
        return {name: getattr(self, name) for name in own} | flat

    def restored(self, step: int, tensors: Mapping[str, Tensor]) -> "Population":
        """This population at a stored step.

        Raises:
            KeyError, AssertionError: the tensors are not those of this program.
        """
        mine = self.tensors()
        given = {name: tensors[name].to(value.device) for name, value in mine.items()}
        for name, value in mine.items():
            assert given[name].shape == value.shape and given[name].dtype == value.dtype, (
                f"{name} does not fit"
            )

        def group(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)
            }

        return Population(
            step=step,
            flat=given["flat"],
            buffers=given["buffers"],
            initial=self.initial,
            optimizer=group("optimizer."),
            objective=group("objective."),
            diverged_at=given["diverged_at"],
            diverged_why=given["diverged_why"],
        )


def initial_population(program: Program) -> Population:
    """All members before any update."""
    members = program.num_members
    keys = random.key(program.fields["init_seed"], "init")
    with torch.no_grad():
        drawn = [program.network.init(keys[member], program.dtype) for member in range(members)]
    flat = torch.stack([params for params, _ in drawn])
    return Population(
        step=0,
        flat=flat,
        buffers=torch.stack([buffers for _, buffers in drawn]),
        initial=flat.clone(),
        optimizer=program.transform.init(flat),
        objective={},
        diverged_at=torch.full((members,), -1, device=program.device),
        diverged_why=torch.zeros(members, dtype=torch.int64, device=program.device),
    )
