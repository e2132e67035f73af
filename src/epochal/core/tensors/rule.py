"""The contract of a rule: a scalar of one member whose gradient is the direction to descend.

A rule has at least one of four methods and leaves out what it does not change: ``surrogate`` (the scalar),
``at_site`` (what passes the network's sites; the scalar is the loss), ``gradient`` (where scalars are
differentiated), ``after_update`` (how its memory learns). What it leaves out is that of the attribute
``rule``, if it wraps one.

A rule that keeps something between updates, such as feedback matrices, also has ``init``, which gives its
``memory``: tensors by name, which stand in the lesson. With ``after_update`` the memory learns; without, it
stays what ``init`` drew.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson, Memory, Surrogate
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import State
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import Edit, recording
from epochal.core.tensors.transform import Context
from epochal.core.values.errors import UserError

Columns = Mapping[str, Float[Tensor, "M 1"]]

Surrogates = Callable[[Float[Tensor, "M P"]], tuple[Float[Tensor, " M"], Float[Tensor, " M"], State]]
"""All members' surrogates, losses and next states of the objective at given parameters, on this step's batch.

Pure, so it may be called at several points; differentiable in the parameters; members do not mix. What a
network keeps besides parameters (the running statistics of batch norm) follows the first call of an update.
"""


class Pass(NamedTuple):
    """What one backward gave: the direction to descend, the losses where it was taken, the next state."""

    gradient: Float[Tensor, "M P"]
    losses: Float[Tensor, " M"]
    state: State


@runtime_checkable
class RuleOfSurrogate(Protocol):
    """Builds the surrogate of one member; the engine sums it over members and differentiates once."""

    def surrogate(self, lesson: Lesson) -> Judged:
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


@runtime_checkable
class RuleWithMemory(Protocol):
    """Keeps tensors between updates, such as feedback matrices."""

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        """The memory of one member before any update.

        ``params`` are its initial ones, ``batch`` holds one example (for shapes), ``key`` is of the stream
        ``feedback``. A function of these alone: where nothing learns, it is called again instead of stored.

        Raises:
            UserError: the rule cannot train this network.
        """
        ...


@runtime_checkable
class RuleThatLearns(Protocol):
    """The memory, its own or that of the rule it wraps, changes with the parameters."""

    def after_update(self, memory: Memory, delta: Float[Tensor, "M P"], context: Context) -> Memory:
        """The next memory, of all members at once, each tensor ``[M, ...]``.

        ``context.flat`` are the parameters before the update, ``delta`` is what is added to them. The engine
        holds the memory of members that diverged.
        """
        ...


Rule = RuleOfSurrogate | RuleOfSites | RuleOfSeveralPasses | RuleWithMemory | RuleThatLearns
METHODS = ("surrogate", "at_site", "gradient", "after_update")


def is_rule(thing: object) -> bool:
    """Whether an object, or the objects of a class, have a rule's method."""
    return any(callable(getattr(thing, name, None)) for name in METHODS)


def surrogate_of(rule: object) -> Surrogate:
    """A rule's own ``surrogate``; else that of the rule it wraps; else the loss, with its ``at_site``."""
    own = getattr(rule, "surrogate", None)
    if own is not None:
        return cast(Surrogate, own)
    inner = getattr(rule, "rule", None)
    if inner is not None:
        return surrogate_of(inner)
    return loss_through(getattr(rule, "at_site", None))


def initial_memory(
    rule: object,
    network: Network,
    params: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    batch: Batch,
    key: Key,
) -> Memory:
    """What a rule, or the one it wraps, keeps of one member before any update; nothing for most."""
    keeper = _with_method(rule, "init")
    return {} if keeper is None else keeper.init(network, params, buffers, batch, key)


def has_memory(rule: object) -> bool:
    return _with_method(rule, "init") is not None


def is_learning(rule: object) -> bool:
    """Whether its memory changes in training, and so has to be stored."""
    return _with_method(rule, "after_update") is not None


def next_memory(rule: object, memory: Memory, delta: Float[Tensor, "M P"], context: Context) -> Memory:
    """The memory after an update: the same for rules that do not learn."""
    learner = _with_method(rule, "after_update")
    if learner is None:
        return memory
    found: Memory = learner.after_update(memory, delta, context)
    return found


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


def credit_at_sites(rule: object, lesson: Lesson) -> dict[str, Float[Tensor, "B ..."]]:
    """What a rule tells each site: the direction that its activation is to descend, per example.

    The derivative of the surrogate in what arrives at a site (a block's output), times the sum of the batch's
    weights: with weights of 1 it does not depend on how many examples there are. Backpropagation gives each
    example's own gradient of its own loss, DFA gives ``e B^T`` in its normalisation, frozen blocks get 0. In
    evaluation mode, of one member, usable under ``vmap`` and without a graph. A rule that is not described by
    slopes at its sites, or knows them without a pass, has a method ``credit``: from the lesson, whose network
    is then in evaluation mode also for a training tap, to what each site is told.
    """
    own = _with_method(rule, "credit")
    if own is None:
        return slopes_at_sites(rule, lesson)
    return dict(own.credit(lesson._replace(network=lesson.network.evaluating())))


def slopes_at_sites(rule: object, lesson: Lesson) -> dict[str, Float[Tensor, "B ..."]]:
    """The derivative of a rule's surrogate in what arrives at each site, times the sum of the weights."""
    network, batch = lesson.network, lesson.batch

    def scalar(shifts: Mapping[str, Tensor]) -> Tensor:
        return surrogate_of(rule)(lesson._replace(network=network.shifted(shifts)))[0]

    seen = one_example(lesson)
    zeros = {site: h.new_zeros((len(batch.targets), *h.shape[1:])) for site, h in seen.items()}
    found: dict[str, Tensor] = torch.func.grad(scalar)(zeros)
    return {site: credit * batch.weight.sum() for site, credit in found.items()}


def one_example(lesson: Lesson) -> Mapping[str, Float[Tensor, "1 ..."]]:
    """Activations of the batch's first example, which tell the sites, their shapes and formats."""
    tap, seen = recording()
    lesson.logits(lesson.batch.inputs[:1], tap)
    return seen


def _with_method(rule: object, name: str) -> Any:
    """The rule, or the one that it wraps, that has a method of this name."""
    while rule is not None and not callable(getattr(rule, name, None)):
        rule = getattr(rule, "rule", None)
    return rule


def loss_through(edit: Edit | None) -> Surrogate:
    """The surrogate that is the loss itself, of a network whose activations ``edit`` changes at its sites."""

    def surrogate(lesson: Lesson) -> Judged:
        loss, state = lesson.loss(lambda inputs: lesson.logits(inputs, lesson.training(edit)))
        return loss, loss.detach(), state

    return surrogate
