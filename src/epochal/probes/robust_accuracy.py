"""Share of examples that stay right whatever an attack does to their pixels within a radius."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import Field, field_validator
from torch import Tensor

from epochal.attacks.ball import Norm, Pixels, Space, pixels, unbounded
from epochal.attacks.named import AttackName, attacked
from epochal.core.tensors import random
from epochal.core.tensors.probe import Rank, probe
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.probes.attacking.masking import Broken, exceeds
from epochal.probes.shortcuts import needs

USUAL_EPSILON = 8 / 255
USUAL_STEPS = 10
PIECE = 256
"""Examples that are attacked together: bounds the memory of activations."""


class RobustOptions(Options):
    """Which attack, on which examples."""

    epsilon: tuple[float, ...] = Field(
        default=(), description="radii in units of pixels in [0, 1], such as 4/255,8/255; none = the run's"
    )
    norm: Norm = Field(default="linf", description="linf or l2")
    attack: AttackName = Field(default="pgd", description="pgd, apgd-ce, apgd-dlr, square or worst_case")
    steps: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="gradients; of square, queries; none: the run's attack_steps, at least 10",
    )
    restarts: int = Field(default=1, ge=1, le=1000, description="random starts")
    step_size: float = Field(default=0.0, ge=0, description="of pgd; 0 = 2.5 epsilon / steps")
    split: Split = Field(default="val", description="train, val or test")
    samples: int = Field(default=1000, ge=0, description="the first of the split; 0 = all")
    space: Space = Field(
        default="raw", description="units and box: pixels per channel, or the network's inputs as they are"
    )
    check_samples: int = Field(
        default=100, ge=0, description="of these, checked for gradient masking; 0 = no check"
    )
    check_queries: int = Field(default=100, ge=2, description="of the random search of that check")

    def following(self, fields: Mapping[str, object]) -> "RobustOptions":
        """A network is attacked with no fewer steps than it was trained against, and never with one or two:
        what withstands a single step may fall to ten (catastrophic overfitting, Wong et al. 2020)."""
        if self.steps is not None or self.attack == "square":
            return self
        own = fields.get("attack_steps")
        return self.model_copy(update={"steps": max(own if isinstance(own, int) else 0, USUAL_STEPS)})

    @field_validator("epsilon")
    @classmethod
    def _in_order(cls, radii: tuple[float, ...]) -> tuple[float, ...]:
        if any(not radius >= 0 for radius in radii):
            raise ValueError("has a negative radius; write 0 or more, such as 8/255")
        return tuple(sorted(set(radii)))


def _columns(options: RobustOptions) -> Mapping[str, Rank]:
    curve: dict[str, Rank] = {"robust_accuracy_curve": 1} if len(options.epsilon) > 1 else {}
    usual: dict[str, Rank] = {"robust_accuracy": 0, "robust_area": 0, "robust_accuracy_per_class": 1}
    masking: dict[str, Rank] = {"gradient_masking": 0, "search_excess": 0, "one_step_excess": 0}
    return {**usual, **curve, **(masking if _is_checked(options) else {})}


def _labels(options: RobustOptions, view: View) -> Mapping[str, Sequence[str]]:
    curve = {"robust_accuracy_curve": [f"epsilon {radius:.6g}" for radius in options.epsilon]}
    classes = {"robust_accuracy_per_class": [f"class {c}" for c in range(_num_classes(view, options))]}
    return {**classes, **(curve if len(options.epsilon) > 1 else {})}


@probe(
    columns=_columns,
    unit="fraction",
    low=-1.0,
    high=1.0,
    null="1 / number of classes at radius 0, for guesses; 0 at a radius, where nothing resists",
    cost="per radius 3 steps x restarts forward passes over the samples; the check 100 over its own",
    source="Madry et al. 2018; Croce & Hein 2020; signs of masking: Athalye et al. 2018, section 3",
    labels=_labels,
    requires=needs.images("robust_accuracy"),
)
def robust_accuracy(options: RobustOptions, view: View) -> dict[str, Tensor]:
    """At the largest radius; the same random numbers at every step, so that curves do not jitter.

    ``robust_accuracy_curve`` holds it per radius: what a smaller one breaks counts as broken by all larger.
    ``robust_area`` is the area under it from 0 (clean accuracy) to the largest radius, by trapezoids, over
    that radius. ``robust_accuracy_per_class`` is NaN for classes that are not among the samples.

    ``gradient_masking`` is 1 where slopes hide what can be found without them, at the largest radius on the
    first ``check_samples``: random search breaks examples that gradients do not (``search_excess``: share of
    those, minus the share of the reverse), or a single step breaks examples that many do not
    (``one_step_excess``), by more than two standard deviations of chance (McNemar).

    Raises:
        UserError: the inputs are no images, or the norm does not fit the attack.
    """
    batch, place = view.data(options.split), _pixels(options, view)
    if not batch.inputs.is_floating_point() or batch.targets.ndim != 1:
        raise UserError("robust_accuracy needs images with a label each; these inputs are tokens")
    count = min(options.samples or len(batch.targets), len(batch.targets))
    inputs, targets = batch.inputs[:count], batch.targets[:count]
    key = random.key(view.fields.get("seed", 0), "attack").to(inputs.device)
    radii: list[Any] = list(options.epsilon) or [view.fields.get("epsilon", USUAL_EPSILON)]
    is_right = _is_right(view, inputs, targets)
    curve, points = [], []
    clean = is_right
    for radius in radii:
        stands = _stands(options, view, inputs, targets, key, radius, place)
        is_right = is_right & stands
        curve.append(is_right.double().mean())
        points.append(torch.as_tensor(radius, device=inputs.device).double())
    classes = torch.arange(_num_classes(view, options), device=inputs.device)
    belongs = (targets == classes[:, None]).double()
    found = {
        "robust_accuracy": curve[-1],
        "robust_area": _area(clean.double().mean(), torch.stack(curve), torch.stack(points)),
        "robust_accuracy_per_class": (belongs * is_right.double()).sum(-1) / belongs.sum(-1),
    }
    if len(options.epsilon) > 1:
        found["robust_accuracy_curve"] = torch.stack(curve)
    if _is_checked(options):
        few = slice(min(options.check_samples, count))
        found |= _masking(options, view, inputs[few], targets[few], is_right[few], key, radii[-1], place)
    return found


def _masking(
    options: RobustOptions, view: View, inputs: Tensor, targets: Tensor, stands: Tensor, key: Any,
    radius: Any, place: Pixels,
) -> dict[str, Tensor]:  # fmt: skip
    """Random search, and one full step from the input, against the attack itself."""
    search = options.model_copy(update={"attack": "square", "steps": options.check_queries, "restarts": 1})
    single = options.model_copy(update={"attack": "pgd", "steps": 1, "restarts": 1})
    by_search = ~_stands(search, view, inputs, targets, random.fold(key, "check"), radius, place)
    by_step = ~_stands(single, view, inputs, targets, random.fold(key, "check"), radius, place, 1.0)
    found = Broken.of(by_search, ~stands), Broken.of(by_step, ~stands)
    is_masked = exceeds(found[0]) | exceeds(found[1])
    return {
        "gradient_masking": is_masked.double(),
        "search_excess": found[0].excess,
        "one_step_excess": found[1].excess,
    }


def _stands(
    options: RobustOptions, view: View, inputs: Tensor, targets: Tensor, key: Any, radius: Any,
    place: Pixels, step_in_radii: float = 0.0,
) -> Bool[Tensor, " N"]:  # fmt: skip
    """Which examples are right at what the attack finds, piece by piece."""
    pieces = []
    for number, (some, true) in enumerate(zip(inputs.split(PIECE), targets.split(PIECE), strict=True)):
        points = attacked(
            options.attack, view.predict, some, true, random.fold(key, number), epsilon=radius,
            norm=options.norm, where=place, steps=options.steps or USUAL_STEPS, restarts=options.restarts,
            step_size=step_in_radii * radius if step_in_radii else options.step_size,
        )  # fmt: skip
        pieces.append(_is_right(view, points, true))
    return torch.cat(pieces)


def _is_right(view: View, inputs: Tensor, targets: Tensor) -> Bool[Tensor, " N"]:
    return torch.cat([view.predict(piece).argmax(-1) for piece in inputs.split(PIECE)]) == targets


def _area(clean: Tensor, curve: Float[Tensor, " E"], radii: Float[Tensor, " E"]) -> Float[Tensor, ""]:
    heights, places = torch.cat([clean[None], curve]), torch.cat([torch.zeros_like(radii[:1]), radii])
    area = ((heights[1:] + heights[:-1]) / 2 * places.diff()).sum()
    return torch.where(places[-1] > 0, area / torch.where(places[-1] > 0, places[-1], 1.0), clean)


def _is_checked(options: RobustOptions) -> bool:
    """Random search has squares in L-inf only, and needs gradients to be compared with."""
    return options.check_samples > 0 and options.norm == "linf" and options.attack != "square"


def _num_classes(view: View, options: RobustOptions) -> int:
    known = getattr(view.task, "num_classes", None)
    return int(known) if known else view.predict(view.data(options.split).inputs[:1]).shape[-1]


def _pixels(options: RobustOptions, view: View) -> Pixels:
    example = view.data(options.split).inputs
    if not hasattr(view.task, "statistics"):
        return unbounded(example)
    mean, std = view.task.statistics
    return pixels(mean, std, dtype=example.dtype, device=example.device, space=options.space)


def truth() -> Iterator[tuple[Any, ...]]:
    # Two classes on a line, margin x: what lies within the radius of 0 is broken, the rest stands.
    inputs = torch.tensor([[0.05], [0.15], [0.25], [0.35], [-0.1]], dtype=torch.float64)
    view = GivenView(
        given_targets={"val": [1, 1, 1, 1, 1]},
        given_inputs={"val": inputs},
        given_network=lambda x, tap: torch.cat([torch.zeros_like(x), x], -1),
    )
    nothing = {"gradient_masking": 0.0, "search_excess": 0.0, "one_step_excess": 0.0}
    yield (
        RobustOptions(epsilon=(0.2,)),
        view,
        {
            "robust_accuracy": 0.4,
            "robust_area": 0.6,
            "robust_accuracy_per_class": [float("nan"), 0.4],
            **nothing,
        },
    )
    yield (
        RobustOptions(epsilon=(0.1, 0.3), norm="l2", attack="apgd-ce"),
        view,
        {
            "robust_accuracy": 0.2,
            "robust_area": (0.7 * 0.1 + 0.4 * 0.2) / 0.3,
            "robust_accuracy_per_class": [float("nan"), 0.2],
            "robust_accuracy_curve": [0.6, 0.2],
        },
    )
