"""The local learning coefficient of the training loss."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from epochal.analysis.learning_coefficient import Estimate
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.restriction import restriction
from epochal.probes.learning_coefficient.sampling import Sampler, Settings, coefficient

COLUMNS = ("llc", "llc_standard_error", "llc_rhat", "llc_ess", "llc_equilibrated")


class CoefficientOptions(Options):
    """How to sample.

    What is None follows from the data's size and the loss's curvature at that step: give step_size, gamma and
    n_beta, or calibrate, to compare steps.
    """

    chains: int = Field(default=4, ge=2, le=1024, description="sampled side by side")
    draws: int = Field(default=100, ge=20, description="of each chain, after burn-in")
    burn_in: int | None = Field(default=None, ge=0, description="steps before; none: as many as draws take")
    thinning: int = Field(default=1, ge=1, description="steps per draw")
    step_size: float | None = Field(default=None, gt=0, description="none: a tenth of the stiffest scale")
    gamma: float | None = Field(default=None, ge=0, description="localisation; none: what burn-in can settle")
    n_beta: float | None = Field(default=None, gt=0, description="inverse temperature; none: n / log n")
    batch_size: int | None = Field(default=None, ge=1, description="none: 256, or all where there are fewer")
    sampler: Sampler = Field(default="sgld", description="sgld, rmsprop_sgld, sgnht or mala")
    shared_batches: bool = Field(default=False, description="the same minibatches for all chains")
    overdispersed: float = Field(default=0.0, ge=0, description="start off w*, in prior widths")
    restrict: tuple[str, ...] = Field(default=(), description="parameters or blocks that move; none: all")


@probe(
    columns=COLUMNS,
    unit="1",
    low=-math.inf,
    high=math.inf,
    null="0, where the loss does not depend on the parameters",
    cost="(burn_in + draws x thinning) x chains forward and backward passes over a minibatch",
    source="Lau et al. 2023; errors and R-hat by Vehtari et al. 2021",
    is_apart=True,
)
def llc(options: CoefficientOptions, view: View) -> dict[str, Tensor]:
    """``n_beta (E[L(w)] - L(w*))`` around the parameters, on the training set; half the number of directions
    that matter, at a regular minimum.

    ``llc_equilibrated`` is 1 where chains had settled: R-hat, effective draws, drift, half the draws against
    all. Elsewhere the number is what they said so far, and no estimate. NaN where the loss is not finite.
    Noise and minibatches depend on the seed and not on the step: steps are compared under common random
    numbers.
    """
    try:
        found = estimate_of(options, view)
    except NotFiniteError:
        return dict.fromkeys(COLUMNS, torch.tensor(math.nan, dtype=torch.float64))
    values = (found.value, found.standard_error, found.rhat, found.ess, float(found.equilibrated))
    return {
        name: torch.tensor(value, dtype=torch.float64) for name, value in zip(COLUMNS, values, strict=True)
    }


class NotFiniteError(Exception):
    """There is nothing to sample around."""


def estimate_of(options: CoefficientOptions, view: View) -> Estimate:
    """With its traces.

    Raises:
        NotFiniteError: the parameters are not finite.
        UserError: an option that does not fit the run.
    """
    if not bool(view.flat.isfinite().all()):
        raise NotFiniteError
    given = {name: value for name, value in options.model_dump().items() if name != "restrict"}
    settings = Settings(**given, seed=int(view.fields.get("seed", 0)))
    mask = restriction(view.layout, options.restrict, view.flat)
    return coefficient(loss_of(view), view.flat, settings, mask=mask)


def loss_of(view: View) -> NetworkLoss:
    """The objective on examples of the training set, in evaluation mode."""
    return NetworkLoss.of(
        lambda flat, index: view.loss_on(view.examples("train", index), flat), view.size("train")
    )


def truth() -> Iterator[tuple[Any, ...]]:
    targets = {"train": [0] * 8}
    place = {"w": torch.tensor([3.0, 1.0], dtype=torch.float64)}
    yield (
        CoefficientOptions(step_size=0.1, gamma=1.0),
        GivenView(given_params=place, given_targets=targets, given_loss=lambda flat: 0 * flat.sum() + 7),
        dict(zip(COLUMNS, (0.0, 0.0, 1.0, 400.0, 1.0), strict=True)),
    )
    broken = {"w": torch.tensor([math.nan], dtype=torch.float64)}
    yield (
        CoefficientOptions(),
        GivenView(given_params=broken, given_targets=targets, given_loss=lambda flat: flat.sum()),
        dict.fromkeys(COLUMNS, math.nan),
    )
