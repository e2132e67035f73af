"""The simple gradient noise scale: the batch size at which noise and gradient are equally long."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import probe
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options


class NoiseOptions(Options):
    """On which examples."""

    split: Split = Field(default="train", description="train, val or test")
    samples: int = Field(default=256, ge=2, description="examples, or all where there are fewer")
    group: int = Field(default=8, ge=1, description="examples per small batch; 1 is each example's gradient")


@probe(
    columns=("gradient_noise_scale", "gradient_noise_scale_error"),
    unit="examples",
    low=0.0,
    high=math.inf,
    null="0, where all examples have one gradient; infinite where none is left on average",
    cost="samples / group gradients, which are kept until all are there",
    source="McCandlish et al. 2018, equation 2.9 and appendix A.1 (two batch sizes), error by the jackknife",
)
def gradient_noise_scale(options: NoiseOptions, view: View) -> dict[str, Tensor]:
    """``B = tr(Sigma) / |G|^2``: Sigma the covariance of one example's gradient, G the true gradient.

    Both by unbiased estimates from squared lengths at two batch sizes, b = ``group`` and n, all groups
    together: ``|G|^2 = (n |g_n|^2 - b |g_b|^2) / (n - b)``, and ``tr(Sigma) = (|g_b|^2 - |g_n|^2) / (1/b -
    1/n)``. Batches much smaller than B mostly see noise. Infinite where the estimate of ``|G|^2`` is not
    positive: more than these examples can tell. The error is the jackknife's over groups, infinite where it
    cannot tell.
    """
    batch = view.drawn(options.split, options.samples)
    groups = len(batch.targets) // options.group
    if groups < 2:
        raise UserError(
            f"group={options.group} makes {groups} of {len(batch.targets)} examples; two or more are needed: "
            "lower group"
        )
    each = torch.stack([_gradient(view, part) for part in _parts(batch, groups, options.group)])
    each = each.to(wide(each.device))
    squares, mean = each.square().sum(-1), each.mean(0)
    along = each @ mean
    whole = _scale(squares.mean(), mean.square().sum(), options.group, groups)
    if groups == 2:
        return {"gradient_noise_scale": whole, "gradient_noise_scale_error": torch.full_like(whole, math.inf)}
    # Without group k the mean is (m g - g_k) / (m - 1).
    rest = (groups**2 * mean.square().sum() - 2 * groups * along + squares) / (groups - 1) ** 2
    left = _scale((squares.sum() - squares) / (groups - 1), rest, options.group, groups - 1)
    spread = ((left - left.mean()).square().sum() * (groups - 1) / groups).sqrt()
    return {
        "gradient_noise_scale": whole,
        "gradient_noise_scale_error": torch.where(
            whole.isfinite() & spread.isfinite(), spread, torch.where(whole.isnan(), math.nan, math.inf)
        ),
    }


def _scale(small: Tensor, large: Tensor, size: int, groups: int) -> Tensor:
    """B from the mean squared length of ``groups`` gradients of ``size`` examples, and that of their mean."""
    number = size * groups
    signal = (number * large - size * small) / (number - size)
    noise = ((small - large) / (1 / size - 1 / number)).clamp_min(0.0)
    scale = noise / torch.where(signal > 0, signal, 1.0)
    none_left = torch.where(noise > 0, math.inf, 0.0)
    return torch.where(signal > 0, scale, torch.where(signal.isnan(), math.nan, none_left))


def _gradient(view: View, part: Batch) -> Tensor:
    found: Tensor = torch.func.grad(lambda flat: view.loss_on(part, flat))(view.flat)
    return found


def _parts(batch: Batch, groups: int, size: int) -> Iterator[Batch]:
    for group in range(groups):
        rows = slice(group * size, (group + 1) * size)
        yield Batch(
            inputs=batch.inputs[rows],
            targets=batch.targets[rows],
            weight=batch.weight[rows],
            factors={name: of[rows] for name, of in batch.factors.items()},
        )


def truth() -> Iterator[tuple[Any, ...]]:
    """Gradients (2, 1), (4, 1), (2, 3), (4, 3): mean (3, 2), each coordinate with variance 4/3 about it."""
    inputs = torch.tensor([[2.0, 1.0], [4.0, 1.0], [2.0, 3.0], [4.0, 3.0]], dtype=torch.float64)
    view = GivenView(
        given_params={"w": torch.zeros(2, dtype=torch.float64)},
        given_inputs={"train": inputs},
        given_targets={"train": [0, 0, 0, 0]},
        given_batch_loss=lambda batch, flat: (batch.inputs @ flat).mean(),
    )
    one, pairs = NoiseOptions(group=1), NoiseOptions(group=2)
    # |G|^2 is 13 less the variance of the mean, 8/3 / 4.
    alone = (8 / 3) / (13 - 2 / 3)
    left = []
    for out in range(4):
        kept = inputs[[k for k in range(4) if k != out]]
        variance = kept.var(0).sum().item()
        left.append(variance / (kept.mean(0).square().sum().item() - variance / 3))
    mean = sum(left) / 4
    error = math.sqrt(sum((value - mean) ** 2 for value in left) * 3 / 4)
    yield one, view, {"gradient_noise_scale": alone, "gradient_noise_scale_error": error}
    # Means (3, 1) and (3, 3): |g_2|^2 is 14, |g_4|^2 is 13.
    yield (
        pairs,
        view,
        {"gradient_noise_scale": (1 / (1 / 2 - 1 / 4)) / 12, "gradient_noise_scale_error": math.inf},
    )
