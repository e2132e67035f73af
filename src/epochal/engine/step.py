"""One update of all members: surrogate, one backward, transform, freeze what is not finite."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.rule import gradient_of
from epochal.core.tensors.transform import Context
from epochal.engine.members import for_members
from epochal.engine.order import BatchOrder
from epochal.engine.population import Population
from epochal.engine.program import Program


class Stepper:
    """Advances a population of a program in place."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._order = BatchOrder(program)
        self._columns = {name: value[:, None].double() for name, value in program.fields.items()}
        self._surrogates = for_members(self._surrogate, program.num_members)

    def update(self, population: Population) -> None:
        """From ``population.step`` to the next step."""
        program, step = self._program, population.step
        key = random.key(program.fields["seed"], "step", step)
        indices = self._order.indices(step)
        buffers_before = population.buffers.clone()  # a training pass updates them in place

        def surrogates(flat: Float[Tensor, "M P"]) -> Any:
            return self._surrogates(
                program.network.layout.unflatten(flat),
                program.network.buffer_layout.unflatten(population.buffers),
                indices,
                dict(program.fields),
                population.objective,
                key,
            )

        found = gradient_of(program.rule, surrogates, population.flat, self._columns, key)
        population.objective = found.state
        with torch.no_grad():
            context = Context(
                flat=population.flat,
                initial=population.initial,
                layout=program.network.layout,
                fields=self._columns,
                learning_rate=program.learning_rate(self._columns, step),
                key=key,
                step=step,
            )
            delta, population.optimizer = program.transform.update(
                found.gradient, population.optimizer, context
            )
            _freeze(population, found.losses, delta, buffers_before)
            population.flat.add_(delta)
        population.step += 1

    def _surrogate(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        index: Tensor,
        fields: Any,
        state: Any,
        key: Tensor,
    ) -> Any:
        program = self._program
        batch = program.task.batch(index, fields, random.fold(key, "task"), training=True)
        return program.rule.surrogate(
            program.objective, program.network, params, buffers, batch, fields, state, key
        )


def _freeze(
    population: Population,
    losses: Float[Tensor, " M"],
    delta: Float[Tensor, "M P"],
    buffers_before: Float[Tensor, "M Q"],
) -> None:
    """Marks members whose loss or update is not finite; their parameters and buffers stay as they are.

    Without any branch on values where that would wait for the device.
    """
    bad_loss = ~losses.isfinite()
    bad = bad_loss | ~torch.linalg.vector_norm(delta, ord=torch.inf, dim=1).isfinite()
    new = bad & population.is_alive
    population.diverged_at = torch.where(new, population.step, population.diverged_at)
    population.diverged_why = torch.where(new, torch.where(bad_loss, 1, 2), population.diverged_why)
    alive = population.is_alive
    if delta.is_cuda or not bool(alive.all()):
        delta.masked_fill_(~alive[:, None], 0.0)
        population.buffers = torch.where(alive[:, None], population.buffers, buffers_before)
