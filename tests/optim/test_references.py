"""Transforms that torch lacks, against their definitions written out in plain Python."""

import math
from collections import deque

import pytest
import scipy.stats
import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Transform
from epochal.optim.chain import chain
from epochal.optim.decay import CoupledDecay, DecayToInitial, DecayToZero, JiggledDecay
from epochal.optim.grokfast import GrokfastEMA, GrokfastMA
from epochal.optim.noise import UpdateNoise
from epochal.optim.norm import ConstantNorm
from epochal.optim.optimizers.adam import Adam
from epochal.optim.optimizers.lion import Lion
from epochal.optim.optimizers.sgd import SGD
from epochal.optim.orthogonal import OrthogonalGradient
from tests.optim.examples import FIELDS, LAYOUT, MEMBERS, columns, context, gradient, starting, steps

STEPS = 60


def amplified(transform: Transform) -> list[Tensor]:
    """What the filter makes of the gradients of ``STEPS`` steps, ``[M, P]`` each."""
    flat = starting()
    state, found = transform.init(flat), []
    for step in range(STEPS):
        given = gradient(flat, step, torch.arange(MEMBERS))
        delta, state = transform.update(given, state, context(flat, step=step))
        found.append(delta.clone())
    return found


def test_grokfast_ema_is_the_running_mean_of_its_definition() -> None:
    found = amplified(GrokfastEMA())
    for member in range(MEMBERS):
        alpha, strength = FIELDS["grokfast_alpha"][member], FIELDS["grokfast_lambda"][member]
        mean: list[float] = []
        for step in range(STEPS):
            g = gradient(starting(), step, torch.arange(MEMBERS))[member].tolist()
            mean = [alpha * m + (1 - alpha) * x for m, x in zip(mean, g, strict=True)] if mean else list(g)
            expected = [x + strength * m for x, m in zip(g, mean, strict=True)]
            torch.testing.assert_close(
                found[step][member], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
            )


