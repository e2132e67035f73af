"""What every objective must pass: its definition, its gradient, weights, members apart, extreme logits."""

import inspect
import math
import pkgutil
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from epochal import objectives
from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import Objective
from epochal.objectives.cross_entropy import cross_entropy
from epochal.objectives.cross_entropy_float64 import cross_entropy_float64
from epochal.objectives.group_dro import GroupDRO
from epochal.objectives.hinge import hinge
from epochal.objectives.irm import IRM
from epochal.objectives.mse import mse
from epochal.objectives.reweighted import Reweighted
from epochal.objectives.stablemax import stablemax
from epochal.objectives.vrex import VREx

OF_ONE_PART: dict[str, Any] = {"factor": "environment", "count": 1}
"""What compares parts is tested with several in test_across.py."""
OBJECTIVES: dict[str, Objective] = {
    "cross_entropy": cross_entropy, "cross_entropy_float64": cross_entropy_float64, "hinge": hinge,
    "mse": mse, "stablemax": stablemax, "irm": IRM(**OF_ONE_PART), "vrex": VREx(**OF_ONE_PART),
    "group_dro": GroupDRO(**OF_ONE_PART), "reweighted": Reweighted(**OF_ONE_PART),
}  # fmt: skip
STATES = {
    "group_dro": {"log_q": torch.zeros(1, dtype=torch.float64)},
    "reweighted": {"ratio": torch.ones(1, dtype=torch.float64)},
}
READ = {"penalty_weight": 2.0, "penalty_anneal_steps": 0.0, "group_dro_eta": 0.5}
AT_CHANCE = {"hinge": 1.0, "mse": 1 / 7}
"""For equal logits of seven classes, where it is not log 7."""
NAMES = list(OBJECTIVES)
EXAMPLES, CLASSES = 12, 7
KEY = torch.tensor(0)


def logits_of(scale: float = 1.0, seed: int = 0) -> Tensor:
    return scale * random.normal(random.key(seed, "logits"), (EXAMPLES, CLASSES), torch.float64)


def targets_of(seed: int = 0) -> Tensor:
    return (random.uniform(random.key(seed, "targets"), (EXAMPLES,), torch.float64) * CLASSES).long()


def weights_of(seed: int = 0) -> Tensor:
    return random.uniform(random.key(seed, "weights"), (EXAMPLES,), torch.float64)


def fields_of(smoothing: float = 0.0) -> dict[str, Tensor]:
    return {"label_smoothing": torch.tensor(smoothing, dtype=torch.float64)}


def loss_of(
    name: str,
    logits: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    fields: dict[str, Tensor] | None = None,
) -> Tensor:
    weight = torch.ones(len(targets), dtype=logits.dtype) if weight is None else weight
    factors = {"environment": torch.zeros(len(targets), dtype=torch.int64)}
    batch = Batch(inputs=logits, targets=targets, weight=weight, factors=factors)
    read = {field: torch.tensor(value, dtype=torch.float64) for field, value in READ.items()}
    given = read | (fields_of() if fields is None else fields)
    return OBJECTIVES[name](lambda inputs: inputs, batch, given, STATES.get(name, {}), KEY)[0]


def value_and_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_is_torchs(scale: float, smoothing: float) -> None:
    logits, targets = logits_of(scale), targets_of()
    ours = value_and_gradient(
        lambda z: loss_of("cross_entropy", z, targets, fields=fields_of(smoothing)), logits
    )
    theirs = value_and_gradient(lambda z: F.cross_entropy(z, targets, label_smoothing=smoothing), logits)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-13, atol=1e-13)


def test_no_smoothing_changes_no_bit() -> None:
    """Members without it keep what a spec without the field gives."""
    logits, targets = logits_of(), targets_of()
    plain = value_and_gradient(lambda z: loss_of("cross_entropy", z, targets, fields={}), logits)
    none = value_and_gradient(lambda z: loss_of("cross_entropy", z, targets, fields=fields_of(0.0)), logits)
    assert torch.equal(plain[0], none[0])
    torch.testing.assert_close(plain[1], none[1], rtol=1e-15, atol=1e-17)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_mse_is_torchs(scale: float) -> None:
    logits, targets = logits_of(scale), targets_of()
    one_hot = F.one_hot(targets, CLASSES).double()
    ours = value_and_gradient(lambda z: loss_of("mse", z, targets), logits)
    theirs = value_and_gradient(lambda z: F.mse_loss(z, one_hot), logits)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
