"""Coefficients along a planted trajectory: changes with the error of paired draws, blocks one by one."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from epochal.core.tensors.view import GivenView
from epochal.core.values.errors import UserError
from epochal.probes.llc import CoefficientOptions, llc

N_BETA, GAMMA, EPS = 100.0, 50.0, 0.002
FIXED: dict[str, Any] = {"n_beta": N_BETA, "gamma": GAMMA, "step_size": EPS, "burn_in": 60, "draws": 300}


def view(curvatures: torch.Tensor, seed: int) -> GivenView:
    return GivenView(
        fields={"seed": torch.tensor(seed)},
        given_params={
            "low.w": torch.zeros(3, dtype=torch.float64), "high.w": torch.zeros(5, dtype=torch.float64)
        },
        given_targets={"train": [0] * 500},
        given_loss=lambda flat: 0.5 * (curvatures * flat**2).sum(),
    )  # fmt: skip


def exact(curvatures: torch.Tensor) -> float:
    """With what steps of finite length add."""
    stiff = N_BETA * curvatures + GAMMA
    return float((0.5 * N_BETA * curvatures / stiff / (1 - EPS * stiff / 4)).sum())


def kept(options: CoefficientOptions, curvatures: torch.Tensor, seed: int) -> tuple[Any, dict[str, Any]]:
    probe = llc.configured(options)
    found = probe.measure(view(curvatures, seed), with_kept=True)
    return found, {name: found[name].numpy().astype(np.float32) for name in probe.kept}


def test_the_change_along_a_planted_trajectory_is_covered_by_the_error_of_pairs() -> None:
    """Curvatures rise by a tenth per step: known differences, between snapshots with the same noise."""
    options = CoefficientOptions(chains=4, **FIXED)
    probe = llc.configured(options)
    path = [torch.linspace(0.5, 2.0, 8, dtype=torch.float64) * 1.1**k for k in range(3)]
    hits, ratios, trials = 0, [], 0
    for seed in range(20):
        measured = [kept(options, curvatures, seed) for curvatures in path]
        for k in (1, 2):
            (a, earlier), (b, now) = measured[k - 1], measured[k]
            values = probe.across(earlier, now)
            truth = exact(path[k]) - exact(path[k - 1])
            assert abs(values["llc_change"] - float(b["llc"] - a["llc"])) < 1e-4
            hits += abs(values["llc_change"] - truth) < 2 * values["llc_change_error"]
            unpaired = math.hypot(float(a["llc_standard_error"]), float(b["llc_standard_error"]))
            ratios.append(values["llc_change_error"] / unpaired)
            trials += 1
    assert hits >= 0.85 * trials  # of 40, 95.4% each: fewer than 34 once in 200
    assert np.median(ratios) < 0.25


def test_other_settings_give_no_change() -> None:
    curvatures = torch.ones(8, dtype=torch.float64)
    _, one = kept(CoefficientOptions(chains=4, **FIXED), curvatures, 0)
    _, other = kept(CoefficientOptions(chains=4, **(FIXED | {"gamma": 51.0})), curvatures, 0)
    probe = llc.configured(CoefficientOptions(chains=4, **FIXED))
    assert probe.across(one, one)["llc_change"] == 0
    assert math.isnan(probe.across(one, other)["llc_change"])


def test_blocks_are_each_alone_and_of_a_quadratic_they_add() -> None:
    curvatures = torch.linspace(0.5, 2.0, 8, dtype=torch.float64)
    options = CoefficientOptions(chains=16, blocks=("each",), **(FIXED | {"draws": 1000}))
    probe = llc.configured(options)
    found, here = kept(options, curvatures, 0)
    assert probe.labels(view(curvatures, 0))["llc_blocks"] == ["low", "high"]
    for block, own in enumerate((curvatures[:3], curvatures[3:])):
        error = float(found["llc_blocks_standard_error"][block])
        assert abs(float(found["llc_blocks"][block]) - exact(own)) < 4 * error < 0.3 * exact(own)
    # Steps lift the stiffer block by more than a tenth, and that is no estimate.
    for block, own in enumerate((curvatures[:3], curvatures[3:])):
        stiff = N_BETA * own + GAMMA
        bias = exact(own) / float((0.5 * N_BETA * own / stiff).sum()) - 1
        assert float(found["llc_blocks_step_bias"][block]) == pytest.approx(bias, rel=0.1)
        assert float(found["llc_blocks_equilibrated"][block]) == (bias < 0.1)
    assert probe.across(here, here)["llc_blocks_change"].tolist() == [0.0, 0.0]
    with pytest.raises(UserError, match="blocks=middle is no parameter or module; modules are low, high"):
        kept(CoefficientOptions(blocks=("middle",), **FIXED), curvatures, 0)


def test_traces_are_left_out_where_nobody_wants_them() -> None:
    probe = llc.configured(CoefficientOptions(traces=False))
    assert probe.kept == () and probe.across_columns == ()
