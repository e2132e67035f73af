"""Stochastic gradient Langevin dynamics with localisation."""

from typing import Any, Unpack

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
    n_beta h / 4)`` instead of 1/2 (gamma = 0): the bias of steps that are not corrected.

    Raises:
        UserError: an argument out of its range.

    Source: Welling & Teh 2011; localised as in Lau et al. 2023, equation 20.
    """
    made = setting(
        potential, w0, step_size=step_size, num_steps=num_steps, chains=chains, seed=seed, gamma=gamma,
        n_beta=n_beta, **options,
    )  # fmt: skip
    return run(made, {}, langevin_step(made))


def langevin_step(made: Setting) -> Step:
    """The update of one step."""
    eps = made.step_size

    def step(w: Tensor, loss: Tensor, gradient: Tensor, state: State, number: int) -> Tensor:
        moved = made.force(w, gradient).mul_(-0.5 * eps)
        if isinstance(eps, float):
            moved.add_(made.kick(), alpha=eps**0.5)
        else:
            moved += made.kick() * eps**0.5
        moved += w
        return made.inside(moved)

    return step
