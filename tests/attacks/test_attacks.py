"""Attacks: optimal on linear models, never outside ball or box, apart under ``vmap``, and without a trace."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from epochal.attacks.apgd import apgd, checkpoints
from epochal.attacks.ball import Ball, Pixels, example_keys, pixels, unbounded
from epochal.attacks.losses import cross_entropy, dlr, margin
from epochal.attacks.pgd import pgd
from epochal.attacks.square import share_at, square
from epochal.attacks.worst_case import worst_case
from epochal.core.tensors import random
from epochal.core.values.errors import UserError

KEY = random.key(3, "attack")
MEAN, STD = (0.2, 0.5, 0.7), (0.1, 0.25, 0.4)
SHAPE, EXAMPLES, CLASSES = (3, 4, 5), 16, 4
Attack = Callable[..., Tensor]


def apgd_dlr(*arguments: Any, **options: Any) -> Tensor:
    return apgd(*arguments, loss="dlr", **options)


def union(predict: Any, inputs: Tensor, targets: Tensor, key: Tensor, **options: Any) -> Tensor:
    def found(attack: Attack) -> Callable[[], Tensor]:
        return lambda: attack(predict, inputs, targets, key, **options)

    return worst_case(predict, inputs, targets, [found(pgd), found(apgd)])


EVERY: dict[str, tuple[Attack, dict[str, Any]]] = {
    "pgd linf": (pgd, {"norm": "linf", "restarts": 2}),
    "pgd l2": (pgd, {"norm": "l2"}),
    "pgd noise": (pgd, {"norm": "linf", "start": "noise", "keep": "last"}),
    "apgd linf": (apgd, {"norm": "linf", "steps": 12}),
    "apgd l2": (apgd, {"norm": "l2", "steps": 12, "restarts": 2}),
    "apgd dlr": (apgd_dlr, {"norm": "linf", "steps": 12}),
    "square": (square, {"steps": 30}),
    "worst case": (union, {"norm": "linf"}),
}


def images(count: int = EXAMPLES, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Of whole pixels, black and white among them, as the network gets them; and targets."""
    key = random.key(seed, "images")
    level = (random.uniform(key, (count, *SHAPE), torch.float64) * 300 - 22).round().clamp(0, 255) / 255
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    targets = (random.uniform(random.fold(key, 1), (count,), torch.float64) * CLASSES).long()
    return ((level - mean) / std).to(dtype), targets


def where(space: Any = "raw", dtype: torch.dtype = torch.float64) -> Pixels:
    return pixels(MEAN, STD, dtype=dtype, device=torch.device("cpu"), space=space)


def network(dtype: torch.dtype = torch.float64, seed: int = 0) -> Callable[[Tensor], Tensor]:
    first = random.normal(random.key(seed, "first"), (60, 12), dtype) / 4
    second = random.normal(random.key(seed, "second"), (12, CLASSES), dtype)
    return lambda x: torch.tanh(x.flatten(1) @ first) @ second


