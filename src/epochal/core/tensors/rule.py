"""The contract of a rule: a scalar of one member whose gradient is the direction to descend.

A rule has at least one of three methods and leaves out what it does not change: ``surrogate`` (the scalar),
``at_site`` (what passes the network's sites; the scalar is the loss), ``gradient`` (where scalars are
differentiated; they are those of the attribute ``rule``, if it wraps one).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import Edit, Tap
from epochal.core.tensors.task import Fields
from epochal.core.values.errors import UserError

Columns = Mapping[str, Float[Tensor, "M 1"]]

Surrogates = Callable[[Float[Tensor, "M P"]], tuple[Float[Tensor, " M"], Float[Tensor, " M"], State]]
"""All members' surrogates, losses and next states of the objective at given parameters, on this step's batch.

Pure, so it may be called at several points; differentiable in the parameters; members do not mix. What a
network keeps besides parameters (the running statistics of batch norm) follows the first call of an update.
"""

Surrogate = Callable[
    [Objective, Network, Mapping[str, Tensor], Mapping[str, Tensor], Batch, Fields, State, Key],
    tuple[Float[Tensor, ""], Float[Tensor, ""], State],
]
"""Of one member, parameters and buffers by name: the surrogate, the loss, the objective's next state."""


class Pass(NamedTuple):
    """What one backward gave: the direction to descend, the losses where it was taken, the next state."""

    gradient: Float[Tensor, "M P"]
    losses: Float[Tensor, " M"]
    state: State


@runtime_checkable
class RuleOfSurrogate(Protocol):
    """Builds the surrogate of one member; the engine sums it over members and differentiates once."""

    def surrogate(
        self,
        objective: Objective,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        fields: Fields,
        state: State,
        key: Key,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State]:
        """The surrogate, the loss on the batch, and the next state of the objective."""
        ...


@runtime_checkable
class RuleOfSites(Protocol):
    """Differentiates the loss of a network whose activations it changes."""

    def at_site(self, site: str, activation: Tensor) -> Tensor:
        """What goes on in place of an activation, in the forward and hence in the backward pass."""
        ...


@runtime_checkable
class RuleOfSeveralPasses(Protocol):
    """A rule that says itself where surrogates are differentiated, for all members at once."""

    def gradient(self, surrogates: Surrogates, flat: Float[Tensor, "M P"], fields: Columns, key: Key) -> Pass:
        """The direction to descend from ``flat``, with the losses and the state to report and to keep.

        ``fields`` are float64 ``[M, 1]``, ``key`` is the step's, ``[M]``. Neither ``flat`` nor what it shares
        memory with may be written to.
        """
        ...


Rule = RuleOfSurrogate | RuleOfSites | RuleOfSeveralPasses
METHODS = ("surrogate", "at_site", "gradient")


def is_rule(thing: object) -> bool:
    """Whether an object, or the objects of a class, have a rule's method."""
    return any(callable(getattr(thing, name, None)) for name in METHODS)


def surrogate_of(rule: object) -> Surrogate:
    """A rule's own ``surrogate``; else that of the rule it wraps; else the loss, with its ``at_site``."""
    own = getattr(rule, "surrogate", None)
    if own is not None:
        return cast(Surrogate, own)
    inner = getattr(rule, "rule", None)
    return _loss(getattr(rule, "at_site", None)) if inner is None else surrogate_of(inner)


def gradient_of(
    rule: Rule, surrogates: Surrogates, flat: Float[Tensor, "M P"], fields: Columns, key: Key
) -> Pass:
    """A rule's own ``gradient`` if it has one, else a single backward at ``flat``."""
    if hasattr(rule, "gradient"):  # isinstance on a protocol takes 0.1 ms, at every update
        return cast(RuleOfSeveralPasses, rule).gradient(surrogates, flat, fields, key)
    return one_backward(surrogates, flat)


def one_backward(surrogates: Surrogates, flat: Float[Tensor, "M P"]) -> Pass:
    """One forward and one backward for the whole population: the sum's gradient, since members do not mix.

    Raises:
        UserError: the surrogates depend on no parameter.
    """
    flat = flat.detach().requires_grad_()
    with torch.enable_grad():
        scalars, losses, state = surrogates(flat)
        if not scalars.requires_grad:
            raise UserError(
                "the rule leaves nothing to train: no parameter comes after the model's last site; give "
                "another rule, or a model whose read-out is no module of its own"
            )
        (gradient,) = torch.autograd.grad(scalars.sum(), flat)
    return Pass(gradient, losses, state)


def _loss(edit: Edit | None) -> Surrogate:
    def surrogate(
        objective: Objective,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        fields: Fields,
        state: State,
        key: Key,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State]:
        tap = Tap(training=True, edit=edit, key=key)
        loss, state = objective(
            lambda inputs: network(params, buffers, inputs, tap), batch, fields, state, key
        )
        return loss, loss.detach(), state

    return surrogate
