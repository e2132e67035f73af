"""The local learning coefficient of modules and views, against closed forms."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import epochal
from epochal.analysis.chains.verdict import reasons_of_row
from epochal.core.tensors import random
from epochal.core.tensors.view import GivenView
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.along import estimates_along
from epochal.probes.learning_coefficient.calibration import calibrate
from epochal.probes.learning_coefficient.curvature import hessian_product, hutchinson, lanczos
from epochal.probes.learning_coefficient.module import Bound, problem
from epochal.probes.learning_coefficient.potential import NetworkLoss, batched
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.learning_coefficient.stacked import stacked_slope
from epochal.probes.llc import CoefficientOptions, llc, settings_of

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(600, 12, generator=GENERATOR, dtype=torch.float64)
TEACHER = torch.randn(12, generator=GENERATOR, dtype=torch.float64)


def least_squares() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A linear model at its minimum, on targets that it fits exactly."""
    model = nn.Linear(12, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(TEACHER[None])
    return model, (INPUTS, (INPUTS @ TEACHER)[:, None])


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets).square().sum(-1).mean()


def classifier() -> tuple[nn.Sequential, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(300, 5, generator=generator)
    network = nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 6), nn.Tanh()), nn.Linear(6, 3)
    )
    for p in network.parameters():
        nn.init.normal_(p, std=0.5, generator=generator)
    return network, (inputs, inputs[:, :3].argmax(-1))


def test_linear_regression_has_half_its_parameters() -> None:
    model, data = least_squares()
    n_beta = 600 / math.log(600)
    eigenvalues = torch.linalg.eigvalsh(INPUTS.T @ INPUTS / 600)
    gamma = 5.0
    exact = float((0.5 * n_beta * eigenvalues / (n_beta * eigenvalues + gamma)).sum())
    found = epochal.llc(
        model,
        half_square,
        data,
        chains=16,
        draws=600,
        burn_in=300,
        gamma=gamma,
        step_size=0.008,
        sampler="mala",
    )
    assert found.equilibrated, found.reasons
    assert found.n_beta == pytest.approx(n_beta) and found.baseline == pytest.approx(0.0, abs=1e-20)
    assert found.value == pytest.approx(exact, rel=0.03)  # sampling error .9%
    assert abs(found.value - exact) < 4 * found.standard_error
    assert found.traces.shape == (16, 600)
    # Half of the weights: half of the coefficient.
    alone = epochal.llc(
        model, half_square, data, chains=16, draws=600, burn_in=300, gamma=gamma, step_size=0.008,
        sampler="mala", restrict=["weight"],
    )  # fmt: skip
    assert alone.value == found.value


def test_what_is_chosen_settles_a_regular_minimum() -> None:
    model, data = least_squares()
    found = epochal.llc(model, half_square, data, draws=800, batch_size=600)
    assert found.equilibrated, found.reasons
    # gamma = 4 / (eps burn_in) holds a little back; the least curvature is two thirds of the largest.
    assert 0.9 * 6 < found.value < 1.04 * 6
    assert found.step_size == pytest.approx(0.1 / (found.n_beta * 1.3), rel=0.2)


def test_module_and_global_generator_stay_as_they_are() -> None:
    model, data = classifier()
    model.train()
    before, state = [p.clone() for p in model.parameters()], torch.random.get_rng_state()
    first = epochal.llc(model, F.cross_entropy, data, draws=30, burn_in=10, batch_size=64)
    again = epochal.llc(model, F.cross_entropy, data, draws=30, burn_in=10, batch_size=64)
    assert (first.traces == again.traces).all()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_every_form_of_loss_and_data_says_the_same() -> None:
    model, (inputs, targets) = classifier()
    common: dict[str, Any] = {"draws": 30, "burn_in": 10, "batch_size": 64, "gamma": 10.0, "step_size": 1e-4}
    one = epochal.llc(model, F.cross_entropy, (inputs, targets), **common)
    dataset = TensorDataset(inputs, targets)
    others = (
        (nn.CrossEntropyLoss(), [inputs, targets]),
        (lambda outputs, targets: F.cross_entropy(outputs, targets), dataset),
        (F.cross_entropy, DataLoader(dataset, batch_size=7, shuffle=True)),
        (F.cross_entropy, iter(list(DataLoader(dataset, batch_size=7)))),
        (lambda model, batch: F.cross_entropy(model(batch["x"]), batch["y"]), {"x": inputs, "y": targets}),
    )
    for loss, data in others:
        other = epochal.llc(model, loss, data, **common)
        torch.testing.assert_close(torch.tensor(other.traces), torch.tensor(one.traces), rtol=1e-3, atol=1e-3)


