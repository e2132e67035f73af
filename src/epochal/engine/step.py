"""One update of all members: surrogate, one backward, transform, freeze what is not finite."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.precision import wide
from epochal.core.tensors.rule import Pass, Surrogates, gradient_of
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
        exact = wide(program.device)
        self._columns = {name: value[:, None].to(exact) for name, value in program.fields.items()}
        members = program.num_members
        # The parts of a pack that share a forward and backward pass: all of it, or each member alone.
        self._parts = (
            [slice(0, members)] if program.executor == "vmap" else [slice(m, m + 1) for m in range(members)]
        )
        together = members if program.executor == "vmap" else 1
        self._batches = for_members(self._batch, together)
        self._surrogates = for_members(self._surrogate, together)
        if program.is_compiled:
            self._surrogates = torch.compile(self._surrogates, fullgraph=True)

    def update(self, population: Population) -> None:
        """From ``population.step`` to the next step."""
        program, step = self._program, population.step
        key = random.key(program.fields["seed"], "step", step)
        buffers_before = population.buffers.clone()  # a training pass updates them in place
        found = self._gradient(population, key)
        population.objective = found.state
        with torch.no_grad():
            context = Context(
                flat=population.flat,
                initial=population.initial,
                layout=program.network.layout,
                fields=self._columns,
                learning_rate=program.learning_rate(self._columns, step),
                key=key,
                step=step - population.optimizer_start,
            )
            delta, population.optimizer = program.transform.update(
                found.gradient, population.optimizer, context
            )
            _freeze(population, found.losses, delta, buffers_before)
            population.flat.add_(delta)
        population.step += 1

    def _gradient(self, population: Population, key: Int64[Tensor, " M"]) -> Pass:
        indices = self._order.indices(population.step)
        passes = [
            gradient_of(
                self._program.rule,
                self._surrogates_of(part, population, indices, key),
                population.flat[part],
                _part(self._columns, part),
                key[part],
            )
            for part in self._parts
        ]
        if len(passes) == 1:
            return passes[0]
        gradients, losses, states = zip(*passes, strict=True)
        state = {name: torch.cat([one[name] for one in states]) for name in states[0]}
        return Pass(torch.cat(gradients), torch.cat(losses), state)

    def _surrogates_of(
        self, part: slice, population: Population, indices: Int64[Tensor, "M B"], key: Int64[Tensor, " M"]
    ) -> Surrogates:
        network = self._program.network
        fields = _part(self._program.fields, part)
        batch = self._batches(indices[part], fields, random.fold(key[part], "task"))
        objective = _part(population.objective, part)
        buffers = network.buffer_layout.unflatten(population.buffers[part])

        def surrogates(flat: Float[Tensor, "m P"]) -> Any:
            params = network.layout.unflatten(flat)
            return self._surrogates(params, buffers, batch, fields, objective, key[part])

        return surrogates

    def _batch(self, index: Int64[Tensor, " B"], fields: Any, key: Int64[Tensor, ""]) -> Batch:
        return self._program.task.batch(index, fields, key, training=True)

    def _surrogate(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        batch: Any,
        fields: Any,
        state: Any,
        key: Int64[Tensor, ""],
    ) -> Any:
        program = self._program
        return program.rule.surrogate(
            program.objective, program.network, params, buffers, batch, fields, state, key
        )


def _part(values: Mapping[str, Tensor], part: slice) -> dict[str, Tensor]:
    return {name: value[part] for name, value in values.items()}


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
