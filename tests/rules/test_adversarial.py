"""Training on adversarial examples: what is learned from, what moves batch norm, for every kind of rule."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson
from epochal.core.tensors.rule import Rule, surrogate_of
from epochal.core.tensors.tap import SILENT
from epochal.engine.population import initial_population
from epochal.objectives.cross_entropy import cross_entropy
from epochal.rules.backprop import Backprop
from epochal.rules.dfa import DFA
from epochal.rules.wrappers.adversarial import Adversarial
from tests.engine.programs import images, records, same_bits, trained
from tests.rules.populations import PLAIN, batches, gradients, of_member, start

HALF = torch.tensor(0.5, dtype=torch.float64)
KINDS: tuple[Any, ...] = ("pgd", "mixed", "trades")


def shift(predict: Any, batch: Batch, fields: Any, key: Tensor) -> Tensor:
    """An attack that is known."""
    return batch.inputs + 0.25


def parts(kind: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Surrogate of the first member; its logits on clean and shifted inputs."""
    flat, batch = start(PLAIN)[0], of_member(batches(PLAIN), 0)
    params = PLAIN.layout.unflatten(flat)
    fields = {"mixed_share": HALF, "trades_beta": 3 * HALF}
    scalar, loss, _ = surrogate_of(Adversarial(Backprop(), shift, kind))(
        Lesson(cross_entropy, PLAIN, params, {}, batch, fields, torch.tensor(1))
    )
    assert scalar.detach() == loss
    return scalar, PLAIN(params, {}, batch.inputs, SILENT), PLAIN(params, {}, batch.inputs + 0.25, SILENT)


def mean_loss(logits: Tensor) -> Tensor:
    batch = of_member(batches(PLAIN), 0)
    return cross_entropy(lambda _: logits, batch, {}, {}, torch.tensor(0))[0]


def test_pgd_learns_from_adversarial_examples_alone() -> None:
    scalar, _, there = parts("pgd")
    torch.testing.assert_close(scalar, mean_loss(there))


def test_mixed_learns_from_the_first_share_of_a_batch() -> None:
    scalar, here, there = parts("mixed")
    torch.testing.assert_close(scalar, mean_loss(torch.cat([there[:3], here[3:]])))  # half of seven: three


def test_trades_adds_the_divergence_between_both() -> None:
    scalar, here, there = parts("trades")
    weight = of_member(batches(PLAIN), 0).weight
    p, q = here.softmax(-1), there.softmax(-1)
    divergence = (p * (p / q).log()).sum(-1)
    torch.testing.assert_close(scalar, mean_loss(here) + 1.5 * (divergence * weight).sum() / weight.sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", [Backprop(), DFA()])
def test_an_attack_that_changes_nothing_changes_no_gradient(rule: Rule, kind: Any) -> None:
    """But TRADES passes each example twice: for it the divergence, its slope included, is 0."""
    members = torch.full((3,), 0.5, dtype=torch.float64)
    fields: Mapping[str, Tensor] = {"mixed_share": members[0], "trades_beta": members[0]}

    def nothing(predict: Any, batch: Batch, fields: Any, key: Tensor) -> Tensor:
        return batch.inputs.clone()

    plain = gradients(rule, PLAIN, fields=fields)
    robust = gradients(Adversarial(rule, nothing, kind), PLAIN, fields=fields)
    if kind == "trades" and isinstance(rule, DFA):
        cosine = torch.nn.functional.cosine_similarity(plain, robust, dim=1)
        assert (cosine > 0.7).all(), "sizes of what sites are told are normalised per example"
    else:
        torch.testing.assert_close(plain, robust, rtol=1e-10, atol=1e-12)


CASES: dict[str, dict[str, Any]] = {
    "mlp": {"model": "mlp", "dropout": 0.3},
    "dfa": {"model": "mlp", "rule": "dfa"},
    "sam": {"model": "mlp", "sam_rho": 0.05},
    "batch norm": {"model": "resnet18", "width": 2, "crop_padding": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_a_member_alone_is_the_member_in_a_pack_and_in_turn(name: str, kind: str) -> None:
    usual = {"precision": "float64", "training": kind, "attack_steps": 2, "max_steps": 3, **CASES[name]}
    pack, _ = trained(images(**usual, epsilon="0,0.05,0.1"))
    alone, _ = trained(images(**usual, epsilon=0.1))
    turn, _ = trained(images(**usual, epsilon="0,0.05,0.1", executor="loop"))
    for one in (alone.flat[0], turn.flat[2]):
        torch.testing.assert_close(one, pack.flat[2], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(alone.buffers[0], pack.buffers[2], rtol=1e-8, atol=1e-10)
    assert not torch.allclose(pack.flat[0], pack.flat[2])


def test_without_a_radius_pgd_training_is_standard_training() -> None:
    settings = {"model": "resnet18", "width": 2, "precision": "float64", "max_steps": 4}
    plain, _ = trained(images(**settings))
    robust, _ = trained(images(**settings, training="pgd", epsilon=0, attack_steps=3))
    torch.testing.assert_close(robust.flat, plain.flat, rtol=1e-9, atol=1e-11)
    # Passes of the attack move no running statistics.
    torch.testing.assert_close(robust.buffers, plain.buffers, rtol=1e-9, atol=1e-11)


def test_a_pack_resumes_with_the_same_attacks() -> None:
    made = images(training="trades", attack_steps=2)
    first, _ = trained(made)
    again, _ = trained(made)
    assert same_bits(first.flat, again.flat)


def test_training_against_an_attack_makes_robust() -> None:
    """After 150 updates on the digits: the attack breaks fewer of those that were trained against it."""
    usual = {
        "n_train": 1000, "width": 50, "batch_size": 50, "max_steps": 150, "record_every": 150,
        "learning_rate": 3e-3, "normalization": "raw", "epsilon": 0.1, "probes": "robust_accuracy,accuracy",
        "probe_options": {"robust_accuracy": {"samples": 200, "check_samples": 0}},
    }  # fmt: skip
    found = {
        kind: records(trained(images(training=kind, attack_steps=5, **usual))[1], "robust_accuracy")[-1, 0]
        for kind in ("standard", *KINDS)
    }
    assert all(found[kind] > found["standard"] + 0.1 for kind in KINDS), found


def test_the_attack_stays_in_the_ball_of_the_raw_pixels() -> None:
    made = images(training="pgd", epsilon=0.03, attack_steps=3, normalization="compat")
    mean, std = made.task.statistics  # type: ignore[attr-defined]
    seen: list[tuple[Tensor, Tensor]] = []
    rule: Any = made.rule

    def spying(predict: Any, batch: Batch, fields: Any, key: Tensor) -> Tensor:
        found: Tensor = rule.attack(predict, batch, fields, key)
        seen.append((batch.inputs, found))
        return found

    population = initial_population(made)
    params = made.network.layout.unflatten(population.flat[0])
    fields = {name: value[0] for name, value in made.fields.items()}
    batch = made.task.batch(torch.arange(20), fields, torch.tensor(0), training=True)
    surrogate_of(Adversarial(rule.rule, spying, "pgd"))(
        Lesson(made.objective, made.network, params, {}, batch, fields, torch.tensor(3))
    )
    [(before, after)] = seen
    pixels = after.double() * std[0] + mean[0]
    assert ((after - before).double().abs() * std[0]).max() == pytest.approx(0.03, rel=1e-4)
    assert pixels.min() > -1e-6 and pixels.max() < 1 + 1e-6