def test_explicit_products_are_the_general_way() -> None:
    model, data = classifier()
    bound = Bound(model.double())
    data = (data[0].double(), data[1])
    flat = bound.flat + 0.1 * random.normal(random.key(0, "x"), (4, bound.layout.size), torch.float64)
    index = torch.randint(0, 300, (4, 20), generator=torch.Generator().manual_seed(2))

    def row(flat: Tensor, index: Tensor) -> Tensor:
        with bound.to(flat) as network:
            return F.cross_entropy(network(data[0][index]), data[1][index])

    for loss in (F.cross_entropy, lambda outputs, targets: F.cross_entropy(outputs, targets)):
        fast = stacked_slope(bound.module, bound.layout, loss, data)
        assert fast is not None
        for mine, general in zip(fast(flat, index), batched(row)(flat, index), strict=True):
            torch.testing.assert_close(mine, general)
    assert stacked_slope(nn.Sequential(nn.Conv1d(1, 1, 1)), bound.layout, F.cross_entropy, data) is None


def test_own_and_shared_batches() -> None:
    model, data = classifier()
    common: dict[str, Any] = {"draws": 40, "burn_in": 5, "batch_size": 8, "gamma": 1.0, "step_size": 1e-12}
    own = epochal.llc(model, F.cross_entropy, data, **common).traces
    shared = epochal.llc(model, F.cross_entropy, data, shared_batches=True, **common).traces
    # Chains hardly move, so their losses are those of their batches.
    assert abs(own[0] - own[1]).max() > 1 and abs(shared[0] - shared[1]).max() < 0.1


def entropy_of_batch(outputs: Tensor, targets: Tensor) -> Tensor:
    """Neither mean nor sum: copies of examples add log 2 each time."""
    return outputs.logsumexp((0, 1))


@pytest.mark.parametrize(
    ("loss", "is_sum"),
    [
        (nn.MSELoss(reduction="sum"), True),
        (lambda outputs, targets: half_square(outputs, targets) * len(outputs) / 256, True),
        (lambda outputs, targets: F.mse_loss(outputs, targets, reduction="sum") + 1e2, True),
        (lambda model, batch: F.mse_loss(model(batch[0]), batch[1], reduction="sum"), True),
        (nn.MSELoss(), False),
        (lambda outputs, targets: half_square(outputs, targets) + 1e2, False),
        (entropy_of_batch, False),
        (lambda outputs, targets: 0 * outputs.sum(), False),
    ],
)
def test_a_loss_that_sums_is_refused_also_where_it_is_zero(loss: Any, is_sum: bool) -> None:
    model, data = least_squares()  # at its minimum
    if not is_sum:
        problem(model, loss, data)
        return
    with pytest.raises(UserError, match=r"the loss sums over examples .*reduction='mean'") as told:
        problem(model, loss, data)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": 3}, "model is a int; give a torch.nn.Module"),
        ({"loss": 3}, "loss is a int"),
        ({"data": 3}, "data of type int: give a tensor"),
        ({"data": (INPUTS, INPUTS[:10])}, "10, 600 examples"),
        ({"data": INPUTS}, "pairs"),
        ({"loss": lambda a, b: a - b}, "must give one number"),
        ({"restrict": ["head"]}, "restrict=head is no parameter or module; there are weight"),
        ({"batch_size": 601}, "batch_size=601 is outside 1 .. 600"),
        ({"sampler": "sgdl"}, "sampler=sgdl is unknown: did you mean 'sgld'"),
        ({"chains": 0}, "chains=0 is too few"),
        ({"sampler": "mala", "batch_size": 10}, "full data"),
        ({"loss": lambda a, b: (a - b).sum() * math.inf}, "the loss at these parameters is"),
    ],
)
def test_what_is_refused_in_one_line(change: dict[str, Any], said: str) -> None:
    model, data = least_squares()
    arguments: dict[str, Any] = {
        "model": model,
        "loss": half_square,
        "data": data,
        "draws": 20,
        "burn_in": 0,
    } | change
    with pytest.raises(UserError, match=said) as refused:
        epochal.llc(**arguments)
    assert "\n" not in str(refused.value)


