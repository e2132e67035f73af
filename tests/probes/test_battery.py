"""Every probe passes the checks of its kind; the checks find what is wrong with bad ones."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import epochal
from epochal import GivenView, NoOptions, View, probes
from epochal.check.probe import CHECKS, check_probe
from epochal.core.tensors.probe import Probe
from epochal.core.values.errors import UserError


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", probes.names())
def test_it_passes(name: str, check: str) -> None:
    CHECKS[check](probes.find(name))


def test_an_unknown_probe_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown probe weight_nrom: did you mean 'weight_norm'"):
        probes.find("weight_nrom")


def declared(measure: Callable[[NoOptions, View], Mapping[str, Tensor]], **changes: Any) -> Probe:
    """A probe with the column ``x``."""
    measure.__name__ = "bad"
    declaration = {"columns": ("x",), "unit": "1", "low": -math.inf, "high": math.inf, "null": "0"}
    return epochal.probe(**{**declaration, "cost": "little", "source": "nobody", **changes})(measure)


def truth() -> Any:
    yield GivenView(given_params={"w": torch.tensor([3.0, 4.0])}), {"x": 5.0}


def norm(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Right."""
    return {"x": view.flat.norm()}


def squared(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Wrong by a square."""
    return {"x": view.flat.norm() ** 2}


def misnamed(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Another column."""
    return {"y": view.flat.norm()}


def an_array(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Where a number is declared."""
    return {"x": view.flat}


def undocumented(options: NoOptions, view: View) -> dict[str, Tensor]:
    return {"x": view.flat.norm()}


def writing(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Into what it should only read."""
    return {"x": view.flat.mul_(1.0).add_(1e-3).norm()}


def random(options: NoOptions, view: View) -> dict[str, Tensor]:
    """From the global generator."""
    return {"x": view.flat.norm() + float(torch.rand(()))}


def branching(options: NoOptions, view: View) -> dict[str, Tensor]:
    """On a value, which vmap refuses."""
    return {"x": view.flat.norm() if view.flat.sum() > 0 else view.flat.sum()}


def test_a_good_one_passes() -> None:
    assert [outcome.problem for outcome in check_probe(declared(norm))] == [""] * len(CHECKS)


@pytest.mark.parametrize(
    ("bad", "check", "problem"),
    [
        (squared, "its truths hold", "x is 25.0, its truth says 5.0"),
        (misnamed, "its truths hold", "gives y; it declares the columns x"),
        (an_array, "its truths hold", "gives x of shape (2,); it declares a number"),
        (undocumented, "its declaration is complete and kept", "declares no a docstring"),
        (writing, "it is pure", "changes the parameters"),
        (random, "it is pure", "called random operation"),
        (branching, "members are measured apart", "data-dependent control flow"),
    ],
)
def test_a_bad_one_is_told_what_is_wrong(bad: Any, check: str, problem: str) -> None:
    found = {outcome.check: outcome.problem for outcome in check_probe(declared(bad))}
    assert problem in found[check]


def test_a_value_outside_its_range_is_told() -> None:
    found = {o.check: o.problem for o in check_probe(declared(norm, high=1e-3))}
    assert "outside [-inf, 0.001]" in found["its declaration is complete and kept"]


def test_without_a_truth_it_is_told() -> None:
    nowhere = declared(norm, columns=("z",))
    assert "there is no truth() beside bad" in check_probe(nowhere)[0].problem
