"""Where attention looks: mean weights of every head, query and key position."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options


class PatternOptions(Options):
    """Over which examples."""

    split: Split = Field(default="val", description="train or val")


def _labels(options: PatternOptions, view: View) -> Mapping[str, Sequence[str]]:
    """``block.0 head 1: 2 <- 0``: what query position 2 reads from key position 0."""
    names = []
    for site, weights in _patterns(options, view).items():
        queries, keys, heads = weights.shape
        names += [
            f"{site.removesuffix('.attention')} head {head}: {keys - queries + query} <- {key}"
            for head in range(heads)
            for query in range(queries)
            for key in range(keys)
        ]
    return {"attention": names}


@probe(
    columns={"attention": 1},
    unit="fraction",
    low=0.0,
    high=1.0 + 1e-6,
    null="1 / number of positions that a query may see",
    cost="one evaluation of a split with activations",
    source="softmax weights averaged over examples, as Nanda et al. 2023 look at them, section 4.3",
    labels=_labels,
)
def attention_pattern(options: PatternOptions, view: View) -> dict[str, Tensor]:
    """Block by block, head by head, query by query, one weight per key position; each query's add up to 1.

    ``[L H Q S]`` in one row; the last block has one query where only the last position is read.
    """
    patterns = _patterns(options, view).values()
    return {"attention": torch.cat([pattern.movedim(-1, 0).flatten() for pattern in patterns])}


def _patterns(options: PatternOptions, view: View) -> dict[str, Float[Tensor, "Q S H"]]:
    sites = view.activations(options.split)
    found = {site: value for site, value in sites.items() if site.endswith(".attention")}
    if not found:
        raise UserError(f"this network has no attention; its sites are {', '.join(sites) or 'none'}")
    return {site: value.double().mean(0) for site, value in found.items()}


def truth() -> Iterator[tuple[Any, ...]]:
    # Two examples, one query, three keys, two heads.
    weights = torch.tensor([[[[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]], [[[0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]]])
    view = GivenView(given_activations={"val": {"embed": torch.zeros(2, 3), "block.0.attention": weights}})
    yield view, {"attention": [0.75, 0.25, 0.0, 0.0, 0.5, 0.5]}
