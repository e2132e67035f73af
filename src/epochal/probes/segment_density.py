"""How often units change their sign along the segment between two examples, per unit of length."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.probes.complexity.look import Sites
from epochal.probes.complexity.segment import segment_changes
from epochal.probes.complexity.space import Where, space_of
from epochal.probes.complexity.spread import error_of_mean


class SegmentOptions(Options):
    """Which segments, and how finely they are looked at."""

    split: Where = Field(default="train", description="train, val, test, or random points")
    pairs: int = Field(default=256, ge=1, description="segments; each has two examples of its own")
    points: int = Field(default=200, ge=2, le=100_000, description="on a segment, its ends among them")
    logits: bool = Field(default=False, description="count the outputs as one more layer")
    sites: Sites = ()


def _labels(options: SegmentOptions, view: View) -> Mapping[str, Sequence[str]]:
    layers = space_of(view, options.split, 1).look.layers(options.logits, options.sites)
    return dict.fromkeys(("segment_density", "segment_density_layer_error"), tuple(layers))


@probe(
    columns={
        "segment_density": 1,
        "segment_density_layer_error": 1,
        "segment_density_total": 0,
        "segment_density_error": 0,
    },
    unit="units per unit of input",
    low=0.0,
    high=math.inf,
    null="0, where no unit changes its sign between examples",
    cost="pairs x points forward passes",
    source="transitions along a trajectory, Raghu et al. 2017, section 2.2; here segments between examples",
    labels=_labels,
)
def segment_density(options: SegmentOptions, view: View) -> dict[str, Tensor]:
    """Sign changes of pre-activations along a segment over its length: means over segments, and in total.

    For networks of piecewise linear units it is the number of region boundaries that a segment crosses, exact
    once no unit changes twice between neighbouring points; a coarser grid counts too few, never too many.
    ``segment_density_error`` is the standard error of the total over segments (each has examples of its own),
    ``segment_density_layer_error`` that of each layer. NaN where two examples coincide or the network is not
    finite. Tokens are moved in their embedding. What is counted, and what ``sites`` counts instead, is as in
    `local_complexity`.
    """
    space = space_of(view, options.split, 2 * options.pairs)
    if space.number < 2:
        raise UserError(f"split={options.split} has one example, a segment needs two: give another split")
    layers = space.look.layers(options.logits, options.sites)
    changes, length = segment_changes(space, points=options.points, layers=layers)
    density = changes.to(length.dtype) / torch.where(length == 0, math.nan, length)
    total = density.sum(0)
    return {
        "segment_density": density.mean(-1),
        "segment_density_layer_error": error_of_mean(density),
        "segment_density_total": total.mean(),
        "segment_density_error": error_of_mean(total),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    """Units at 0, 1 and 3; segments from -1 to 2 (length 3, two of them) and from 0.5 to 1.5 (one)."""
    inputs = torch.tensor([[-1.0], [2.0], [0.5], [1.5]], dtype=torch.float64)
    places = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)

    def network(x: Tensor, tap: Tap) -> Tensor:
        return tap.before("first", x - places).relu()

    view = GivenView(
        given_inputs={"train": inputs}, given_targets={"train": [0, 1, 0, 1]}, given_network=network
    )
    mean, half = (2 / 3 + 1) / 2, (1 - 2 / 3) / 2
    yield (
        view,
        {
            "segment_density": [mean],
            "segment_density_layer_error": [half],
            "segment_density_total": mean,
            "segment_density_error": half,
        },
    )
