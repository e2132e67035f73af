"""Local complexity: how many units change their sign near an example."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import Rank, probe
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options
from epochal.probes.complexity.frames import check_directions, own_frames, shared_frame
from epochal.probes.complexity.hull import hull_counts
from epochal.probes.complexity.look import Sites
from epochal.probes.complexity.space import Where, space_of
from epochal.probes.complexity.spread import error_of_mean


class ComplexityOptions(Options):
    """Where, how near, and by which form of the measure."""

    split: Where = Field(
        default="train", description="train, val, test, or random: uniform in the range of training inputs"
    )
    radius: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.005,), min_length=1, description="one or several, in units of the network's inputs"
    )
    vertices: int = Field(
        default=40, ge=2, description="of the cross-polytope, an even number: two per direction"
    )
    samples: int = Field(default=1024, ge=1, description="examples, or all where there are fewer")
    logits: bool = Field(default=False, description="count the outputs as one more layer")
    sites: Sites = ()
    form: Literal["independent", "published"] = Field(
        default="independent", description="a frame per example, or one frame for all of them"
    )

    @field_validator("radius", mode="before")
    @classmethod
    def _one_or_several(cls, radius: object) -> object:
        return (radius,) if isinstance(radius, int | float) else radius

    @field_validator("vertices")
    @classmethod
    def _even(cls, vertices: int) -> int:
        if vertices % 2:
            near = f"{vertices - 1} or {vertices + 1}"
            raise ValueError(f"is an odd number, and they come in pairs x + r v, x - r v: give {near}")
        return vertices


OF_LAYERS = ("local_complexity", "local_complexity_layer_error")


def _columns(options: ComplexityOptions) -> Mapping[str, Rank]:
    each: Rank = 0 if len(options.radius) == 1 else 1
    return {
        "local_complexity": 1,
        "local_complexity_layer_error": 1,
        "local_complexity_total": each,
        "local_complexity_error": each,
    }


def _labels(options: ComplexityOptions, view: View) -> Mapping[str, Sequence[str]]:
    layers = space_of(view, options.split, 1).look.layers(options.logits, options.sites)
    if len(options.radius) == 1:
        return dict.fromkeys(OF_LAYERS, tuple(layers))
    named = tuple(f"{layer} r={radius:g}" for radius in options.radius for layer in layers)
    each = [f"r={radius:g}" for radius in options.radius]
    return {
        **dict.fromkeys(OF_LAYERS, named),
        "local_complexity_total": each,
        "local_complexity_error": each,
    }


@probe(
    columns=_columns,
    unit="units",
    low=0.0,
    high=math.inf,
    null="0, where the network is linear around every example",
    cost="vertices x samples x radii forward passes without the first layer; memory constant in samples",
    source="Humayun et al. 2024, section 3 (arXiv 2402.15555), and its code; default: frames per example",
    labels=_labels,
)
def local_complexity(options: ComplexityOptions, view: View) -> dict[str, Tensor]:
    """Mean over examples of units that the hull of ``x +- r v_p`` cuts: per layer and in total.

    ``v_p`` are vertices / 2 orthonormal directions. A unit is cut where its pre-activation is not of one sign
    (zero being a third) at all vertices: for the first layer ``|w x + b| < r max_p |w v_p|``; for deeper ones
    the images of the vertices stand for the image of the hull. 0 for a linear network, or as r goes to 0. A
    positive factor on what a ReLU layer gets, undone after it, changes nothing. Several radii share frames
    and examples; ``local_complexity`` then has the layers of the first radius, then those of the second.

    ``local_complexity_error`` is the standard error of the total, ``local_complexity_layer_error`` that of
    each layer, in the order of ``local_complexity``: over all examples there could be, so nothing is taken
    off where all of a split were measured. With a frame per example (uniform among all frames, the same at
    every step) they cover examples and frames. ``form=published`` draws one frame, by QR of a
    default-initialised layer, for all examples and radii: its errors cannot cover the choice of the frame.
    The published code counts the outputs of MLPs too: ``logits=true``. NaN where the network is not finite,
    or hands ``tap.enter`` anything but its inputs.

    Units are what the network shows before a non-linearity: neurons of an MLP or of a transformer's or
    resmlp's block, each channel at each place of a convolution, the four gates of an LSTM at each position.
    Before a ReLU a change of sign is a boundary of linear regions. GELU, tanh, sigmoid and squares have no
    boundaries; there it tells of units whose input passes 0, where a GELU bends most. Layer norm, softmax
    and pooling have no units: vertices pass them, and nothing of theirs is counted. ``sites`` counts others,
    such as ``after:block.0``, the residual stream after that block, or ``after:fc1``, the output of a
    foreign module's part whose non-linearity is a function.

    Examples that are tokens are moved in their embedding.
    """
    space = space_of(view, options.split, options.samples)
    layers = space.look.layers(options.logits, options.sites)
    dimensions, device, dtype = space.dimensions, space.first.device, space.first.dtype
    directions = check_directions(options.vertices, dimensions)
    key = random.fold(random.key(view.fields.get("seed", 0), "local complexity"), options.split).to(device)
    one = shared_frame(key, directions, dimensions, dtype) if options.form == "published" else None

    def frames(first: int, last: int) -> Float[Tensor, "B P d"]:
        if one is not None:
            return one
        return own_frames(key, torch.arange(first, last, device=device), directions, dimensions, dtype)

    counts = hull_counts(space, frames, vertices=options.vertices, radii=options.radius, layers=layers)
    counts = counts.to(wide(device))
    total = counts.sum(1)
    is_one = len(options.radius) == 1
    mean, error = total.mean(-1), error_of_mean(total)
    return {
        "local_complexity": counts.mean(-1).flatten(),
        "local_complexity_layer_error": error_of_mean(counts).flatten(),
        "local_complexity_total": mean[0] if is_one else mean,
        "local_complexity_error": error[0] if is_one else error,
    }


def truth() -> Iterator[tuple[Any, ...]]:
    """In one dimension a frame is +-1: units at 0, 1 and 3 of examples at 0 and 2."""
    inputs = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    places = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)

    def network(x: Tensor, tap: Tap) -> Tensor:
        return tap.before("first", tap.enter(lambda rows: rows - places, x)).relu()

    view = GivenView(given_inputs={"train": inputs}, given_targets={"train": [0, 1]}, given_network=network)
    for form in ("independent", "published"):
        # Within 0.5 of 0 lies one unit, of 2 none; within 1.5 of 0 two, of 2 two.
        near = ComplexityOptions(vertices=2, radius=(0.5,), form=form)
        yield (
            near,
            view,
            {
                "local_complexity": [0.5],
                "local_complexity_layer_error": [0.5],
                "local_complexity_total": 0.5,
                "local_complexity_error": 0.5,
            },
        )
        both = ComplexityOptions(vertices=2, radius=(0.5, 1.5), form=form)
        yield (
            both,
            view,
            {
                "local_complexity": [0.5, 2.0],
                "local_complexity_layer_error": [0.5, 0.0],
                "local_complexity_total": [0.5, 2.0],
                "local_complexity_error": [0.5, 0.0],
            },
        )