def linear(norm_of: Any = None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Two classes whose margin is ``<w, x>``."""
    weight = random.normal(random.key(5, "weight"), SHAPE, torch.float64)
    return weight, lambda x: torch.stack([torch.zeros(len(x)).double(), (x * weight).flatten(1).sum(1)], -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", ["raw", "normalized"])
@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.03, 0.4, 30.0])
@pytest.mark.parametrize("name", EVERY)
def test_nothing_leaves_ball_or_box(name: str, epsilon: float, space: Any, dtype: torch.dtype) -> None:
    attack, options = EVERY[name]
    (x, t), place = images(dtype=dtype), where(space, dtype)
    found = attack(network(dtype), x, t, KEY, epsilon=epsilon, where=place, **options)
    change = ((found - x) * place.unit).flatten(1).double()
    rounding = 8 * torch.finfo(dtype).eps * 10
    size = change.abs().amax(1) if options.get("norm", "linf") == "linf" else change.norm(dim=1)
    assert (size <= epsilon + rounding).all()
    assert (found >= torch.minimum(place.low, x)).all() and (found <= torch.maximum(place.high, x)).all()
    assert torch.equal(found, x) == (epsilon == 0), "radius 0 is the input to the bit"
    assert not (found.requires_grad or x.requires_grad)


def test_pixels_of_each_channel_have_their_own_box() -> None:
    x, t = images()
    found = pgd(network(), x, t, KEY, epsilon=1.0, where=where())
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    level = found * std + mean
    assert level.min() > -1e-12 and level.max() < 1 + 1e-12
    loose = pgd(network(), x, t, KEY, epsilon=1.0, where=where("normalized"))
    level = loose * std + mean
    assert level.min() < -0.1 or level.max() > 1.1, "two numbers for all channels let some leave [0, 1]"


@pytest.mark.parametrize("attack", [pgd, apgd])
def test_linf_on_a_linear_model_is_margin_minus_epsilon_l1(attack: Attack) -> None:
    weight, predict = linear()
    x = images()[0]
    t = (predict(x)[:, 1] > 0).long()
    std = torch.tensor(STD, dtype=torch.float64)[:, None, None]
    free = Pixels(unit=std, low=torch.tensor(-torch.inf), high=torch.tensor(torch.inf))
    found = attack(predict, x, t, KEY, epsilon=0.07, where=free)
    least = margin(predict(x), t) + 0.07 * (weight / std).abs().sum()
    torch.testing.assert_close(margin(predict(found), t), least, rtol=1e-12, atol=1e-12)
    sign = torch.where(t == 1, -1.0, 1.0)[:, None, None, None].double() * weight.sign()
    inside = torch.minimum(torch.maximum(x + 0.07 * sign / std, where().low), where().high)
    boxed = attack(predict, x, t, KEY, epsilon=0.07, where=where())
    torch.testing.assert_close(margin(predict(boxed), t), margin(predict(inside), t), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("attack", "options"), [(pgd, {"start": "input"}), (pgd, {"steps": 100, "step_size": 0.1}), (apgd, {})]
)
def test_l2_on_a_linear_model_is_margin_minus_epsilon_l2(attack: Attack, options: dict[str, Any]) -> None:
    weight, predict = linear()
    x = images()[0]
    t = (predict(x)[:, 1] > 0).long()
    std = torch.tensor(STD, dtype=torch.float64)[:, None, None]
    free = Pixels(unit=std, low=torch.tensor(-torch.inf), high=torch.tensor(torch.inf))
    found = attack(predict, x, t, KEY, epsilon=0.5, norm="l2", where=free, **options)
    least = margin(predict(x), t) + 0.5 * (weight / std).norm()
    torch.testing.assert_close(margin(predict(found), t), least, rtol=1e-4, atol=1e-3)


def test_l2_in_a_box_reaches_the_optimum_of_a_linear_model() -> None:
    """The optimum is ``clamp(c u)`` of length epsilon (Karush-Kuhn-Tucker); c by bisection."""
    weight, predict = linear()
    x = images()[0]
    t = (predict(x)[:, 1] > 0).long()
    std = torch.tensor(STD, dtype=torch.float64)[:, None, None]
    up = torch.where(t == 1, -1.0, 1.0)[:, None, None, None].double() * weight / std
    low, high = (where().low - x) * std, (where().high - x) * std
    least, most = torch.zeros(len(x), 1, 1, 1).double(), torch.full((len(x), 1, 1, 1), 1e6).double()
    for _ in range(200):
        c = (least + most) / 2
        fits = (c * up).clamp(low, high).flatten(1).norm(dim=1) <= 0.9
        least, most = (
            torch.where(fits[:, None, None, None], c, least),
            torch.where(fits[:, None, None, None], most, c),
        )
    best = x + (least * up).clamp(low, high) / std
    assert ((best == where().low) | (best == where().high)).any(), "the box is active"
    found = pgd(predict, x, t, KEY, epsilon=0.9, norm="l2", where=where(), steps=400, step_size=0.1)
    torch.testing.assert_close(margin(predict(found), t), margin(predict(best), t), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_projection_is_the_nearest_point(norm: Any) -> None:
    """No convex combination with another point of the set is nearer: the variational inequality."""
    x = images()[0]
    ball = Ball(x, 0.3, norm, where())
    y = x + random.normal(random.key(9, "far"), tuple(x.shape), torch.float64)
    p = ball.project(y)
    torch.testing.assert_close(ball.project(p), p, rtol=0, atol=1e-9)
    unit = where().unit
    for seed in range(20):
        q = ball.random_point(example_keys(random.key(seed, "inside"), len(x)))
        assert (((y - p) * unit * ((q - p) * unit)).flatten(1).sum(1) <= 1e-8).all()


def test_random_starts_fill_the_ball() -> None:
    x = torch.zeros(4000, 1, 1, 3, dtype=torch.float64)
    keys = example_keys(KEY, len(x))
    inside = Ball(x, 2.0, "l2", unbounded(x)).random_point(keys).flatten(1).norm(dim=1) / 2
    assert abs((inside**3).mean() - 0.5) < 0.02, "uniform in volume: r^3 is uniform"
    cube = Ball(x, 2.0, "linf", unbounded(x)).random_point(keys)
    assert abs(cube.mean()) < 0.05 and abs(cube.square().mean() - 4 / 3) < 0.05


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_steps_or_restarts_are_never_weaker(norm: Any) -> None:
    x, t = images(64)
    net, options = network(), {"epsilon": 0.1, "norm": norm, "where": where(), "step_size": 0.03}
    for efforts in ([(1, 1), (2, 1), (5, 1), (20, 1)], [(3, 1), (3, 2), (3, 5)]):
        margins = [
            margin(net(pgd(net, x, t, KEY, steps=steps, restarts=restarts, **options)), t)
            for steps, restarts in efforts
        ]
        assert all((more >= less - 1e-12).all() for less, more in pairwise(margins))
        assert (margins[-1] > margins[0]).any()


def test_apgd_is_at_least_as_strong_as_one_step_and_the_union_as_each() -> None:
    x, t = images(64)
    net = network()
    one = margin(net(pgd(net, x, t, KEY, epsilon=0.05, where=where(), steps=1)), t)
    strong = margin(net(apgd(net, x, t, KEY, epsilon=0.05, where=where(), steps=50)), t)
    assert strong.mean() > one.mean()
    both = margin(net(union(net, x, t, KEY, epsilon=0.05, where=where(), steps=10)), t)
    each = [margin(net(f(net, x, t, KEY, epsilon=0.05, where=where(), steps=10)), t) for f in (pgd, apgd)]
    assert torch.equal(both, torch.maximum(*each))


def test_checkpoints_and_shares_are_the_published_ones() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert [share_at(q, 10_000) for q in (1, 11, 51, 201, 501, 1001)] == [0.8, 0.4, 0.2, 0.1, 0.05, 0.025]


def test_square_finds_what_has_no_slope() -> None:
    """A network of steps: no gradient anywhere, so PGD stays where it started and squares do not."""
    net = network()

    def stepped(x: Tensor) -> Tensor:
        return net((x * 4).round() / 4)

    x, t = images(64)
    t = stepped(x).argmax(-1)
    robust = {
        name: float((stepped(found).argmax(-1) == t).double().mean())
        for name, found in {
            "pgd": pgd(stepped, x, t, KEY, epsilon=0.1, where=where(), start="input"),
            "square": square(stepped, x, t, KEY, epsilon=0.1, where=where(), steps=100),
        }.items()
    }
    assert robust["pgd"] == 1.0 and robust["square"] < 0.5


def test_squares_lie_inside_and_work_on_vectors() -> None:
    x = torch.zeros(50, 7, dtype=torch.float64)
    weight = torch.arange(1.0, 8.0, dtype=torch.float64)

    def predict(v: Tensor) -> Tensor:
        return torch.stack([-(v * weight).sum(1), (v * weight).sum(1)], -1)

    t = torch.zeros(50, dtype=torch.int64)
    found = square(predict, x, t, KEY, epsilon=0.5, steps=300)
    torch.testing.assert_close(margin(predict(found), t), torch.full((50,), 28.0).double())


@pytest.mark.parametrize("name", EVERY)
def test_members_are_attacked_apart(name: str) -> None:
    attack, options = EVERY[name]
    x, t = images()
    weights = torch.stack([random.normal(random.key(s, "w"), (60, CLASSES), torch.float64) for s in range(3)])
    keys = random.key(torch.arange(3), "attack")
    radii = torch.tensor([0.0, 0.05, 0.1], dtype=torch.float64)

    def one(weight: Tensor, key: Tensor, radius: Tensor) -> Tensor:
        return attack(
            lambda v: torch.tanh(v.flatten(1)) @ weight, x, t, key, epsilon=radius, where=where(), **options
        )

    together = torch.vmap(one, randomness="error")(weights, keys, radii)
    for member in range(3):
        alone = one(weights[member], keys[member], radii[member])
        torch.testing.assert_close(together[member], alone, rtol=1e-10, atol=1e-12)
    assert torch.equal(together[0], x)


@pytest.mark.parametrize("name", EVERY)
def test_no_gradient_and_no_generator_is_touched(name: str) -> None:
    attack, options = EVERY[name]
    x, t = images(dtype=torch.float32)
    module, state = nn.Sequential(nn.Flatten(), nn.Linear(60, CLASSES)), torch.random.get_rng_state()
    with torch.enable_grad():
        found = attack(module, x, t, KEY, epsilon=0.1, where=where(dtype=torch.float32), **options)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not found.requires_grad and torch.equal(state, torch.random.get_rng_state())


def test_broken_networks_give_finite_points() -> None:
    x, t = images()
    found = apgd(
        lambda v: torch.full((len(v), CLASSES), torch.nan).double() * v.sum(),
        x,
        t,
        KEY,
        epsilon=0.1,
        where=where(),
    )
    assert torch.equal(found, x)


def test_losses() -> None:
    logits = torch.tensor([[3.0, 1.0, -1.0, 0.0], [0.0, 2.0, 1.0, -3.0]], dtype=torch.float64)
    t = torch.tensor([0, 2])
    torch.testing.assert_close(
        cross_entropy(logits, t), nn.functional.cross_entropy(logits, t, reduction="none")
    )
    torch.testing.assert_close(margin(logits, t), torch.tensor([-2.0, 1.0]).double())
    torch.testing.assert_close(dlr(logits, t), torch.tensor([-2 / 3, 1 / 2]).double())
    torch.testing.assert_close(dlr(7 * logits + 3, t), dlr(logits, t))
    with pytest.raises(UserError, match="needs three classes, there are 2"):
        dlr(logits[:, :2], torch.tensor([0, 1]))


def test_an_input_outside_the_box_is_not_moved_into_it_without_a_radius() -> None:
    x, t = images()
    x = torch.where(x == where().low, x - 1e-3, x)
    assert torch.equal(pgd(network(), x, t, KEY, epsilon=0.0, where=where()), x)
    assert torch.equal(apgd(network(), x, t, KEY, epsilon=0.0, where=where(), norm="l2"), x)


def test_apgd_halves_its_step_where_a_step_of_one_size_only_jumps() -> None:
    """The maximum lies inside the ball, at odd places: steps along signs get there by halving alone."""
    peak = torch.tensor([0.137, -0.2718, 0.031], dtype=torch.float64)

    def predict(x: Tensor) -> Tensor:
        height = -(x - peak).square().sum(1)
        return torch.stack([torch.zeros_like(height), height], -1)

    x, t = torch.zeros(5, 3, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    found = apgd(predict, x, t, KEY, epsilon=0.5, steps=200)
    assert (margin(predict(found), t) > -1e-5).all()


def test_a_network_that_ignores_its_inputs_cannot_be_attacked() -> None:
    inputs, targets = torch.full((3, 4), 0.5, dtype=torch.float64), torch.tensor([0, 1, 1])
    fixed = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(3, 2)
    found = pgd(lambda at: fixed, inputs, targets, random.key(0, "attack"), epsilon=0.1)
    assert torch.equal(found, inputs)
