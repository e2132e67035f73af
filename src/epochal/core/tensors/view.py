"""What a probe may see: one member at one step, read-only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.passage import Passage
from epochal.core.tensors.tap import SILENT, Tap
from epochal.core.tensors.task import Fields, Split
from epochal.core.values.errors import UserError


@runtime_checkable
class View(Protocol):
    """One member at one step. What is asked twice (``data``, ``logits``) is computed once."""

    @property
    def step(self) -> int: ...

    @property
    def fields(self) -> Fields: ...

    @property
    def task(self) -> Any:
        """The member's task: what it is made of, such as its modulus, and is the same for all of a pack."""
        ...

    @property
    def layout(self) -> Layout: ...

    @property
    def flat(self) -> Float[Tensor, " P"]: ...

    @property
    def initial(self) -> Float[Tensor, " P"]:
        """``flat`` at step 0."""
        ...

    @property
    def params(self) -> Mapping[str, Tensor]: ...

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """What the network keeps besides parameters, such as the running statistics of batch norm."""
        ...

    def data(self, split: Split) -> Batch:
        """All examples of a split at once: for sets that fit in memory once per member."""
        ...

    def drawn(self, split: Split, count: int) -> Batch:
        """So many random examples of a split, all of it where it has no more; the same ones at each step."""
        ...

    def drawn_places(self, split: Split, count: int) -> Int64[Tensor, " B"]:
        """Where :meth:`drawn` finds them, for :meth:`examples`: to have some of many at a time."""
        ...

    def logits(self, split: Split) -> Float[Tensor, "N *T C"]: ...

    def targets(self, split: Split) -> Int64[Tensor, "N *T"]:
        """In the order of :meth:`logits`."""
        ...

    def predict(self, inputs: Tensor, tap: Tap = SILENT) -> Float[Tensor, "B *T C"]:
        """Logits of any inputs, in evaluation mode; differentiable in them. ``tap`` sees the sites."""
        ...

    def activations(self, split: Split) -> Mapping[str, Float[Tensor, "N ..."]]:
        """What passes each site of the network, in evaluation mode and in the order of :meth:`logits`."""
        ...

    def sample(self) -> Batch:
        """The first ``probe_samples`` validation examples."""
        ...

    def passage(self) -> Passage:
        """The examples of :meth:`sample` on their way through the network, and back."""
        ...

    def sample_loss_at(self, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on the examples of :meth:`passage` with other parameters; differentiable."""
        ...

    def last_update(self) -> Float[Tensor, " P"]:
        """What the last update added to ``flat``; 0 at step 0.

        Raises:
            UserError: it is not known: snapshots do not hold it.
        """
        ...

    def loss_on(self, batch: Batch, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on any examples with any parameters, in evaluation mode; differentiable."""
        ...

    @property
    def surroundings(self) -> Mapping[str, Tensor]:
        """What else than parameters and examples decides the loss at this step, such as running statistics;
        of the same names and shapes at all steps of a member."""
        ...

    def amid(self, surroundings: Mapping[str, Tensor]) -> "View":
        """This member among other :attr:`surroundings`, of another step; of several under ``vmap``."""
        ...

    def loss_gradient(self, split: Split) -> Float[Tensor, " P"]: ...

    @property
    def memory(self) -> Mapping[str, Tensor]:
        """What the rule keeps besides parameters, such as feedback matrices; empty for most."""
        ...

    def credit(self, batch: Batch) -> Mapping[str, Float[Tensor, "B ..."]]:
        """What the rule tells each site, per example, in evaluation mode: see ``rule.credit_at_sites``."""
        ...

    def loss_at(self, split: Split, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on the whole split with other parameters, in evaluation mode; differentiable."""
        ...

    def size(self, split: Split) -> int:
        """How many examples a split has."""
        ...

    def examples(self, split: Split, places: Int64[Tensor, " B"]) -> Batch:
        """Those at these places of the order of :meth:`logits`."""
        ...


@dataclass(kw_only=True)
class GivenView:
    """A view made of given answers: how a probe's truth cases are written.

    ``given_logits`` and ``given_targets`` hold one tensor per split, ``given_gradients`` one vector,
    ``given_activations`` one tensor per split and site; ``given_inputs`` and ``given_factors`` are what
    ``data`` holds besides targets, ``given_loss`` the objective as a function of the parameters,
    ``given_batch_loss`` also of the examples; ``given_network`` the logits as a function of inputs and tap;
    ``given_credit`` is one tensor per site, ``given_memory`` the rule's.
    """

    step: int = 0
    fields: Fields = field(default_factory=dict)
    given_params: dict[str, Tensor] = field(default_factory=dict)
    given_initial: dict[str, Tensor] | None = None
    given_buffers: dict[str, Tensor] = field(default_factory=dict)
    given_logits: dict[str, Any] = field(default_factory=dict)
    given_targets: dict[str, Any] = field(default_factory=dict)
    given_gradients: dict[str, Any] = field(default_factory=dict)
    given_activations: dict[str, dict[str, Any]] = field(default_factory=dict)
    given_inputs: dict[str, Any] = field(default_factory=dict)
    given_factors: dict[str, dict[str, Any]] = field(default_factory=dict)
    given_loss: Callable[[Tensor], Tensor] | None = None
    given_batch_loss: Callable[[Batch, Tensor], Tensor] | None = None
    given_network: Callable[[Tensor, Tap], Tensor] | None = None
    given_passage: Passage | None = None
    given_update: Tensor | None = None
    given_task: Any = None
    given_memory: dict[str, Tensor] = field(default_factory=dict)
    given_credit: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Any:
        return self.given_task

    @property
    def layout(self) -> Layout:
        return Layout.of({name: value.shape for name, value in self.given_params.items()})

    @property
    def params(self) -> Mapping[str, Tensor]:
        return self.given_params

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        return self.given_buffers

    @property
    def flat(self) -> Float[Tensor, " P"]:
        return self.layout.flatten(self.given_params)

    @property
    def initial(self) -> Float[Tensor, " P"]:
        return self.flat if self.given_initial is None else self.layout.flatten(self.given_initial)

    def data(self, split: Split) -> Batch:
        targets = torch.as_tensor(self.given_targets[split])
        return Batch(
            inputs=torch.as_tensor(self.given_inputs.get(split, torch.zeros(len(targets)))),
            targets=targets,
            weight=torch.ones(len(targets)),
            factors={name: torch.as_tensor(of) for name, of in self.given_factors.get(split, {}).items()},
        )

    def drawn(self, split: Split, count: int) -> Batch:
        """The first ones."""
        return self.examples(split, self.drawn_places(split, count))

    def drawn_places(self, split: Split, count: int) -> Int64[Tensor, " B"]:
        return torch.arange(min(count, self.size(split)))

    def logits(self, split: Split) -> Float[Tensor, "N *T C"]:
        return torch.as_tensor(self.given_logits[split])

    def targets(self, split: Split) -> Int64[Tensor, "N *T"]:
        return torch.as_tensor(self.given_targets[split])

    def predict(self, inputs: Tensor, tap: Tap = SILENT) -> Float[Tensor, "B *T C"]:
        if self.given_network is None:
            raise UserError(
                "this view was given no network: GivenView(given_network=lambda inputs, tap: ...)"
            )
        return self.given_network(inputs, tap)

    def activations(self, split: Split) -> Mapping[str, Tensor]:
        return {site: torch.as_tensor(values) for site, values in self.given_activations[split].items()}

    def sample(self) -> Batch:
        return self.data("val") if self.given_passage is None else self.given_passage.batch

    def passage(self) -> Passage:
        if self.given_passage is None:
            raise UserError("this view was given no passage: GivenView(given_passage=Passage(...))")
        return self.given_passage

    def sample_loss_at(self, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        return self.loss_at("val", flat)

    def loss_on(self, batch: Batch, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        return self.given_batch_loss(batch, flat) if self.given_batch_loss else self.loss_at("train", flat)

    @property
    def surroundings(self) -> Mapping[str, Tensor]:
        return {}

    def amid(self, surroundings: Mapping[str, Tensor]) -> "GivenView":
        return self

    def last_update(self) -> Float[Tensor, " P"]:
        return torch.zeros_like(self.flat) if self.given_update is None else self.given_update

    @property
    def memory(self) -> Mapping[str, Tensor]:
        return self.given_memory

    def credit(self, batch: Batch) -> Mapping[str, Tensor]:
        return {site: torch.as_tensor(values) for site, values in self.given_credit.items()}

    def loss_gradient(self, split: Split) -> Float[Tensor, " P"]:
        return torch.as_tensor(self.given_gradients[split])

    def loss_at(self, split: Split, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        if self.given_loss is None:
            raise UserError("this view was given no loss: GivenView(given_loss=lambda flat: ...)")
        return self.given_loss(flat)

    def size(self, split: Split) -> int:
        return len(self.given_targets[split])

    def examples(self, split: Split, places: Int64[Tensor, " B"]) -> Batch:
        whole = self.data(split)
        return Batch(
            inputs=whole.inputs[places],
            targets=whole.targets[places],
            weight=whole.weight[places],
            factors={name: of[places] for name, of in whole.factors.items()},
        )
