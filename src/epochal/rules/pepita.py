"""PEPITA: no backward pass; a second forward, with the error added to the input, says what should change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson, Memory
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import State
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.rules.feedback.direct import along, error_of
from epochal.rules.feedback.transport import Calls, Given

FEEDBACK_SCALE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Twice:
    """Both passes: the first one's loss and error, the second's pre-activations, what each site is told."""

    loss: Float[Tensor, ""]
    state: State
    error: Float[Tensor, "B C"]
    maps: Mapping[str, Float[Tensor, "B ..."]]
    told: Mapping[str, Float[Tensor, "B ..."]]


@dataclass(frozen=True)
class PEPITA:
    """``dW_l = (h_l - h'_l) h'_{l-1}^T``, the read-out's ``e h'_{L-1}^T``; h' is the pass with ``x + F e``.

    e is d loss / d logits of the pass with x, per example; F is uniform within ``0.05 sqrt(6 / inputs)``,
    fixed, of the stream ``feedback``. As published, the difference of activations is applied before the
    activation's derivative, not multiplied by it. Biases get the mean difference. For networks that are a
    chain of maps (linear or convolution), each followed by one site of its shape, and a last map.

    Source: Dellaferrera & Kreiman 2022, algorithm 1, which has no biases; F's scale is their code's.

    Raises:
        UserError: the network is no such chain, or the objective asks for logits of other inputs.
    """

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        steps, logits = _steps(network, params, buffers, batch)
        _check_chain(steps, network, batch)
        shape = (*batch.inputs.shape[1:], logits.shape[-1])
        widest = FEEDBACK_SCALE * (6 / batch.inputs[0].numel()) ** 0.5
        return {"input": (2 * random.uniform(key, shape, logits.dtype) - 1) * widest}

    def surrogate(self, lesson: Lesson) -> Judged:
        found = _twice(lesson)
        *hidden, readout = found.maps.values()
        scalar = along(readout, found.error, lesson.batch)
        for output, told in zip(hidden, found.told.values(), strict=True):
            scalar = scalar + along(output, told, lesson.batch)
        return scalar, found.loss, found.state

    def credit(self, lesson: Lesson) -> Mapping[str, Float[Tensor, "B ..."]]:
        """``h_l - h'_l``, which is told to the map before the site."""
        return _twice(lesson).told


rule = PEPITA


def _twice(lesson: Lesson) -> Twice:
    network, batch = lesson.network, lesson.batch
    dtype = next(iter(lesson.params.values())).dtype
    own = network.cast(lesson.params)
    fixed = {name: value.detach() for name, value in own.items()}
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    maps: dict[str, Tensor] = {}
    made: list[Tensor] = []

    def watched(seen: dict[str, Tensor]) -> Tap:
        def edit(site: str, activation: Tensor) -> Tensor:
            seen[site] = activation.detach()
            return seen[site]

        return lesson.training(edit)

    def logits_fn(inputs: Tensor) -> Tensor:
        if made or inputs is not batch.inputs:
            raise UserError(
                "rule=pepita needs an objective of the batch's logits alone; this one looks at other inputs: "
                "give objective=cross_entropy"
            )
        made.append(network(fixed, lesson.buffers, inputs, watched(first)).to(dtype))
        return made[0]

    def keep(name: str, func: Callable[..., Tensor], given: Given) -> Tensor:
        maps[name] = func(**given)
        return maps[name]

    loss, after = lesson.loss(logits_fn)
    error = error_of(lesson, made[0])
    pushed = (error @ lesson.memory["input"].flatten(0, -2).T).reshape(batch.inputs.shape)
    with Calls(own, keep):
        network(own, lesson.buffers, batch.inputs + pushed, watched(second))
    told = {site: (first[site] - second[site]).to(dtype) for site in first}
    return Twice(loss=loss.detach(), state=after, error=error, maps=maps, told=told)


Step = tuple[str, str, tuple[int, ...]]
"""``map`` or ``site``, its name, and the shape of what it gives."""


def _steps(
    network: Network, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], batch: Batch
) -> tuple[list[Step], Tensor]:
    """Maps and sites in the order of the forward pass, and its logits."""
    own, steps = network.cast(params), list[Step]()

    def keep(name: str, func: Callable[..., Tensor], given: Given) -> Tensor:
        made = func(**given)
        steps.append(("map", name, tuple(made.shape)))
        return made

    def edit(site: str, activation: Tensor) -> Tensor:
        steps.append(("site", site, tuple(activation.shape)))
        return activation

    with Calls(own, keep):
        logits = network(own, buffers, batch.inputs, Tap(edit=edit))
    return steps, logits.to(next(iter(params.values())).dtype)


def _check_chain(steps: list[Step], network: Network, batch: Batch) -> None:
    maps, sites = steps[0::2], steps[1::2]
    blocks = {name.rpartition(".")[0] for _, name, _ in maps}
    others = [entry.name for entry in network.layout.entries if entry.block not in blocks]
    is_chain = (
        batch.inputs.is_floating_point()
        and len(sites) >= 1
        and len(maps) == len(sites) + 1
        and all(kind == "map" for kind, _, _ in maps)
        and all(kind == "site" for kind, _, _ in sites)
        and all(before[2] == after[2] for before, after in zip(maps, sites, strict=False))
        and len({name for _, name, _ in maps}) == len(maps)
        and not others
    )
    if not is_chain:
        what = f"; {others[0]} belongs to no such layer" if others else ""
        raise UserError(
            "rule=pepita trains chains of linear layers or convolutions with a site after each but the last, "
            f"such as mlp with depth=1 or more{what}: give another model or rule"
        )
