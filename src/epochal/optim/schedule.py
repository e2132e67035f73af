"""The learning rate as a function of the step: a product of factors, each per member.

``step`` counts completed updates, so the first update has step 0; a tensor of steps ``[*steps 1 1]`` gives
the rates of all of them. ``schedule(warm_up, cosine)`` is ``learning_rate`` times both. A factor whose number
of steps is 0 is 1.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Columns = Mapping[str, Float[Tensor, "M 1"]]
Steps = int | Int64[Tensor, "*steps 1 1"]
Rates = Float[Tensor, "*steps M 1"]
Factor = Callable[[Columns, Steps], Rates]


def schedule(*factors: Factor) -> Factor:
    """``learning_rate`` times these factors, in float64."""
    return partial(_product, factors)


def warmed_up(fields: Columns, step: Steps) -> Rates:
    """``learning_rate`` after warm-up, constant from then on."""
    return fields["learning_rate"] * warm_up(fields, step)


def warm_up(fields: Columns, step: Steps) -> Rates:
    """``min(1, (step + 1) / warmup_steps)``. Reads ``warmup_steps``.

    The first update already moves. Power et al. 2022 and what follows them use ``step / warmup_steps``,
    whose first update has rate zero: that is ``one_later(warm_up)``.
    """
    ramp = _over(step + 1, fields["warmup_steps"].clamp(min=1))
    return ramp.clamp(max=1.0)


def cosine(fields: Columns, step: Steps) -> Rates:
    """``f + (1 - f) (1 + cos(pi t)) / 2``.

    Reads ``anneal_steps``, ``anneal_every``, ``anneal_final_fraction``, ``warmup_steps``. f is
    ``anneal_final_fraction`` in [0, 1]; t runs from 0 at the first update with the full rate to 1 after
    ``anneal_steps`` further ones, and stays there. It moves every ``anneal_every`` updates: the updates of an
    epoch give one rate per epoch. ``anneal_steps`` = 0: no annealing.

    Source: Loshchilov & Hutter 2017, equation 5, without restarts; without warm-up it is
    ``torch.optim.lr_scheduler.CosineAnnealingLR``, with it openai/grok's (f = 0.1), one step earlier
    (``one_later`` makes it that one).
    """
    steps, final = fields["anneal_steps"], fields["anneal_final_fraction"]
    every = fields["anneal_every"]
    since = torch.floor((step + 1 - fields["warmup_steps"].clamp(min=1)) / every) * every
    t = (since / steps.clamp(min=1)).clamp(0.0, 1.0)
    return torch.where(steps > 0, final + (1 - final) * (1 + torch.cos(math.pi * t)) / 2, 1.0)


def step_decay(fields: Columns, step: Steps) -> Rates:
    """``factor^floor(step / steps)``. Reads ``rate_decay_steps``, ``rate_decay_factor``.

    ``rate_decay_steps`` = 0 or a factor of 1: no decay. Source: ``torch.optim.lr_scheduler.StepLR``.
    """
    steps = fields["rate_decay_steps"]
    times = torch.where(steps > 0, torch.floor(_over(step, steps.clamp(min=1))), 0.0)
    # Not a power: its last digit depends on the place of a number in the tensor.
    return torch.exp(times * torch.log(fields["rate_decay_factor"]))


def one_later(factor: Factor) -> Factor:
    """What the factor is an update earlier: the published schedules, whose ramp begins at 0.

    The first update then has rate zero. It still counts as an update: it fills the running means of an
    optimiser, and every later step number is one higher.
    """
    return partial(_shifted, factor)


def _over(steps: Steps, length: Float[Tensor, "M 1"]) -> Rates:
    """True division: a Python number over a tensor is a product with the reciprocal, so that 49 / 49 < 1."""
    return torch.as_tensor(steps, device=length.device) / length


def _shifted(factor: Factor, fields: Columns, step: Steps) -> Rates:
    return factor(fields, step - 1)


def _product(factors: tuple[Factor, ...], fields: Columns, step: Steps) -> Rates:
    rate = fields["learning_rate"]
    for factor in factors:
        rate = rate * factor(fields, step)
    return rate
