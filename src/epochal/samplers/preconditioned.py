"""Langevin dynamics with RMSprop's preconditioner."""

from typing import Any, Unpack

import torch
from torch import Tensor

from epochal.samplers.chains import ChainOptions, Number, Samples, State, run, setting


def rmsprop_sgld(
    potential: Any,
    w0: Tensor,
    *,
    step_size: Number,
    num_steps: int,
    chains: int = 4,
    seed: int = 0,
    gamma: Number = 0.0,
    n_beta: Number = 1.0,
    smoothing: float = 0.99,
    damping: float = 0.1,
    adapt_steps: int | None = None,
    **options: Unpack[ChainOptions],
) -> Samples:
    """``w += -(eps/2) G [n_beta grad L + gamma (w - w0)] + sqrt(eps G) N``, ``G = 1 / (damping + sqrt(V))``.

    V is the running mean (``smoothing``) of the squared gradient of L, per coordinate and chain. It adapts
    during the first ``adapt_steps`` (by default: burn-in) and is then held fast. Where it is, the correction
    ``Gamma_i = dG_ii/dw_i`` of a preconditioner that depends on the position is exactly 0 and the chain has
    the right stationary law. While it adapts, Gamma is left out, as Li et al. do in practice: with
    ``adapt_steps=num_steps`` the law is off by that.

    Raises:
        UserError: an argument out of its range.

    Source: Li, Chen, Carlson & Carin 2016, algorithm 1.
    """
    made = setting(
        potential, w0, step_size=step_size, num_steps=num_steps, chains=chains, seed=seed, gamma=gamma,
        n_beta=n_beta, **options,
    )  # fmt: skip
    adapting = made.burn_in if adapt_steps is None else adapt_steps
    state = {"squares": torch.zeros_like(made.start)}

    def step(w: Tensor, loss: Tensor, gradient: Tensor, state: State, number: int) -> Tensor:
        squares = state["squares"]
        if number < max(adapting, 1):
            # The first square stands for all before it: from 0, early steps would be far too long.
            share = 1 - smoothing if number else 1.0
            squares.lerp_(gradient.square(), share)
        scale = made.step_size / (damping + squares.sqrt())
        moved = w - 0.5 * scale * made.force(w, gradient) + scale.sqrt() * made.kick()
        return made.inside(moved)

    return run(made, state, step)
