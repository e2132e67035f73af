"""Would one factor on the logits serve all environments? The IRMv1 penalty as a measure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import Rank, probe
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.objectives.cross_entropy import negative_log_likelihood
from epochal.probes.shortcuts.environments import Kind, number, problem, slopes_by_environment
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader
from epochal.probes.shortcuts.penalty import penalties, unbiased_penalties
from epochal.probes.shortcuts.shares import mean_of_defined

COLUMNS: Mapping[str, Rank] = {
    "irm_mean": 0, "irm_variance": 0, "irm_per_environment": 1, "irm_unbiased": 0, "irm_saturated": 0,
}  # fmt: skip


class IrmOptions(Options):
    """Of which examples, in which environments."""

    split: Split = Field(default="train", description="of which examples")
    environments: Kind = Field(
        default="own",
        description="own: the task's; else made here: brightness, random (equal counts), patch_flip, rho",
    )
    num_environments: int = Field(default=0, ge=0, le=100, description="0 = the task's own number, or 3")
    saturated_loss: float = Field(
        default=0.01, gt=0, description="nat; a fit without errors below this mean loss is saturated"
    )


def _requires(options: IrmOptions, task: Any) -> None:
    if line := problem(options.environments, options.num_environments, task):
        raise UserError(line)


def _labels(options: IrmOptions, view: View) -> Mapping[str, Sequence[str]]:
    num = number(options.environments, options.num_environments, view.task)
    names = {
        "patch_flip": ["as it is", "changed"],
        "rho": [f"rho {place / max(1, num - 1):g}" for place in range(num)],
    }.get(options.environments, [f"environment {place}" for place in range(num)])
    return {"irm_per_environment": names}


@probe(
    columns=COLUMNS,
    unit="nat^2",
    low=-math.inf,
    high=math.inf,
    null="0, where the scale of the logits fits each environment; also where a fit is saturated",
    cost="logits shared with loss; patch_flip one and rho two more forward passes over the split",
    source="Arjovsky et al. 2019, IRMv1; irm_unbiased: DomainBed's two halves, over all ways to halve",
    labels=_labels,
    requires=_requires,
)
def irm(options: IrmOptions, view: View) -> dict[str, Tensor]:
    """Per environment ``(d/ds CE(s z))^2`` at s = 1, in closed form and float64.

    Mean and population variance are those of environments that are not empty. ``irm_unbiased`` estimates
    the mean penalty of infinitely many examples and may be negative; ``irm_mean`` is too large by the slopes'
    variance / n.

    ``irm_saturated`` is 1 where every example of the split is right and the mean loss is below
    ``saturated_loss``: slopes are then small because the data are fitted, whatever the network reads, and the
    penalty says nothing.
    """
    slope, weight = slopes_by_environment(view, options.split, options.environments, options.num_environments)
    each = penalties(slope, weight)
    mean = mean_of_defined(each)
    targets, logits = view.targets(options.split), view.logits(options.split)
    loss = negative_log_likelihood(logits.to(wide(logits.device)), targets).mean()
    is_right = (logits.argmax(-1) == targets).all()
    return {
        "irm_mean": mean,
        "irm_variance": mean_of_defined((each - mean).square()),
        "irm_per_environment": each,
        "irm_unbiased": mean_of_defined(unbiased_penalties(slope, weight)),
        "irm_saturated": (is_right & (loss < options.saturated_loss)).double(),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    # Logits (s, -s): the slope is -2 s / (1 + e^(2 s)) where that is right, 2 s / (1 + e^(-2 s)) where wrong.
    right, wrong = -2 / (1 + math.exp(2)), 2 / (1 + math.exp(-2))
    half = ((right + wrong) / 2) ** 2  # each label meets each code equally often
    pairs = (64 * half - 4 * right**2 - 4 * wrong**2) / 56

    def expected(*each: float, unbiased: float) -> dict[str, Any]:
        mean = sum(each) / len(each)
        variance = sum((one - mean) ** 2 for one in each) / len(each)
        return {
            "irm_mean": mean, "irm_variance": variance, "irm_per_environment": list(each),
            "irm_unbiased": unbiased, "irm_saturated": 0.0,
        }  # fmt: skip

    yield cued(patch_reader), expected(half, half, unbiased=pairs)
    yield cued(core_reader), expected(right**2, right**2, unbiased=right**2)
    flipped = IrmOptions(environments="patch_flip", split="val")
    both = (256 * half - 8 * right**2 - 8 * wrong**2) / 240
    yield flipped, cued(patch_reader), expected(half, half, unbiased=both)
    yield flipped, cued(core_reader), expected(right**2, right**2, unbiased=right**2)
    by_rho = IrmOptions(environments="rho", num_environments=3)
    yield (
        by_rho,
        cued(patch_reader),
        expected(wrong**2, half, right**2, unbiased=(wrong**2 + half + right**2) / 3),
    )
    yield by_rho, cued(core_reader), expected(*[right**2] * 3, unbiased=right**2)
    # The middle is dark or bright with the label: two bins are the labels, each with both codes.
    bins = IrmOptions(environments="brightness", num_environments=2)
    yield bins, cued(patch_reader), expected(half, half, unbiased=pairs)
    yield (
        IrmOptions(environments="random", num_environments=4),
        cued(core_reader),
        expected(*[right**2] * 4, unbiased=right**2),
    )
    large = cued(lambda inputs, tap: 100 * core_reader(inputs, tap))
    yield large, {**expected(0.0, 0.0, unbiased=0.0), "irm_saturated": 1.0}