def test_chains_that_stand_still_are_no_estimate() -> None:
    """The truth is 6: MALA rejects all steps of 5, so that every draw is w*, and says 0 without an error."""
    model, data = least_squares()
    common: dict[str, Any] = {"draws": 200, "gamma": 1e-6, "sampler": "mala"}
    frozen = epochal.llc(model, half_square, data, step_size=5.0, **common)
    assert frozen.acceptance == 0 and frozen.stuck == 4 and not frozen.equilibrated
    assert "acceptance 0 is below 0.2: take a smaller step_size" in frozen.reasons
    assert any("4 of 4 chains have one loss in all draws" in reason for reason in frozen.reasons)
    with pytest.raises(UserError, match="acceptance 0 is below"):
        float(frozen)
    moving = epochal.llc(model, half_square, data, step_size=0.01, **(common | {"draws": 800}))
    assert moving.equilibrated and moving.acceptance is not None and moving.acceptance > 0.6
    assert abs(moving.value - 6) < 4 * moving.standard_error


def test_steps_that_make_most_of_the_value_are_no_estimate() -> None:
    """At ``w -= (eps/2) n_beta h w`` the value is ``sum 1/2 / (1 - eps n_beta h / 4)``; 6 without steps."""
    model, data = least_squares()
    n_beta = 600 / math.log(600)
    eigenvalues = torch.linalg.eigvalsh(INPUTS.T @ INPUTS / 600)
    for eps, is_estimate in ((0.012, False), (0.001, True)):
        exact = float((0.5 / (1 - eps * n_beta * eigenvalues / 4)).sum())
        found = epochal.llc(
            model, half_square, data, draws=3000, burn_in=500, gamma=0.0, step_size=eps, batch_size=600,
        )  # fmt: skip
        assert found.step_bias == pytest.approx(exact / 6 - 1, rel=0.1)
        assert any("too high: take a smaller step_size, or sampler=mala" in r for r in found.reasons) == (
            not is_estimate
        )
        assert found.equilibrated == is_estimate, found.reasons


def test_arrays_are_tensors() -> None:
    model, (inputs, targets) = classifier()
    common: dict[str, Any] = {"draws": 30, "burn_in": 10, "batch_size": 64, "gamma": 10.0, "step_size": 1e-4}
    one = epochal.llc(model, F.cross_entropy, (inputs, targets), **common)
    # Of NumPy's own kinds, read only and backwards.
    floating = inputs.flip(0).double().numpy()[::-1]
    whole = targets.numpy().astype("int32")
    whole.flags.writeable = False
    for pair in ((floating, whole), [floating, whole], (inputs, whole)):
        assert (epochal.llc(model, F.cross_entropy, pair, **common).traces == one.traces).all()
    with pytest.raises(UserError, match="array of object: give floating or whole numbers"):
        epochal.llc(model, F.cross_entropy, (floating, whole.astype(object)), **common)


def quadratic_view() -> GivenView:
    curvatures = torch.linspace(1.0, 3.0, 6, dtype=torch.float64)
    return GivenView(
        given_params={"w": torch.zeros(6, dtype=torch.float64)},
        given_targets={"train": [0] * 500},
        given_loss=lambda flat: 0.5 * (curvatures * flat**2).sum(),
    )


