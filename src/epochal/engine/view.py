"""The view that probes get during training and afterwards."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.lesson import Lesson
from epochal.core.tensors.passage import Passage
from epochal.core.tensors.rule import credit_at_sites
from epochal.core.tensors.tap import SILENT, Tap, recording
from epochal.core.tensors.task import Fields, Split, Task
from epochal.core.values.errors import UserError
from epochal.engine.population import Population
from epochal.engine.program import Program

EVALUATION_ROWS = 8192
"""Examples per forward pass of an evaluation, all members together: bounds the memory of activations."""

SMALLEST_PIECE = 64


class LiveView:
    """One member of a program; lives inside ``vmap`` and keeps what was computed for other probes."""

    def __init__(
        self,
        program: Program,
        *,
        step: int,
        flat: Float[Tensor, " P"],
        buffers: Float[Tensor, " Q"],
        initial: Float[Tensor, " P"],
        fields: Fields,
        orders: Mapping[Split, Int64[Tensor, " N"]] = {},
        last_update: Float[Tensor, " P"] | None = None,
        memory: Mapping[str, Tensor] = {},
        objective: Mapping[str, Tensor] = {},
    ) -> None:
        self.step = step
        self.fields = fields
        self.flat = flat
        self.initial = initial
        self.memory = memory
        self._state = dict(objective)
        self._program = program
        self._moment: int | Tensor = step  # what random numbers of the loss depend on
        self._packed_buffers = buffers
        self._orders = dict(orders)
        self._last_update = last_update
        self._passage: Passage | None = None
        self._sample: Batch | None = None
        self._buffers = program.network.buffer_layout.unflatten(buffers)
        self._data: dict[Split, Batch] = {}
        self._seen: dict[Split, tuple[Tensor, Tensor]] = {}
        self._activations: dict[Split, dict[str, Tensor]] = {}

    @classmethod
    def of(
        cls,
        program: Program,
        population: Population,
        place: int,
        orders: Mapping[Split, Int64[Tensor, " N"]] = {},
    ) -> "LiveView":
        """The member at a place of a population, which has all of the program's."""
        fields, memory, objective = (
            {name: values[place] for name, values in each.items()}
            for each in (program.fields, population.memory, population.objective)
        )
        return cls(
            program, step=population.step, flat=population.flat[place], buffers=population.buffers[place],
            initial=population.initial[place], fields=fields, orders=orders, memory=memory,
            objective=objective,
        )  # fmt: skip

    @property
    def task(self) -> Task:
        return self._program.task

    @property
    def layout(self) -> Layout:
        return self._program.network.layout

    @cached_property
    def params(self) -> Mapping[str, Tensor]:
        return self.layout.unflatten(self.flat)

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        return self._buffers

    def data(self, split: Split) -> Batch:
        if split not in self._data:
            self._data[split] = self._batch(self._order(split))
        return self._data[split]

    def drawn(self, split: Split, count: int) -> Batch:
        if count >= len(self._order(split)):
            return self.data(split)
        return self.examples(split, self.drawn_places(split, count))

    def drawn_places(self, split: Split, count: int) -> Int64[Tensor, " B"]:
        order = self._order(split)
        if count >= len(order):
            return torch.arange(len(order), device=order.device)
        key = random.key(self.fields["seed"], "sample").to(order.device)
        return random.permutation(key, len(order))[:count]

    def logits(self, split: Split) -> Float[Tensor, "N *T C"]:
        return self._evaluated(split)[0]

    def targets(self, split: Split) -> Int64[Tensor, "N *T"]:
        return self._evaluated(split)[1]

    def predict(self, inputs: Tensor, tap: Tap = SILENT) -> Float[Tensor, "B *T C"]:
        return self._logits(inputs, tap)

    def activations(self, split: Split) -> Mapping[str, Float[Tensor, "N ..."]]:
        if split not in self._activations:
            sites: dict[str, list[Tensor]] = {}

            def forward(inputs: Tensor) -> Tensor:
                tap, seen = recording()
                logits = self._logits(inputs, tap)
                for site, value in seen.items():
                    sites.setdefault(site, []).append(value)
                return logits

            self._seen[split] = self._in_pieces(split, forward)
            self._activations[split] = {site: torch.cat(pieces) for site, pieces in sites.items()}
        return self._activations[split]

    def sample(self) -> Batch:
        if self._sample is None:
            self._sample = self._batch(self._order("val")[: self._program.probe_samples])
        return self._sample

    def passage(self) -> Passage:
        """Of the network that is trained, in evaluation mode: its sites are seen on its way to the logits."""
        if self._passage is None:
            self._passage = Passage(self._logits, self._objective, self.sample())
        return self._passage

    def sample_loss_at(self, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on the examples of :meth:`passage` with other parameters; differentiable."""
        return self.loss_on(self.passage().batch, flat)

    def loss_on(self, batch: Batch, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on any examples with any parameters, in evaluation mode; differentiable."""
        params = self.layout.unflatten(flat)
        return self._objective(
            lambda inputs: self._program.network(params, self._buffers, inputs, SILENT), batch
        )

    @property
    def surroundings(self) -> Mapping[str, Tensor]:
        step = torch.tensor(self.step, device=torch.as_tensor(self.fields["seed"]).device)
        return {
            "step": step,
            "buffers": self._packed_buffers,
            **{f"objective.{name}": value for name, value in self._state.items()},
        }

    def amid(self, surroundings: Mapping[str, Tensor]) -> "LiveView":
        moved = LiveView(
            self._program, step=self.step, flat=self.flat, buffers=surroundings["buffers"],
            initial=self.initial, fields=self.fields, memory=self.memory,
            objective={name: surroundings[f"objective.{name}"] for name in self._state},
        )  # fmt: skip
        moved._moment = surroundings["step"]
        moved._orders = self._orders  # the splits are the member's at every step
        return moved

    def last_update(self) -> Float[Tensor, " P"]:
        if self.step == 0:
            return torch.zeros_like(self.flat)
        if self._last_update is None:
            raise UserError("this is measured while training only: snapshots do not hold the last update")
        return self._last_update

    def _evaluated(self, split: Split) -> tuple[Float[Tensor, "N *T C"], Int64[Tensor, "N *T"]]:
        if split not in self._seen:
            self._seen[split] = self._passed(split) or self._in_pieces(
                split, lambda inputs: self._logits(inputs, SILENT)
            )
        return self._seen[split]

    def _passed(self, split: Split) -> tuple[Float[Tensor, "N *T C"], Int64[Tensor, "N *T"]] | None:
        """What the passage has of a split already: where it saw all of it, as one piece."""
        if split != "val" or self._passage is None:
            return None
        batch, pieces = self._passage.batch, self._pieces(split)
        is_all = len(pieces) == 1 and len(pieces[0]) == len(batch.targets)
        return (self._passage.logits, batch.targets) if is_all else None

    def _logits(self, inputs: Tensor, tap: Tap) -> Float[Tensor, "B *T C"]:
        return self._program.network(self.params, self._buffers, inputs, tap)

    def _in_pieces(
        self, split: Split, forward: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "N *T C"], Int64[Tensor, "N *T"]]:
        """Logits and targets of a split, a bounded number of examples at a time."""
        pieces = []
        for index in self._pieces(split):
            batch = self._batch(index)
            pieces.append((forward(batch.inputs), batch.targets))
        return torch.cat([seen for seen, _ in pieces]), torch.cat([true for _, true in pieces])

    def _order(self, split: Split) -> Int64[Tensor, " N"]:
        if split not in self._orders:
            self._orders[split] = self._program.task.index(split, self.fields)
        return self._orders[split]

    def _pieces(self, split: Split) -> Sequence[Tensor]:
        rows = max(SMALLEST_PIECE, EVALUATION_ROWS // self._program.num_members)
        pieces: Sequence[Tensor] = self._order(split).split(rows)
        return pieces

    def _batch(self, index: Int64[Tensor, " B"]) -> Batch:
        key = random.key(self.fields["seed"], "probe", self._moment)
        return self._program.task.batch(index, self.fields, key)

    def loss_gradient(self, split: Split) -> Float[Tensor, " P"]:
        """Gradient of the objective on the whole split, in evaluation mode.

        A large split goes through the network in pieces: first all logits, then the objective's slope in
        them, then each piece's backward pass from its part of that slope. No mean over pieces is assumed; an
        objective that asks for logits of other inputs than the batch's gets the split at once.
        """
        pieces = self._pieces(split)
        if len(pieces) > 1:
            error = self._error(split, pieces)
            if error is not None:
                return self._from_error(pieces, error)

        gradient: Tensor = torch.func.grad(lambda flat: self.loss_at(split, flat))(self.flat)
        return gradient

    def loss_at(self, split: Split, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on the whole split with other parameters, in evaluation mode; differentiable."""
        return self.loss_on(self.data(split), flat)

    def size(self, split: Split) -> int:
        return self._program.task.size(split)

    def examples(self, split: Split, places: Int64[Tensor, " B"]) -> Batch:
        return self._batch(self._order(split)[places])

    def credit(self, batch: Batch) -> Mapping[str, Float[Tensor, "B ..."]]:
        """What the rule tells each site, per example (:func:`epochal.core.tensors.rule.credit_at_sites`)."""
        program, key = self._program, random.key(self.fields["seed"], "probe", self._moment)
        is_passed = self._passage is not None and self._passage.batch is batch
        known = self.passage().logits if is_passed else None
        lesson = Lesson(
            program.objective, program.network, self.params, self._buffers, batch, self.fields, key,
            self._state, dict(self.memory), known,
        )  # fmt: skip
        return credit_at_sites(program.rule, lesson)

    def _error(self, split: Split, pieces: Sequence[Tensor]) -> Float[Tensor, "N C"] | None:
        """d loss / d logits; None where the loss is no function of the batch's logits alone."""
        batches = [self._batch(index)._replace(inputs=index) for index in pieces]
        whole = Batch(
            inputs=self._order(split),  # stands for the inputs, which are not made all at once
            targets=torch.cat([batch.targets for batch in batches]),
            weight=torch.cat([batch.weight for batch in batches]),
            factors={
                name: torch.cat([batch.factors[name] for batch in batches]) for name in batches[0].factors
            },
        )
        is_asked_for_others = False

        def loss(logits: Float[Tensor, "N C"]) -> Float[Tensor, ""]:
            def given(inputs: Tensor) -> Float[Tensor, "N C"]:
                nonlocal is_asked_for_others
                is_asked_for_others |= inputs is not whole.inputs
                return logits

            return self._objective(given, whole)

        error: Tensor = torch.func.grad(loss)(self.logits(split))
        return None if is_asked_for_others else error

    def _from_error(self, pieces: Sequence[Tensor], error: Float[Tensor, "N C"]) -> Float[Tensor, " P"]:
        gradient = torch.zeros_like(self.flat)
        for index, of_piece in zip(pieces, error.split(len(pieces[0])), strict=True):
            inputs = self._batch(index).inputs

            def along(
                flat: Float[Tensor, " P"], inputs: Tensor = inputs, of_piece: Tensor = of_piece
            ) -> Float[Tensor, ""]:
                params = self.layout.unflatten(flat)
                return (self._program.network(params, self._buffers, inputs, SILENT) * of_piece).sum()

            gradient = gradient + torch.func.grad(along)(self.flat)
        return gradient

    def _objective(self, logits_fn: Callable[[Tensor], Tensor], batch: Batch) -> Float[Tensor, ""]:
        key = random.key(self.fields["seed"], "probe", self._moment)
        value, _ = self._program.objective(logits_fn, batch, self.fields, self._state, key)
        return value
