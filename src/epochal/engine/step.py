"""One update of all members: surrogate, one backward, transform, freeze what is not finite."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson
from epochal.core.tensors.precision import wide
from epochal.core.tensors.rule import Pass, Surrogates, gradient_of, is_learning, next_memory, surrogate_of
from epochal.core.tensors.transform import Context
from epochal.engine.ahead import Ahead, AtStep
from epochal.engine.order import BatchOrder
from epochal.engine.population import Population
from epochal.engine.program import Program


class Stepper:
    """Advances a population of a program in place."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._order = BatchOrder(program)
        self._is_learning = is_learning(program.rule)
        exact = wide(program.device)
        self._columns = {name: value[:, None].to(exact) for name, value in program.fields.items()}
        self._ahead = Ahead(program, self._columns)
        is_batched = program.executor == "vmap" and program.num_members > 1
        self._passes = _Together(program) if is_batched else _InTurn(program, self._columns)

    def update(self, population: Population) -> None:
        """From ``population.step`` to the next step."""
        program, step = self._program, population.step
        population.last_update = None  # so that its memory is free for this one's passes
        now = self._ahead.at(step)
        buffers_before = population.buffers.clone()  # a training pass updates them in place
        found = self._passes.gradient(population, self._order.indices(step), self._columns, now)
        with torch.no_grad():
            context = Context(
                flat=population.flat,
                initial=population.initial,
                layout=program.network.layout,
                fields=self._columns,
                learning_rate=now.learning_rate,
                key=now.key,
                step=step - population.optimizer_start,
            )
            delta, population.optimizer = program.transform.update(
                found.gradient, population.optimizer, context
            )
            _freeze(population, found.losses, delta, buffers_before)
            population.objective = _held(population, population.objective, found.state)
            if self._is_learning:
                memory = next_memory(program.rule, population.memory, delta, context)
                population.memory = _held(population, population.memory, memory)
            population.flat.add_(delta)
            population.last_update = delta
        population.step += 1


