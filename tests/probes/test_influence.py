"""Influences and susceptibilities of a linear model with Gaussian posterior, against closed forms."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import epochal
from epochal.core.values.errors import UserError

N, D, N_BETA, GAMMA = 30, 4, 30.0, 5.0
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(N, D, generator=GENERATOR, dtype=torch.float64)
TARGETS = INPUTS.sum(-1) + torch.randn(N, generator=GENERATOR, dtype=torch.float64)
BEST = torch.linalg.lstsq(INPUTS, TARGETS[:, None]).solution[:, 0]
MOMENT = INPUTS.T @ INPUTS / N
OPTIONS: dict[str, Any] = {
    "n_beta": N_BETA, "gamma": GAMMA, "step_size": 0.03, "sampler": "mala", "chains": 16, "burn_in": 20,
    "draws": 400,
}  # fmt: skip


class Halves(nn.Module):
    """``x . (left, right)``."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = (nn.Linear(D // 2, 1, bias=False, dtype=torch.float64) for _ in range(2))
        with torch.no_grad():
            self.left.weight.copy_(BEST[None, : D // 2])
            self.right.weight.copy_(BEST[None, D // 2 :])

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.left(x[:, : D // 2]) + self.right(x[:, D // 2 :])
        return found[:, 0]


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets).square().mean()


Array = NDArray[np.float64]


def covers(values: Array, errors: Array, exact: Array, *, within: float = 0.08) -> None:
    off = np.abs(values - exact) / errors
    assert off.max() < 6 and (off < 2).mean() > 0.85
    assert np.linalg.norm(values - exact) < within * np.linalg.norm(exact)


@pytest.mark.parametrize("correlation", [False, True])
def test_covariances_of_losses_are_those_of_the_gaussian(correlation: bool) -> None:
    """l_i = (e_i - x_i u)^2 / 2, u ~ N(0, S): Cov = e_i e_j s_ij + s_ij^2 / 2, s = X S X'."""
    found = epochal.influences(Halves(), half_square, (INPUTS, TARGETS), correlation=correlation, **OPTIONS)
    s = INPUTS @ torch.linalg.inv(N_BETA * MOMENT + GAMMA * torch.eye(D, dtype=torch.float64)) @ INPUTS.T
    rest = TARGETS - INPUTS @ BEST
    exact = (rest[:, None] * rest * s + s**2 / 2).numpy()
    if correlation:
        exact = exact / np.sqrt(np.diag(exact)[:, None] * np.diag(exact))
        assert np.allclose(np.diag(found.values), 1)
        off = ~np.eye(N, dtype=bool)
        covers(found.values[off], found.standard_errors[off], exact[off])
    else:
        covers(found.values, found.standard_errors, exact)
    assert found.equilibrated


def test_some_examples_are_a_part_of_all() -> None:
    options = OPTIONS | {"draws": 40}
    every = epochal.influences(Halves(), half_square, (INPUTS, TARGETS), **options)
    some = epochal.influences(Halves(), half_square, (INPUTS, TARGETS), of=[3, 1], on=[7], **options)
    assert some.values.shape == (2, 1) and (some.of, some.on) == ([3, 1], [7])
    assert np.allclose(some.values, every.values[[3, 1]][:, [7]])


def test_susceptibilities_are_those_of_the_gaussian() -> None:
    """phi = u'Hu/2 and L - l_i = c_i + e_i x_i u + u'Bu/2, B = H - x x'; moments of quadratic forms."""
    options = OPTIONS | {"draws": 1600}
    found = epochal.susceptibilities(Halves(), half_square, (INPUTS, TARGETS), **options)
    assert list(found.blocks) == ["left", "right"]
    eye = torch.eye(D, dtype=torch.float64)
    full = torch.linalg.inv(N_BETA * MOMENT + GAMMA * eye)
    for block, part in enumerate((slice(0, 2), slice(2, 4))):
        own = torch.zeros(D, D, dtype=torch.float64)
        own[part, part] = torch.linalg.inv(N_BETA * MOMENT[part, part] + GAMMA * eye[part, part])
        exact = []
        for x in INPUTS:
            b = MOMENT - x[:, None] * x
            a = MOMENT @ own
            together = torch.trace(a) * torch.trace(b @ own) + 2 * torch.trace(a @ b @ own)
            exact.append(float(together / 4 - torch.trace(a) * torch.trace(b @ full) / 4))
        covers(found.values[block], found.standard_errors[block], np.array(exact), within=0.25)


def test_what_is_refused() -> None:
    data = (INPUTS, TARGETS)
    for given, said in (({"of": [30]}, r"example 30 is given; the data has examples 0 \.\. 29"),
                        ({"on": []}, "no examples are given"), ({"draws": 0}, "draws=0")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            epochal.influences(Halves(), half_square, data, **(OPTIONS | given))
    with pytest.raises(UserError, match="blocks=middle"):
        epochal.susceptibilities(Halves(), half_square, data, blocks=["middle"], **OPTIONS)
