"""Langevin dynamics with momentum and a Nose-Hoover thermostat that absorbs unknown gradient noise."""

from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor

from epochal.samplers.chains import ChainOptions, Number, Samples, State, run, setting


def sgnht(
    potential: Any,
    w0: Tensor,
    *,
    step_size: Number,
    num_steps: int,
    chains: int = 4,
    seed: int = 0,
    gamma: Number = 0.0,
    n_beta: Number = 1.0,
    friction: float = 0.01,
    **options: Unpack[ChainOptions],
) -> Samples:
    """``p += -eps [n_beta grad L + gamma (w - w0)] - xi p + sqrt(2 eps A) N``; ``w += p``;
    ``xi += (1 - xi / 2) mean(p^2) - eps``.

    ``step_size`` eps is the square of the time step, so that it compares with
    :func:`~epochal.samplers.sgld`'s; ``friction`` A is where xi begins. Momenta begin at their stationary law
    N(0, eps). On a quadratic the thermostat holds ``mean(n_beta h w^2)`` at 1 for every eps, so the bias of
    long steps cancels in the mean over coordinates, not in each. ``statistics`` holds the last ``xi`` of each
    chain.

    Raises:
        UserError: an argument out of its range.

    Source: Ding et al. 2014, algorithm 2; localised, and with the factor ``1 - xi / 2``: in steps of finite
    length ``E[w grad U] = d (1 - xi / 2) E[p^2] / eps``, so their thermostat is too cold by xi / 2 where
    noise of gradients makes xi large. With the factor the virial is d, as it must be.
    """
    made = setting(
        potential, w0, step_size=step_size, num_steps=num_steps, chains=chains, seed=seed, gamma=gamma,
        n_beta=n_beta, **options,
    )  # fmt: skip
    eps, rows = made.step_size, len(made.start)
    root = eps**0.5
    state = {
        "momentum": made.kick() * root,
        "xi": torch.full((rows, 1), friction, dtype=w0.dtype, device=w0.device),
    }
    num_moving = w0.shape[-1] if made.mask is None else int(made.mask.sum())

    def step(w: Tensor, loss: Tensor, gradient: Tensor, state: State, number: int) -> Tensor:
        p, xi = state["momentum"], state["xi"]
        kick = made.kick() * (root * (2 * friction) ** 0.5)
        p = p - eps * made.force(w, gradient) - xi * p + kick
        if made.box is not None:
            outside = (w + p < made.box[0]) | (w + p > made.box[1])
            state["momentum"] = torch.where(outside, -p, p)
        else:
            state["momentum"] = p
        xi += p.square().sum(-1, keepdim=True) / num_moving * (1 - 0.5 * xi) - eps
        return made.inside(w + p)

    found = run(made, state, step)
    return replace(found, statistics={"xi": state["xi"].reshape(made.lead)})
