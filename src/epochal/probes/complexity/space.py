"""The space in which examples can be moved: a network's inputs, or the embedding of its tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.tap import Tap, recording
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.probes.complexity.look import Look, look_at

Where = Literal["train", "val", "test", "random"]
EMBEDDING = "embed"
"""The site at which tokens are vectors, in every network of ours that has one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Examples as points ``[N, d]``, and the network as a function of any such points."""

    points: Float[Tensor, "N d"]
    forward: Callable[[Tensor, Tap], Tensor]

    @cached_property
    def look(self) -> Look:
        """What the network shows of one example."""
        return look_at(self.forward, self.points[:1])


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
            return tap(site, moved.to(activation.dtype) if site == EMBEDDING else activation)

        # What the tokens were does not matter any more, only how many there are.
        any_tokens = tokens[:1].expand(len(moved), *tokens.shape[1:])
        return view.predict(any_tokens, Tap(edit=put, watch=tap.watch))

    return Space(points=vectors.flatten(1), forward=forward)