def test_hinge_is_its_definition(scale: float) -> None:
    logits, targets = logits_of(scale), targets_of()
    rows = zip(logits.tolist(), targets.tolist(), strict=True)
    losses = [max([0.0, *(1 + z - row[t] for c, z in enumerate(row) if c != t)]) for row, t in rows]
    assert math.isclose(float(loss_of("hinge", logits, targets)), sum(losses) / EXAMPLES, rel_tol=1e-13)


def exact_stablemax(logits: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """Its definition with 60 digits: -log(s_t / sum s), and d/dz_c = (p_c - [c = t]) s'_c / s_c."""
    with localcontext() as arithmetic:
        arithmetic.prec = 60
        arithmetic.Emax, arithmetic.Emin = 10**6, -(10**6)
        total, gradient = Decimal(0), list[float]()
        for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
            z = [Decimal(value) for value in row]
            s = [1 + v if v >= 0 else 1 / (1 - v) for v in z]
            slope = [Decimal(1) if v >= 0 else 1 / (1 - v) ** 2 for v in z]
            total -= (s[target] / sum(s, Decimal(0))).ln()
            for c, (value, rise) in enumerate(zip(s, slope, strict=True)):
                pull = 1 / value if c == target else Decimal(0)
                gradient.append(float(rise * (1 / sum(s, Decimal(0)) - pull) / len(logits)))
        return float(total / len(logits)), torch.tensor(gradient, dtype=torch.float64).reshape(logits.shape)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 30.0, 1e6, 1e15, 1e200])
def test_stablemax_is_its_definition(scale: float) -> None:
    logits, targets = logits_of(scale), targets_of()
    value, gradient = value_and_gradient(lambda z: loss_of("stablemax", z, targets), logits)
    expected_value, expected_gradient = exact_stablemax(logits, targets)
    assert math.isclose(float(value), expected_value, rel_tol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("row", [[1e20, 0.0, -1.0], [-3e4, 3e4, 0.0]])
def test_stablemax_keeps_its_digits(row: list[float], dtype: torch.dtype, tolerance: float) -> None:
    """Where s_target / sum s rounds to 1 and its logarithm to 0, and where only s_target is small.

    log s = 46 loses 1.5 digits, no more.
    """
    logits, targets = torch.tensor([row], dtype=dtype), torch.tensor([0])
    value, gradient = value_and_gradient(lambda z: loss_of("stablemax", z, targets), logits)
    expected_value, expected_gradient = exact_stablemax(logits.double(), targets)
    assert math.isclose(float(value), expected_value, rel_tol=tolerance)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_chance_is_what_the_docstring_says(name: str) -> None:
    found = float(loss_of(name, torch.zeros(EXAMPLES, CLASSES, dtype=torch.float64), targets_of()))
    assert math.isclose(found, AT_CHANCE.get(name, math.log(CLASSES)), rel_tol=1e-14)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_its_gradient_is_that_of_its_value(name: str, scale: float) -> None:
    """At logits of zero too, where a network with a zero read-out starts; hinge has a kink there."""
    scale = 0.1 if name == "hinge" and not scale else scale
    leaf, targets, weight = logits_of(scale).requires_grad_(), targets_of(), weights_of()

    def loss(logits: Tensor) -> Tensor:
        return loss_of(name, logits, targets, weight=weight, fields=fields_of(0.2))

    assert torch.autograd.gradcheck(loss, (leaf,))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_respected(name: str) -> None:
    """Weight 0 leaves an example out, weight 2 counts it twice, and only ratios matter."""
    logits, targets = logits_of(), targets_of()
    weight = torch.ones(EXAMPLES, dtype=torch.float64)
    weight[3], weight[5] = 0.0, 2.0
    kept = [place for place in range(EXAMPLES) if place != 3] + [5]
    weighted = loss_of(name, logits, targets, weight=weight)
    torch.testing.assert_close(weighted, loss_of(name, logits[kept], targets[kept]), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        weighted, loss_of(name, logits, targets, weight=10 * weight), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize("name", NAMES)
def test_members_under_vmap_are_members_in_a_loop(name: str) -> None:
    logits = torch.stack([logits_of(3.0, seed) for seed in range(4)])
    targets = torch.stack([targets_of(seed) for seed in range(4)])
    weight = torch.stack([weights_of(seed) for seed in range(4)])
    smoothing = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64)

    def one(z: Tensor, t: Tensor, w: Tensor, s: Tensor) -> Tensor:
        return loss_of(name, z, t, weight=w, fields={"label_smoothing": s})

    leaf = logits.clone().requires_grad_()
    together = torch.vmap(one)(leaf, targets, weight, smoothing)
    (gradients,) = torch.autograd.grad(together.sum(), leaf)
    for member in range(4):
        alone = partial(one, t=targets[member], w=weight[member], s=smoothing[member])
        value, gradient = value_and_gradient(alone, logits[member])
        torch.testing.assert_close(together[member].detach(), value, rtol=1e-13, atol=0)
        torch.testing.assert_close(gradients[member], gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e3, 1e15, 1e37])