def test_the_probe_on_a_quadratic() -> None:
    # n_beta h / (n_beta h + gamma), and the discretisation's 1 / (1 - eps (n_beta h + gamma) / 4).
    h, gamma, eps = torch.linspace(1.0, 3.0, 6, dtype=torch.float64), 20.0, 0.001
    stiff = 100 * h + gamma
    exact = float((0.5 * 100 * h / stiff / (1 - eps * stiff / 4)).sum())
    options = CoefficientOptions(chains=16, draws=1500, burn_in=200, n_beta=100.0, gamma=gamma, step_size=eps)
    found = llc.configured(options).measure(quadratic_view())
    assert float(found["llc"]) == pytest.approx(exact, rel=0.03)
    assert float(found["llc_equilibrated"]) == 1.0
    bias = exact / float((0.5 * 100 * h / stiff).sum()) - 1
    assert float(found["llc_step_bias"]) == pytest.approx(bias, rel=0.05)
    assert (float(found["llc_chains"]), float(found["llc_diverged"]), float(found["llc_stuck"])) == (16, 0, 0)
    assert "llc_acceptance" not in found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampler": "mala", "step_size": 5.0},
        {"sampler": "mala", "step_size": 0.001},
        {"step_size": 0.008},
        {"draws": 30, "burn_in": 0, "step_size": 1e-4},
        {"step_size": 1.0},
    ],
)
def test_columns_tell_the_reasons_of_the_estimate(changes: dict[str, Any]) -> None:
    options = CoefficientOptions(
        **({"n_beta": 100.0, "gamma": 20.0, "draws": 400, "step_size": 5e-4} | changes)
    )
    found = llc.configured(options).measure(quadratic_view())
    (estimate,) = estimates_along([quadratic_view()], settings_of(options, quadratic_view()), ())
    assert estimate is not None
    told = [why for why in estimate.reasons if "diverged at step" not in why]
    row = {name: float(value) for name, value in found.items() if value.ndim == 0}
    if len(estimate.diverged) == options.chains:
        told = ["every chain diverged"]
    assert reasons_of_row(row) == told and bool(told) != estimate.equilibrated


def test_curvature_is_that_of_the_hessian() -> None:
    generator = torch.Generator().manual_seed(4)
    matrix = torch.randn(30, 30, generator=generator, dtype=torch.float64)
    hessian = matrix @ matrix.T
    product = hessian_product(lambda w: w @ hessian, torch.ones(30, dtype=torch.float64))
    key, like = random.key(0, "test"), torch.zeros(30, dtype=torch.float64)
    exact = torch.linalg.eigvalsh(hessian).flip(0)
    torch.testing.assert_close(
        lanczos(product, 30, steps=30, key=key, like=like)[:5], exact[:5], rtol=1e-6, atol=0
    )
    # The sd of one draw is sqrt(2) times the norm of what is off the diagonal.
    off = float((hessian - hessian.diag().diag()).norm())
    trace = hutchinson(product, 30, draws=200, key=key, like=like)
    assert abs(trace - float(exact.sum())) < 4 * math.sqrt(2) * off / math.sqrt(200)


def test_calibration_chooses_a_step_that_is_accepted_and_says_why() -> None:
    h = torch.logspace(-1, 1, 10, dtype=torch.float64)
    loss = NetworkLoss.of(lambda flat, index: 0.5 * (h * flat**2).sum(), 500)
    found = calibrate(loss, torch.zeros(10, dtype=torch.float64), Settings(draws=400))
    n_beta = 500 / math.log(500)
    assert found.curvature["top"][0] == pytest.approx(10.0, rel=1e-3)
    assert found.curvature["trace"] == pytest.approx(
        float(h.sum()), rel=1e-3
    )  # diagonal: every draw is exact
    settings = found.settings
    assert settings.step_size in [row["step_size"] for row in found.acceptance]
    rate = {row["step_size"]: row["acceptance"] for row in found.acceptance}
    assert settings.gamma is not None
    assert rate[settings.step_size] >= 0.9
    exact = float((0.5 * n_beta * h / (n_beta * h + settings.gamma)).sum())
    assert found.estimate.value == pytest.approx(exact, rel=0.1)
    assert len(found.map) == 25 and any("plateau" in reason for reason in found.reasons)
    given = calibrate(
        loss, torch.zeros(10, dtype=torch.float64), Settings(draws=50, step_size=1e-3, gamma=3.0)
    )
    assert (given.settings.step_size, given.settings.gamma) == (1e-3, 3.0)
