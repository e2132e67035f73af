"""What every rule must pass: a pure gradient pass, members apart, slopes that finite differences confirm."""

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from epochal import rules
from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson
from epochal.core.tensors.network import Network
from epochal.core.tensors.rule import (
    Pass,
    Rule,
    Surrogates,
    gradient_of,
    initial_memory,
    is_rule,
    surrogate_of,
)
from epochal.models.images.mlp import MLP
from epochal.models.initialization import initializer
from epochal.objectives.cross_entropy import cross_entropy
from epochal.rules.backprop import Backprop
from epochal.rules.dfa import DFA
from epochal.rules.drtp import DRTP
from epochal.rules.fa import FA
from epochal.rules.frozen import Frozen
from epochal.rules.kolen_pollack import KolenPollack
from epochal.rules.penalised_dfa import PenalisedDFA
from epochal.rules.pepita import PEPITA
from epochal.rules.sign_symmetry import SignSymmetry
from epochal.rules.weight_mirror import WeightMirror
from epochal.rules.wrappers.adversarial import Adversarial
from epochal.rules.wrappers.random_targets import RandomTargets
from epochal.rules.wrappers.sam import SAM
from epochal.rules.wrappers.weight_noise import WeightNoise


def nearby(predict: Callable[[Tensor], Tensor], batch: Batch, fields: Any, key: Tensor) -> Tensor:
    """An attack that does not look at the network: its place moves with no parameter."""
    return batch.inputs + 0.1 * random.normal(key, tuple(batch.inputs.shape), batch.inputs.dtype)


EXAMPLES: dict[str, tuple[Rule, str]] = {
    "backprop": (Backprop(), ""),
    "frozen": (Frozen(), ""),
    "dfa": (DFA(), ""),
    "penalised_dfa": (PenalisedDFA(), ""),
    "drtp": (DRTP(), ""),
    "fa": (FA(), ""),
    "sign_symmetry": (SignSymmetry(), ""),
    "kolen_pollack": (KolenPollack(), ""),
    "weight_mirror": (WeightMirror(), ""),
    "pepita": (PEPITA(), ""),
    "random_targets": (RandomTargets(DFA(), 3), ""),
    "sam": (SAM(Backprop()), "sam_rho"),
    "weight_noise": (WeightNoise(Backprop()), "weight_noise"),
    "adversarial": (Adversarial(Backprop(), nearby, "pgd"), ""),
    "adversarial dfa": (Adversarial(DFA(), nearby, "pgd"), ""),
    "sam of weight_noise": (SAM(WeightNoise(Backprop())), "sam_rho"),
}
"""A rule, and the field whose 0 makes it plain backpropagation; a new one is added here and to no test."""
NAMES = list(EXAMPLES)
MEMBERS, BATCH = 3, 6
NET = Network(
    lambda: MLP(num_inputs=4, num_classes=3, depth=2, width=5, dropout=0.3, activation="tanh"),
    initializer("torch"),
)
KEYS = random.key(torch.arange(MEMBERS), "step", 7)


def starting(seeds: Tensor | None = None) -> Tensor:
    seeds = torch.arange(MEMBERS) if seeds is None else seeds
    return torch.stack([NET.init(random.key(int(seed), "init"), torch.float64)[0] for seed in seeds])


def batch(seed: int = 0) -> Batch:
    key = random.key(seed, "batch")
    inputs = random.normal(key, (BATCH, 4), torch.float64)
    targets = (random.uniform(random.fold(key, 1), (BATCH,), torch.float64) * 3).long()
    return Batch(inputs=inputs, targets=targets, weight=torch.ones(BATCH, dtype=torch.float64), factors={})