def test_extreme_logits_have_finite_gradients(name: str, dtype: torch.dtype, scale: float) -> None:
    """Of both signs, at the target and elsewhere. The square of an error above 1e19 has no float32."""
    if name in ("mse", "irm") and dtype == torch.float32 and scale > 1e19:
        scale = 1e18
    z = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], dtype=dtype)
    value, gradient = value_and_gradient(lambda z: loss_of(name, z, torch.tensor([0, 0, 1, 2])), z * scale)
    assert value.isfinite() and gradient.isfinite().all()
    assert gradient.dtype == dtype
    assert value.dtype == (torch.float64 if name == "cross_entropy_float64" else dtype)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_an_answer_is_the_mean_over_its_positions(name: str) -> None:
    """Whatever an example weighs; one position is no position axis. Penalties of a whole batch are none."""
    fields = fields_of(0.2) | {"penalty_weight": torch.tensor(0.0, dtype=torch.float64)}
    logits, targets, weight = logits_of(2.0), targets_of(), weights_of()
    answers = (logits.reshape(4, 3, CLASSES), targets.reshape(4, 3))
    found = loss_of(name, *answers, weight=weight[:4], fields=fields)
    each = [loss_of(name, z[None], t[None], fields=fields) for z, t in zip(logits, targets, strict=True)]
    per_example = torch.stack(each).reshape(4, 3).mean(1)
    torch.testing.assert_close(found, (per_example * weight[:4]).sum() / weight[:4].sum(), rtol=1e-13, atol=0)
    single = loss_of(name, logits[:, None], targets[:, None], weight=weight)
    torch.testing.assert_close(single, loss_of(name, logits, targets, weight=weight), rtol=1e-14, atol=0)


def test_every_objective_is_in_the_battery() -> None:
    """A new one is added to ``OBJECTIVES`` above. One is known by its signature."""
    names = list(inspect.signature(cross_entropy).parameters)
    written = {
        name
        for info in pkgutil.iter_modules(objectives.__path__)
        for name, value in vars(import_module(f"epochal.objectives.{info.name}")).items()
        if inspect.isfunction(value) and list(inspect.signature(value).parameters) == names
    }
    kinds = {
        info.name
        for info in pkgutil.iter_modules(objectives.__path__)
        if hasattr(import_module(f"epochal.objectives.{info.name}"), "objective")
    }
    assert written | kinds == set(OBJECTIVES)


def test_cross_entropy_in_float64_knows_small_losses_of_float32_logits() -> None:
    """A margin of 20 over six classes: a loss of 6 exp(-20), of which float32 leaves nothing."""
    logits = torch.zeros(1, CLASSES)
    logits[0, 2] = 20.0
    truth = 6 * math.exp(-20.0)
    for name, is_exact in (("cross_entropy_float64", True), ("cross_entropy", False)):
        value, gradient = value_and_gradient(partial(loss_of, name, targets=torch.tensor([2])), logits)
        assert (abs(value.item() / truth - 1) < 1e-6) == is_exact
        assert gradient.dtype == torch.float32
