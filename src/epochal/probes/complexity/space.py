"""The space in which examples can be moved: a network's inputs, or the embedding of its tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.tap import Linear, Tap, recording
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError

Where = Literal["train", "val", "test", "random"]
EMBEDDING = "embed"
"""The site at which tokens are vectors, in every network of ours that has one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Examples as points ``[N, d]``, and the network as a function of any such points."""

    points: Float[Tensor, "N d"]
    forward: Callable[[Tensor, Tap], Tensor]

    @cached_property
    def look(self) -> "Look":
        """One example passes, to see what units there are."""
        units: dict[str, int] = {}
        entered: list[bool] = []

        def watch(name: str, value: Tensor) -> None:
            units[name] = units.get(name, 0) + value[0].numel()

        def entry(linear: Linear, inputs: Tensor) -> Tensor:
            entered.append(True)
            return linear(inputs)

        logits = self.forward(self.points[:1], Tap(watch=watch, entry=entry))
        return Look(units=units, logits=logits[0].numel(), has_entry=bool(entered))


@dataclass(frozen=True, kw_only=True)
class Look:
    """Units per layer, numbers in an answer, and whether the network lets others do its first map."""

    units: Mapping[str, int]
    logits: int
    has_entry: bool

    def layers(self, logits: bool) -> dict[str, int]:
        """Name and units of what is counted.

        Raises:
            UserError: the network showed no units.
        """
        layers = {**self.units, **({"logits": self.logits} if logits else {})}
        if not layers:
            raise UserError(
                "this network showed no units before a non-linearity: use modules such as nn.ReLU instead of "
                "functions, or let forward(inputs, tap) call tap.before(name, h); logits=true counts outputs"
            )
        return layers


def space_of(view: View, where: Where, samples: int) -> Space:
    """So many examples of a split, or uniform points in the range of as many training examples.

    Raises:
        UserError: tokens that never become vectors, or random tokens.
    """
    batch = view.drawn("train" if where == "random" else where, samples)
    if not batch.inputs.is_floating_point():
        return _embedded(view, batch.inputs, where)
    shape = batch.inputs.shape[1:]
    points = batch.inputs.flatten(1)
    if where == "random":
        key = random.key(view.fields.get("seed", 0), "random points").to(points.device)
        low, high = points.amin(), points.amax()
        points = low + (high - low) * random.uniform(key, (samples, points.shape[-1]), points.dtype)
    return Space(points=points, forward=lambda rows, tap: view.predict(rows.reshape(-1, *shape), tap))


def _embedded(view: View, tokens: Tensor, where: Where) -> Space:
    if where == "random":
        raise UserError("split=random needs inputs that are numbers, this task has tokens: give split=train")
    tap, seen = recording()
    view.predict(tokens, tap)
    if EMBEDDING not in seen:
        raise UserError(
            "tokens cannot be moved, and this network makes no vectors of them at a site called embed "
            f"(its sites: {', '.join(seen) or 'none'}); give embedding=learned, or another model"
        )
    vectors = seen[EMBEDDING]

    def forward(rows: Tensor, tap: Tap) -> Tensor:
        moved = rows.reshape(-1, *vectors.shape[1:])

        def put(site: str, activation: Tensor) -> Tensor:
            return moved.to(activation.dtype) if site == EMBEDDING else activation

        # What the tokens were does not matter any more, only how many there are.
        any_tokens = tokens[:1].expand(len(moved), *tokens.shape[1:])
        return view.predict(any_tokens, Tap(edit=put, watch=tap.watch))

    return Space(points=vectors.flatten(1), forward=forward)
