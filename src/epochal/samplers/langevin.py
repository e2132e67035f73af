"""Stochastic gradient Langevin dynamics with localisation."""

from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor

from epochal.samplers.chains import ChainOptions, Number, Samples, Setting, State, Step, run, setting


def sgld(
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
    """``w += -(eps/2) [n_beta grad L(w) + gamma (w - w0)] + sqrt(eps) N(0, 1)``.

    ``potential(w [..., chains, d]) -> [..., chains]`` is L; with a second argument it is told the step, for
    minibatches. ``w0 [..., d]``. On ``L = h w^2 / 2`` the chain settles at ``E[n_beta L] = (1/2) / (1 - eps
    n_beta h / 4)`` instead of 1/2 (gamma = 0): the bias of steps that are not corrected. ``statistics`` holds
    an estimate of it for each chain, ``excess = (eps / 8) E[n_beta g . F]`` after burn-in, g the gradient and
    F the force that moved the chain. That a step leaves ``E|w - w0|^2`` as it is gives ``E[(w - w0) . F] = d
    + (eps / 4) E|F|^2``, where exact draws have d; so on a quadratic ``n_beta E[L]`` is too high by just the
    excess, the noise of minibatches included where curvature is far above gamma. Where L grows faster than
    a quadratic, the excess overrates the bias, by k / 2 for a homogeneous L of degree k.

    Raises:
        UserError: an argument out of its range.

    Source: Welling & Teh 2011; localised as in Lau et al. 2023, equation 20.
    """
    made = setting(
        potential, w0, step_size=step_size, num_steps=num_steps, chains=chains, seed=seed, gamma=gamma,
        n_beta=n_beta, **options,
    )  # fmt: skip
    state = {"work": torch.zeros(len(made.start), dtype=torch.float64, device=w0.device)}
    found = run(made, state, langevin_step(made))
    scale = torch.as_tensor(made.n_beta) * made.step_size / (8 * (made.num_steps - made.burn_in))
    excess = state["work"] * scale.double().to(w0.device).reshape(-1)
    return replace(found, statistics={"excess": excess.reshape(made.lead)})


def langevin_step(made: Setting) -> Step:
    """The update of one step; sums ``g . F`` after burn-in."""
    eps = made.step_size

    def step(w: Tensor, loss: Tensor, gradient: Tensor, state: State, number: int) -> Tensor:
        moved = made.force(w, gradient)
        if number >= made.burn_in:
            state["work"] += torch.linalg.vecdot(gradient, moved)
        moved.mul_(-0.5 * eps)
        if isinstance(eps, float):
            moved.add_(made.kick(), alpha=eps**0.5)
        else:
            moved += made.kick() * eps**0.5
        moved += w
        return made.inside(moved)

    return step
