"""Metropolis-adjusted Langevin: steps of SGLD on the full data, each accepted or rejected exactly."""

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.samplers.chains import ChainOptions, Number, Samples, chain_index, setting
from epochal.samplers.kept import Kept
from epochal.samplers.noise import RowNoise


def mala(
    potential: Any,
    w0: Tensor,
    *,
    step_size: Number,
    num_steps: int,
    chains: int = 4,
    seed: int = 0,
    gamma: Number = 0.0,
    n_beta: Number = 1.0,
    **options: Unpack[ChainOptions],
) -> Samples:
    """Proposes SGLD's step and accepts with ``min(1, pi(w') q(w|w') / (pi(w) q(w'|w)))``.

    ``pi = exp(-n_beta L - gamma/2 |w - w0|^2)`` is the stationary law at every step size, whence no bias. The
    potential must be that of the full data: with minibatches the ratio means nothing. ``acceptance`` is the
    mean probability after burn-in; about .57 mixes fastest in many dimensions (Roberts & Rosenthal 1998), .9
    says that plain SGLD of that step size is nearly exact. A proposal outside ``box``, or where L is not
    finite, is rejected; a chain diverges only if L is not finite at its start.

    Raises:
        UserError: an argument out of its range.

    Source: Besag 1994; Roberts & Tweedie 1996.
    """
    made = setting(
        potential, w0, step_size=step_size, num_steps=num_steps, chains=chains, seed=seed, gamma=gamma,
        n_beta=n_beta, **options,
    )  # fmt: skip
    if made.is_told_the_step:
        raise UserError("mala needs the potential of the full data: a function of w alone, not of the step")
    eps, rows = made.step_size, len(made.start)
    coins = RowNoise(random.fold(made.key, "accept"), made.names, 1, torch.float64, w0.device)
    moving = 1.0 if made.mask is None else made.mask

    def energy(w: Tensor, loss: Tensor) -> Tensor:
        pull = (w - made.w0).double().square().sum(-1)
        return loss.double() * _flat(made.n_beta) + 0.5 * pull * _flat(made.gamma)

    def cost(to: Tensor, at: Tensor, force: Tensor) -> Tensor:
        """``-log q(to | at)``."""
        return ((to - at + 0.5 * eps * force) * moving).double().square().sum(-1) / (2 * _flat(eps))

    w = made.start
    losses = torch.full((rows, made.num_steps), math.nan, dtype=w.dtype, device=w.device)
    accepted = torch.zeros(rows, dtype=torch.float64, device=w.device)
    kept = Kept(made)
    with torch.no_grad():
        loss, gradient = made.slope(w, 0)
        begun = loss.isfinite()
        force, level = made.force(w, gradient), energy(w, loss)
        for number in range(made.num_steps):
            losses[:, number] = loss
            kept.look(w, number)
            proposed = w - 0.5 * eps * force + made.kick() * eps**0.5
            new_loss, new_gradient = made.slope(proposed, number)
            new_force, new_level = made.force(proposed, new_gradient), energy(proposed, new_loss)
            log_ratio = level - new_level + cost(proposed, w, force) - cost(w, proposed, new_force)
            if made.box is not None:
                is_inside = ((proposed >= made.box[0]) & (proposed <= made.box[1])).all(-1)
                log_ratio = torch.where(is_inside, log_ratio, -math.inf)
            log_ratio = torch.where(log_ratio.isnan() | ~new_loss.isfinite(), -math.inf, log_ratio)
            # Phi of a standard normal is uniform: one kind of noise serves all.
            taken = torch.special.log_ndtr(coins.next()[:, 0]) < log_ratio
            if number >= made.burn_in:
                accepted += log_ratio.clamp(max=0).exp()
            w = torch.where(taken[:, None], proposed, w)
            force = torch.where(taken[:, None], new_force, force)
            level = torch.where(taken, new_level, level)
            loss = torch.where(taken, new_loss, loss)
    never = (~begun).nonzero().flatten().tolist()
    positions, observed = kept.tensors(dict.fromkeys(never, 0), w)
    losses[~begun], w[~begun] = math.nan, math.nan
    lead = made.lead
    return Samples(
        losses=losses.reshape(*lead, -1),
        positions=positions.reshape(*lead, *positions.shape[1:]),
        last=w.reshape(*lead, -1),
        burn_in=made.burn_in,
        observed=None if observed is None else observed.reshape(*lead, *observed.shape[1:]),
        diverged={chain_index(row, lead): 0 for row in never},
        acceptance=(accepted / (made.num_steps - made.burn_in)).reshape(lead),
    )


def _flat(value: Number) -> Number:
    """``[R, 1]`` as ``[R]``."""
    return value[:, 0] if isinstance(value, Tensor) else value
