"""Every attack against adversarial-robustness-toolbox's on the same network, within one percentage point."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from epochal.attacks.ball import Norm, pixels
from epochal.attacks.named import AttackName, attacked
from epochal.attacks.square import square
from epochal.core.tensors import random

pytest.importorskip("art", reason="pip install adversarial-robustness-toolbox")

from bench.attacks import Art, digits_network

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of ART

COUNT, SEEDS = 240, 2


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Tensor, Tensor, Art]:
    module, x, y = digits_network(COUNT)
    return module, x, y, Art(module, tuple(x.shape[1:]), 10)


def robust(module: nn.Module, points: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return 100 * float((module(points).argmax(-1) == y).double().mean())


WHERE = pixels((0.0,), (1.0,), dtype=torch.float32, device=torch.device("cpu"))


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.08), ("l2", 0.5)])
@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "apgd-dlr"])
def test_gradient_attacks(
    name: AttackName, norm: Norm, radius: float, case: tuple[nn.Module, Tensor, Tensor, Art]
) -> None:
    module, x, y, art = case
    given: Any = {"norm": norm, "epsilon": radius, "steps": 40, "restarts": 5}
    mine, theirs = 0.0, 0.0
    for seed in range(SEEDS):
        key = random.key(seed, "attack")
        mine += robust(module, attacked(name, module, x, y, key, where=WHERE, **given), y) / SEEDS
        theirs += robust(module, art.gradients(name, x, y, seed, **given), y) / SEEDS
    assert 20 < theirs < 80, "neither all nor none is broken"
    assert abs(mine - theirs) <= 1.0


def test_squares_that_reach_the_last_row_and_column(case: tuple[nn.Module, Tensor, Tensor, Art]) -> None:
    """ART's do not: given a border to leave out instead, it finds what ours find."""
    module, x, y, art = case
    mine, theirs = 0.0, 0.0
    for seed in range(SEEDS):
        found = square(module, x, y, random.key(seed, "attack"), epsilon=0.08, where=WHERE, steps=600)
        mine += robust(module, found, y) / SEEDS
        other = art.square(x, y, seed, epsilon=0.08, steps=600, with_border=True)
        theirs += robust(module, other, y) / SEEDS
    assert abs(mine - theirs) <= 1.0
    left_out = art.square(x, y, 0, epsilon=0.08, steps=600, with_border=False)
    assert robust(module, left_out, y) > mine + 2