def surrogates_of(rule: Rule, keys: Tensor = KEYS) -> Surrogates:
    """As the engine makes them: all members under ``vmap``, each with its own key and examples."""
    batches = [batch(seed) for seed in range(len(keys))]
    inputs = torch.stack([b.inputs for b in batches])
    targets = torch.stack([b.targets for b in batches])
    weight = torch.stack([b.weight for b in batches])
    drawn = [NET.layout.unflatten(flat) for flat in starting()]
    kept = [
        initial_memory(rule, NET, params, {}, batch(seed), random.key(seed, "feedback"))
        for seed, params in enumerate(drawn)
    ]
    memory = {name: torch.stack([one[name] for one in kept]) for name in kept[0]}
    own = {"penalty": torch.full((len(keys),), 0.1, dtype=torch.float64)}

    def one(flat: Tensor, x: Tensor, t: Tensor, w: Tensor, key: Tensor, memory: Any, own: Any) -> Any:
        of_member = Batch(inputs=x, targets=t, weight=w, factors={})
        params = NET.layout.unflatten(flat)
        return surrogate_of(rule)(Lesson(cross_entropy, NET, params, {}, of_member, own, key, memory=memory))

    return lambda flat: torch.vmap(one)(flat, inputs, targets, weight, keys, memory, own)


def fields(**values: float) -> Mapping[str, Tensor]:
    given = {"sam_rho": 0.05, "weight_noise": 0.1} | values
    return {name: torch.full((MEMBERS, 1), value, dtype=torch.float64) for name, value in given.items()}


def passed(name: str, flat: Tensor, columns: Mapping[str, Tensor] | None = None) -> Pass:
    rule, _ = EXAMPLES[name]
    return gradient_of(rule, surrogates_of(rule), flat, columns or fields(), KEYS)