def test_lion_moves_by_the_sign_of_its_definition() -> None:
    found = amplified(Lion())
    for member in range(MEMBERS):
        beta1, beta2 = FIELDS["beta1"][member], FIELDS["beta2"][member]
        mean = [0.0] * LAYOUT.size
        for step in range(STEPS):
            g = gradient(starting(), step, torch.arange(MEMBERS))[member].tolist()
            rate = float(context(starting(), step=step).learning_rate[member])
            ahead = [beta1 * m + (1 - beta1) * x for m, x in zip(mean, g, strict=True)]
            expected = torch.tensor([-rate * math.copysign(1, a) for a in ahead], dtype=torch.float64)
            mean = [beta2 * m + (1 - beta2) * x for m, x in zip(mean, g, strict=True)]
            torch.testing.assert_close(found[step][member], expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("window", [1, 7])
def test_grokfast_ma_is_the_mean_of_a_queue(window: int) -> None:
    found = amplified(GrokfastMA(window))
    for member in range(MEMBERS):
        queue: deque[Tensor] = deque(maxlen=window)
        for step in range(STEPS):
            g = gradient(starting(), step, torch.arange(MEMBERS))[member]
            queue.append(g)
            if len(queue) == window:
                g = g + FIELDS["grokfast_lambda"][member] * sum(queue) / window
            torch.testing.assert_close(found[step][member], g, rtol=1e-12, atol=1e-12)


def test_grokfast_ma_forgets_a_large_gradient() -> None:
    """Rounding of 1e12 against 1 stays in a running sum; summed anew once per window it is gone."""
    transform, flat = GrokfastMA(4), torch.zeros(1, 3)
    fields = columns({"learning_rate": [1.0], "grokfast_lambda": [1.0]})
    layout, state = Layout.of({"w": (3,)}), transform.init(flat)
    for step in range(12):
        given = torch.full((1, 3), 1e12 if step == 1 else 1.0)
        delta, state = transform.update(given, state, context(flat, fields=fields, layout=layout, step=step))
    assert torch.equal(delta, torch.full((1, 3), 2.0))


def test_a_window_must_hold_something() -> None:
    with pytest.raises(ValueError, match="window=0 is below 1"):
        GrokfastMA(0)


def test_an_orthogonal_gradient_is_orthogonal_and_as_long_as_before() -> None:
    flat, given = starting(), gradient(starting(), 0, torch.arange(MEMBERS))
    found, _ = OrthogonalGradient().update(given.clone(), {}, context(flat))
    parts, weights, before = (LAYOUT.unflatten(x) for x in (found, flat, given))
    for name in LAYOUT.names:
        for member in range(MEMBERS):
            h, w, g = (x[name][member].flatten() for x in (parts, weights, before))
            if len(w) == 1:
                assert h == 0, "a single number has no direction but its own"
                continue
            assert abs(float(h @ w)) < 1e-13 * float(h.norm() * w.norm())
            assert math.isclose(float(h.norm()), float(g.norm()), rel_tol=1e-13)
            # In the plane of g and w, on g's side.
            coefficients = torch.linalg.lstsq(torch.stack([g, w], 1), h[:, None]).solution[:, 0]
            torch.testing.assert_close(coefficients[0] * g + coefficients[1] * w, h, rtol=1e-10, atol=1e-12)
            assert coefficients[0] > 0


def test_an_orthogonal_gradient_where_there_is_no_direction() -> None:
    """Weights of zero change nothing; a gradient along the weights leaves nothing, not stretched rounding."""
    layout = Layout.of({"w": (50,)})
    w = starting(layout, members=2)
    w[0] = 0.0
    g = torch.where(torch.tensor([[True], [False]]), starting(layout, members=2), 0.3 * w)
    fields = columns({"learning_rate": [1.0, 1.0]})
    found, _ = OrthogonalGradient().update(g.clone(), {}, context(w, fields=fields, layout=layout))
    assert torch.equal(found[0], g[0])
    assert torch.equal(found[1], torch.zeros(50, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_norm_stays_what_it_was(dtype: torch.dtype) -> None:
    start = starting(dtype=dtype)
    tolerance = 8 * torch.finfo(dtype).eps
    end, _ = steps(chain(Adam(), ConstantNorm()), start, until=STEPS)
    torch.testing.assert_close(end.norm(dim=1), start.norm(dim=1), rtol=tolerance, atol=0)
    assert not torch.allclose(LAYOUT.unflatten(end)["gain"], LAYOUT.unflatten(start)["gain"], rtol=1e-2)
    end, _ = steps(chain(Adam(), ConstantNorm("tensor")), start, until=STEPS)
    for name, value in LAYOUT.unflatten(end).items():
        initial = LAYOUT.unflatten(start)[name]
        torch.testing.assert_close(
            value.flatten(1).norm(dim=1), initial.flatten(1).norm(dim=1), rtol=tolerance, atol=0
        )


def test_a_projected_update_is_the_plain_one_scaled_back() -> None:
    start = starting()
    plain, _ = steps(SGD(), start, until=1)
    kept, _ = steps(chain(SGD(), ConstantNorm()), start, until=1)
    for member in range(MEMBERS):
        expected = plain[member] / plain[member].norm() * start[member].norm()
        torch.testing.assert_close(kept[member], expected, rtol=1e-13, atol=1e-13)


def test_what_starts_at_zero_is_left_free_by_a_norm_of_tensors() -> None:
    start = starting()
    bias = next(entry for entry in LAYOUT.entries if entry.name == "block.up.bias")
    start[:, bias.slice] = 0.0
    free, _ = steps(SGD(), start, until=1)
    kept, _ = steps(chain(SGD(), ConstantNorm("tensor")), start, until=1)
    torch.testing.assert_close(kept[:, bias.slice], free[:, bias.slice], rtol=1e-14, atol=0)
    assert (kept[:, bias.slice] != 0).all()


def none(flat: Tensor, step: int, seeds: Tensor) -> Tensor:
    return torch.zeros_like(flat)


@pytest.mark.parametrize("kind", ["to zero", "to initial"])
def test_decoupled_decay_has_a_closed_form(kind: str) -> None:
    """Without gradient the distance to its aim shrinks by prod(1 - lr wd), warm-up included."""
    start = starting()
    transform = DecayToInitial() if kind == "to initial" else DecayToZero()
    aim = start if kind == "to initial" else torch.zeros_like(start)
    moved = start + 1.0
    end, _ = steps(transform, start, flat=moved, until=STEPS, of=none)
    for member in range(MEMBERS):
        fields = {name: values[member] for name, values in FIELDS.items()}
        ramps = [min(1.0, (step + 1) / max(1, fields["warmup_steps"])) for step in range(STEPS)]
        shrunk = math.prod(1 - fields["learning_rate"] * ramp * fields["weight_decay"] for ramp in ramps)
        torch.testing.assert_close(
            end[member] - aim[member], shrunk * (moved[member] - aim[member]), rtol=1e-11, atol=1e-13
        )


def test_coupled_decay_is_the_gradient_of_a_penalty() -> None:
    flat = starting().requires_grad_()
    strength = columns()["weight_decay"]
    (expected,) = torch.autograd.grad((strength / 2 * flat**2).sum(), flat)
    found, _ = CoupledDecay().update(torch.zeros_like(flat), {}, context(flat.detach()))
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=0)


def test_a_jiggle_multiplies_each_tensor_by_a_lognormal_factor() -> None:
    layout = Layout.of({f"{name}.weight": (3,) for name in range(40)})
    fields = columns({"learning_rate": [0.2] * 50 + [2.0] * 50, "weight_decay": [0.5] * 100})
    flat, scale = starting(layout, members=100), torch.tensor([0.1, 1.0], dtype=torch.float64)

    def logs(step: int) -> Tensor:
        now = context(flat, fields=fields, layout=layout, step=step)
        delta, _ = JiggledDecay().update(torch.zeros_like(flat), {}, now)
        return torch.log1p(delta / flat).reshape(100, 40, 3)

    first = logs(0)
    torch.testing.assert_close(first[..., :1].expand_as(first), first, rtol=0, atol=1e-12)
    # 2,000 fixed draws each; a p below 1e-3 would say that they are not N(0, (lr wd)^2).
    for z in first[..., 0].reshape(2, -1) / scale[:, None]:
        assert scipy.stats.kstest(z.numpy(), "norm").pvalue > 1e-3
    assert not torch.isclose(first, logs(1)).any()


def test_update_noise_is_normal_and_scaled_by_rate_and_strength() -> None:
    layout = Layout.of({"w": (2000,)})
    fields = columns({"learning_rate": [0.1, 0.2], "update_noise": [0.5, 3.0]})
    flat = torch.zeros(2, 2000, dtype=torch.float64)
    delta, _ = UpdateNoise().update(flat.clone(), {}, context(flat, fields=fields, layout=layout))
    scale = torch.tensor([[0.05], [0.6]], dtype=torch.float64)
    for row in (delta / scale).numpy():
        assert scipy.stats.kstest(row, "norm").pvalue > 1e-3
    assert abs(float(torch.corrcoef(delta)[0, 1])) < 4 / math.sqrt(2000)
    given = random.normal(random.key(1, "given"), (2, 2000), torch.float64)
    onto, _ = UpdateNoise().update(given.clone(), {}, context(flat, fields=fields, layout=layout))
    torch.testing.assert_close(onto, given + delta, rtol=1e-14, atol=1e-14)