class _Together:
    """One forward and backward pass for all members, batched by ``vmap``."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._fields = _Stacked(program.fields)
        task, of_member, fields_of = program.task, surrogate_of(program.rule), self._fields.of_member

        def batch(index: Int64[Tensor, " B"], fields: tuple[Tensor, ...], key: Int64[Tensor, ""]) -> Batch:
            return task.batch(index, fields_of(fields), key, training=True)

        def surrogate(
            params: Any,
            buffers: Any,
            batch: Any,
            fields: tuple[Tensor, ...],
            state: Any,
            key: Int64[Tensor, ""],
            memory: Any,
        ) -> Any:
            own = fields_of(fields)
            return of_member(
                Lesson(program.objective, program.network, params, buffers, batch, own, key, state, memory)
            )

        self._batches = torch.vmap(batch, randomness="error")
        self._surrogates = _compiled(torch.vmap(surrogate, randomness="error"), program)

    def gradient(
        self,
        population: Population,
        indices: Int64[Tensor, "M B"],
        columns: dict[str, Float[Tensor, "M 1"]],
        now: AtStep,
    ) -> Pass:
        network, fields, key = self._program.network, self._fields.stacked, now.key
        batch = self._batches(indices, fields, now.batch_key)
        buffers = _following_once(population.buffers)

        def surrogates(flat: Tensor) -> Any:  # [M, P]; jaxtyping here would be evaluated at every update
            params = network.layout.unflatten(flat)
            kept = network.buffer_layout.unflatten(next(buffers))
            return self._surrogates(params, kept, batch, fields, population.objective, key, population.memory)

        return gradient_of(self._program.rule, surrogates, population.flat, columns, key)


class _Stacked:
    """Fields as a matrix per format: ``vmap`` takes as long over an argument as over an operation, and a
    member has forty fields."""

    def __init__(self, fields: Mapping[str, Tensor]) -> None:
        formats = dict.fromkeys(value.dtype for value in fields.values())
        self._names = [[name for name in fields if fields[name].dtype == dtype] for dtype in formats]
        self.stacked = tuple(torch.stack([fields[name] for name in names], 1) for names in self._names)

    def of_member(self, rows: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """From a row of each matrix to the fields by name."""
        each = zip(self._names, rows, strict=True)
        return {name: value for names, row in each for name, value in zip(names, row.unbind(), strict=True)}


class _InTurn:
    """A forward and backward pass per member: the memory of one, and bits that no neighbour decides.

    What does not change between updates is cut into members once: slicing forty fields takes as long as a
    small network's forward pass.
    """

    def __init__(self, program: Program, columns: dict[str, Float[Tensor, "M 1"]]) -> None:
        self._program = program
        members = range(program.num_members)
        self._fields = [{name: value[m] for name, value in program.fields.items()} for m in members]
        self._columns = [{name: value[m : m + 1] for name, value in columns.items()} for m in members]
        self._surrogate = _compiled(surrogate_of(program.rule), program)

    def gradient(
        self,
        population: Population,
        indices: Int64[Tensor, "M B"],
        columns: dict[str, Float[Tensor, "M 1"]],
        now: AtStep,
    ) -> Pass:
        key, batch_key = now.key, now.batch_key
        passes = [
            gradient_of(
                self._program.rule,
                self._surrogates_of(member, population, indices[member], batch_key[member], key[member]),
                population.flat[member : member + 1],
                self._columns[member],
                key[member : member + 1],
            )
            for member in range(len(key))
        ]
        if len(passes) == 1:
            return passes[0]
        gradients, losses, states = zip(*passes, strict=True)
        state = {name: torch.cat([one[name] for one in states]) for name in states[0]}
        return Pass(torch.cat(gradients), torch.cat(losses), state)

    def _surrogates_of(
        self,
        member: int,
        population: Population,
        index: Int64[Tensor, " B"],
        batch_key: Int64[Tensor, ""],
        key: Int64[Tensor, ""],
    ) -> Surrogates:
        program, fields = self._program, self._fields[member]
        batch = program.task.batch(index, fields, batch_key, training=True)
        buffers = _following_once(population.buffers[member])
        state = {name: value[member] for name, value in population.objective.items()}
        memory = {name: value[member] for name, value in population.memory.items()}

        def surrogates(flat: Tensor) -> Any:  # [1, P]
            params = program.network.layout.unflatten(flat.squeeze(0))
            kept = program.network.buffer_layout.unflatten(next(buffers))
            scalar, loss, after = self._surrogate(
                Lesson(program.objective, program.network, params, kept, batch, fields, key, state, memory)
            )
            return scalar[None], loss[None], {name: value[None] for name, value in after.items()}

        return surrogates


def _following_once(buffers: Float[Tensor, "*M Q"]) -> Iterator[Float[Tensor, "*M Q"]]:
    """For the first pass of an update the buffers, which it moves in place; for further ones copies."""
    yield buffers
    while True:
        yield buffers.clone()


def _compiled(function: Any, program: Program) -> Any:
    return torch.compile(function, fullgraph=True) if program.is_compiled else function


def _held(population: Population, before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is new of members that are alive; the others keep theirs."""
    alive = population.is_alive
    return {
        name: torch.where(alive.view(-1, *[1] * (value.ndim - 1)), value, before[name])
        for name, value in after.items()
    }


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
    bad = bad_loss | ~_is_finite(delta)
    new = bad & population.is_alive
    population.diverged_at = torch.where(new, population.step, population.diverged_at)
    population.diverged_why = torch.where(new, torch.where(bad_loss, 1, 2), population.diverged_why)
    alive = population.is_alive
    if delta.is_cuda or not bool(alive.all()):
        delta.masked_fill_(~alive[:, None], 0.0)
        population.buffers = torch.where(alive[:, None], population.buffers, buffers_before)


def _is_finite(delta: Float[Tensor, "M P"]) -> Bool[Tensor, " M"]:
    """Whether all of a member's numbers are."""
    if not delta.is_cuda and bool(delta.sum(1).isfinite().all()):  # a third of the memory that the test reads
        return torch.ones(len(delta), dtype=torch.bool, device=delta.device)
    return delta.abs().amax(1).isfinite()  # ten times as fast as the norm