def test_every_rule_is_in_the_battery() -> None:
    written = {
        kind.__name__
        for info in pkgutil.walk_packages(rules.__path__, "epochal.rules.")
        for kind in vars(import_module(info.name)).values()
        if isinstance(kind, type) and is_rule(kind) and kind.__module__ == info.name
    }
    assert written == {type(rule).__name__ for rule, _ in EXAMPLES.values()}


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_is_pure(name: str) -> None:
    flat = starting()
    kept, generator = flat.clone(), torch.random.get_rng_state()
    first, second = passed(name, flat), passed(name, flat)
    assert torch.equal(flat, kept) and torch.equal(generator, torch.random.get_rng_state())
    assert torch.equal(first.gradient, second.gradient) and torch.equal(first.losses, second.losses)
    assert first.gradient.shape == flat.shape and first.losses.shape == (MEMBERS,)
    assert not first.gradient.requires_grad and not first.losses.requires_grad and not flat.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_members_do_not_mix(name: str) -> None:
    flat = starting()
    whole = passed(name, flat)
    for member in range(MEMBERS):
        moved = flat.clone()
        moved[member] *= 1.3
        other = passed(name, moved)
        rest = [m for m in range(MEMBERS) if m != member]
        torch.testing.assert_close(other.gradient[rest], whole.gradient[rest], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(other.losses[rest], whole.losses[rest], rtol=1e-12, atol=0)
        assert not torch.allclose(other.gradient[member], whole.gradient[member])


@pytest.mark.parametrize("name", NAMES)
def test_a_member_that_is_not_finite_leaves_its_neighbours_alone(name: str) -> None:
    flat = starting()
    whole = passed(name, flat)
    broken = flat.clone()
    broken[1] = torch.nan
    other = passed(name, broken)
    torch.testing.assert_close(other.gradient[[0, 2]], whole.gradient[[0, 2]], rtol=1e-12, atol=1e-14)
    assert other.gradient[[0, 2]].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_fresh_numbers_come_from_the_key(name: str) -> None:
    """Dropout, and the noise of a rule, are others at another step and the same at the same."""
    flat = starting()
    rule, _ = EXAMPLES[name]
    later = random.key(torch.arange(MEMBERS), "step", 8)
    first, again, other = (
        gradient_of(rule, surrogates_of(rule, keys), flat, fields(), keys) for keys in (KEYS, KEYS, later)
    )
    assert torch.equal(first.gradient, again.gradient) and not torch.allclose(first.gradient, other.gradient)


@pytest.mark.parametrize("name", [name for name in NAMES if EXAMPLES[name][1]])
def test_its_field_at_zero_is_the_rule_it_wraps(name: str) -> None:
    rule, field = EXAMPLES[name]
    flat, columns = starting(), fields(**{field: 0.0})
    inner: Rule = vars(rule)["rule"]
    plain = gradient_of(inner, surrogates_of(inner), flat, columns, KEYS)
    found = gradient_of(rule, surrogates_of(rule), flat, columns, KEYS)
    torch.testing.assert_close(found.gradient, plain.gradient, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found.losses, plain.losses, rtol=1e-12, atol=0)
    changed = gradient_of(rule, surrogates_of(rule), flat, fields(), KEYS)
    assert not torch.allclose(changed.gradient, plain.gradient)


def differences(loss: Callable[[Tensor], Tensor], flat: Tensor) -> Tensor:
    """Central differences of ``losses [M]`` in every parameter; error about 1e-9 for step 1e-5 in float64."""
    found = torch.empty_like(flat)
    for p in range(flat.shape[1]):
        step = torch.zeros_like(flat)
        step[:, p] = 1e-5
        found[:, p] = (loss(flat + step) - loss(flat - step)) / 2e-5
    return found


def test_backprop_is_the_slope_of_its_losses() -> None:
    flat = starting()
    surrogates = surrogates_of(Backprop())
    expected = differences(lambda at: surrogates(at)[1], flat)
    torch.testing.assert_close(passed("backprop", flat).gradient, expected, rtol=1e-6, atol=1e-8)


def test_frozen_is_backprop_after_the_last_site_and_nothing_before() -> None:
    flat = starting()
    exact, found = passed("backprop", flat), passed("frozen", flat)
    torch.testing.assert_close(found.losses, exact.losses, rtol=1e-14, atol=0)
    for entry in NET.layout.entries:
        expected = exact.gradient[:, entry.slice] if entry.block == "readout" else 0 * flat[:, entry.slice]
        torch.testing.assert_close(found.gradient[:, entry.slice], expected, rtol=1e-12, atol=0)


def test_rules_of_several_passes_are_slopes_elsewhere() -> None:
    """SAM uphill along its gradient, weight noise at the noisy weights, both together: by differences."""
    flat, columns = starting(), fields()
    loss = surrogates_of(Backprop())
    noise = random.normal(random.fold(KEYS, "weight_noise")[:, None], torch.arange(flat.shape[1]), flat.dtype)
    noisy = 0.1 * noise
    here = passed("backprop", flat).gradient
    at_noisy = passed("weight_noise", flat, columns).gradient
    moved = {
        "sam": 0.05 * here / here.norm(dim=1, keepdim=True),
        "weight_noise": noisy,
        "sam of weight_noise": 0.05 * at_noisy / at_noisy.norm(dim=1, keepdim=True) + noisy,
    }
    for name, shift in moved.items():
        expected = differences(lambda at: loss(at)[1], flat + shift)
        torch.testing.assert_close(passed(name, flat, columns).gradient, expected, rtol=1e-6, atol=1e-8)


class Halved:
    """Leaves out all but what it changes: half of every error passes a site."""

    def at_site(self, site: str, activation: Tensor) -> Tensor:
        return activation / 2 + activation.detach() / 2


def test_a_rule_that_changes_sites_has_the_loss_and_halves_what_passes_them() -> None:
    flat = starting()
    exact = passed("backprop", flat)
    found = gradient_of(Halved(), surrogates_of(Halved()), flat, fields(), KEYS)
    inside = gradient_of(SAM(Halved()), surrogates_of(SAM(Halved())), flat, fields(sam_rho=0.0), KEYS)
    torch.testing.assert_close(found.losses, exact.losses, rtol=1e-13, atol=0)
    for entry in NET.layout.entries:
        factor = {"layer.0": 1 / 4, "layer.1": 1 / 2, "readout": 1.0}[entry.block]  # sites that follow it
        expected = factor * exact.gradient[:, entry.slice]
        torch.testing.assert_close(found.gradient[:, entry.slice], expected, rtol=1e-10, atol=1e-14)
    assert torch.equal(inside.gradient, found.gradient), "a wrapper has the scalars of what it wraps"


def test_what_has_no_method_of_a_rule_is_none() -> None:
    assert not is_rule(object()) and not is_rule(NET) and is_rule(Halved) and is_rule(SAM(Backprop()))
