"""Rules that send errors through other matrices: against backpropagation, numpy, and closed forms."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson
from epochal.core.tensors.network import Network
from epochal.core.tensors.rule import Rule, credit_at_sites, initial_memory
from epochal.core.tensors.tap import SILENT, Tap, recording
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.step import Stepper
from epochal.models.images.mlp import MLP
from epochal.objectives.cross_entropy import cross_entropy
from epochal.rules.backprop import Backprop
from epochal.rules.fa import FA
from epochal.rules.kolen_pollack import KolenPollack
from epochal.rules.pepita import PEPITA
from epochal.rules.sign_symmetry import SignSymmetry
from epochal.rules.weight_mirror import WeightMirror
from tests.engine.programs import images
from tests.rules.populations import (
    BATCH,
    CLASSES,
    CONVOLUTIONS,
    KEYS,
    MEMBERS,
    PLAIN,
    RESIDUAL,
    batches,
    gradients,
    memories,
    network,
    of_member,
    start,
)  # fmt: skip

NETWORKS = {"mlp": PLAIN, "residual": RESIDUAL, "convolutions": CONVOLUTIONS}


def weights_of(net: Network) -> dict[str, Tensor]:
    """``[M, ...]`` of every matrix."""
    params = net.layout.unflatten(start(net))
    return {name: value for name, value in params.items() if value.ndim > 2}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", [FA(), KolenPollack(), WeightMirror()])
def test_through_the_weights_themselves_it_is_backpropagation(name: str, rule: Rule) -> None:
    net = NETWORKS[name]
    assert memories(rule, net).keys() == weights_of(net).keys()
    exact = gradients(Backprop(), net)
    found = gradients(rule, net, memory=weights_of(net))
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-15)
    assert not torch.allclose(gradients(rule, net), exact, rtol=0.1)


@pytest.mark.parametrize("executor", ["vmap", "loop"])
def test_a_resnet_trains_as_with_backpropagation_through_its_own_weights(executor: str) -> None:
    settings = {"model": "resnet18", "width": 2, "n_train": 40, "seed": "0:2", "precision": "float64"}
    ends = []
    for rule in ("backprop", "fa"):
        made = images(**settings, rule=rule, executor=executor)
        population = initial_population(made)
        params = made.network.layout.unflatten(population.flat)
        population.memory = {name: params[name].clone() for name in population.memory}
        assert len(population.memory) == (21 if rule == "fa" else 0)  # 20 convolutions and the read-out
        Stepper(made).update(population)
        ends.append(population)
    torch.testing.assert_close(ends[0].flat, ends[1].flat, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ends[0].buffers, ends[1].buffers, rtol=1e-12, atol=1e-14)


def forward_by_hand(member: int) -> dict[str, Any]:
    """A tanh MLP and cross-entropy in numpy."""
    w = {name: value.numpy() for name, value in PLAIN.layout.unflatten(start(PLAIN)[member]).items()}
    batch = of_member(batches(PLAIN), member)
    x, share = batch.inputs.numpy(), (batch.weight / batch.weight.sum()).numpy()[:, None]

    def forward(x: Any) -> tuple[Any, Any, Any]:
        h0 = np.tanh(x @ w["layer.0.weight"].T + w["layer.0.bias"])
        h1 = np.tanh(h0 @ w["layer.1.weight"].T + w["layer.1.bias"])
        return h0, h1, h1 @ w["readout.weight"].T + w["readout.bias"]

    h0, h1, z = forward(x)
    e = np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(CLASSES)[batch.targets.numpy()]
    return {"w": w, "x": x, "share": share, "forward": forward, "h0": h0, "h1": h1, "e": e}


def flat_by_hand(deltas: Mapping[str, Any], inputs: Mapping[str, Any], share: Any) -> Any:
    parts = {}
    for layer, delta in deltas.items():
        parts[f"{layer}.weight"] = (delta * share).T @ inputs[layer]
        parts[f"{layer}.bias"] = (delta * share).sum(0)
    return np.concatenate([parts[name].ravel() for name in PLAIN.layout.names])


@pytest.mark.parametrize("rule", [FA(), SignSymmetry()])
def test_errors_come_back_through_the_feedback(rule: Rule) -> None:
    memory, found = memories(rule, PLAIN), gradients(rule, PLAIN)
    for member in range(MEMBERS):
        n = forward_by_hand(member)
        feedback = {name: value[member].numpy() for name, value in memory.items()}
        if isinstance(rule, SignSymmetry):
            scale = {name: np.sqrt((w**2).mean()) for name, w in n["w"].items()}
            feedback = {name: scale[name] * np.sign(n["w"][name]) for name in feedback}
        d1 = n["e"] @ feedback["readout.weight"] * (1 - n["h1"] ** 2)
        d0 = d1 @ feedback["layer.1.weight"] * (1 - n["h0"] ** 2)
        expected = flat_by_hand(
            {"layer.0": d0, "layer.1": d1, "readout": n["e"]},
            {"layer.0": n["x"], "layer.1": n["h0"], "readout": n["h1"]},
            n["share"],
        )
        np.testing.assert_allclose(found[member].numpy(), expected, rtol=1e-11, atol=1e-13)


def test_a_convolution_sends_errors_back_through_its_feedback() -> None:
    memory, found = memories(FA(), CONVOLUTIONS), gradients(FA(), CONVOLUTIONS)
    for member in range(MEMBERS):
        params = CONVOLUTIONS.layout.unflatten(start(CONVOLUTIONS)[member])
        inputs, targets, weight, _ = of_member(batches(CONVOLUTIONS), member)
        tap, seen = recording()
        logits = CONVOLUTIONS(params, {}, inputs, tap)
        e = (logits.softmax(1) - nn.functional.one_hot(targets, CLASSES)) * (weight / weight.sum())[:, None]
        second = (e @ memory["head.weight"][member]).view_as(seen["second"]) * (1 - seen["second"] ** 2)
        first = nn.functional.conv_transpose2d(second, memory["second.weight"][member])
        first = first * (1 - seen["first"] ** 2)
        own = CONVOLUTIONS.layout.unflatten(found[member])
        torch.testing.assert_close(own["first.bias"], first.sum((0, 2, 3)), rtol=1e-11, atol=1e-13)
        weights = params["first.weight"].clone().requires_grad_()
        (expected,) = torch.autograd.grad((nn.functional.conv2d(inputs, weights) * first).sum(), weights)
        torch.testing.assert_close(own["first.weight"], expected, rtol=1e-11, atol=1e-13)


def test_pepita_by_hand() -> None:
    memory, found = memories(PEPITA(), PLAIN), gradients(PEPITA(), PLAIN)
    bound = 0.05 * math.sqrt(6 / 6)
    assert memory["input"].abs().max() <= bound and memory["input"].std() > bound / 2.5
    for member in range(MEMBERS):
        n = forward_by_hand(member)
        pushed = n["x"] + n["e"] @ memory["input"][member].numpy().T
        h0, h1, _ = n["forward"](pushed)
        expected = flat_by_hand(
            {"layer.0": n["h0"] - h0, "layer.1": n["h1"] - h1, "readout": n["e"]},
            {"layer.0": pushed, "layer.1": h0, "readout": h1},
            n["share"],
        )
        np.testing.assert_allclose(found[member].numpy(), expected, rtol=1e-9, atol=1e-13)
        own = {name: value[member] for name, value in memory.items()}
        params = PLAIN.layout.unflatten(start(PLAIN)[member])
        batch = of_member(batches(PLAIN), member)
        told = credit_at_sites(
            PEPITA(), Lesson(cross_entropy, PLAIN, params, {}, batch, {}, KEYS[0], memory=own)
        )
        np.testing.assert_allclose(told["layer.1"].numpy(), n["h1"] - h1, rtol=1e-9, atol=1e-13)


def test_credit_of_feedback_alignment_is_its_backward_pass() -> None:
    member = 1
    n = forward_by_hand(member)
    memory = {name: value[member] for name, value in memories(FA(), PLAIN).items()}
    params = PLAIN.layout.unflatten(start(PLAIN)[member])
    batch = of_member(batches(PLAIN), member)._replace(weight=torch.ones(BATCH, dtype=torch.float64))
    told = credit_at_sites(FA(), Lesson(cross_entropy, PLAIN, params, {}, batch, {}, KEYS[0], memory=memory))
    last = n["e"] @ memory["readout.weight"].numpy()
    before = (last * (1 - n["h1"] ** 2)) @ memory["layer.1.weight"].numpy()
    np.testing.assert_allclose(told["layer.1"].numpy(), last, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(told["layer.0"].numpy(), before, rtol=1e-11, atol=1e-14)


def test_feedback_has_the_size_of_the_weights_also_where_those_start_at_zero() -> None:
    made = images(rule="fa", width=300, zero_readout=True, init_scale=3.0)
    population = initial_population(made)
    params = made.network.layout.unflatten(population.flat)
    for name, feedback in population.memory.items():
        size = params[name].square().mean().sqrt() if name != "readout.weight" else torch.tensor(300**-0.5)
        ratio = feedback.square().mean().sqrt() / size
        assert abs(ratio - 1) < 4.5 / math.sqrt(2 * feedback.numel()), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_kolen_pollack_brings_weights_and_feedback_together(optimizer: str) -> None:
    """By ``prod (1 - eta_t lambda)``, whatever the gradients are."""
    made = images(
        rule="kolen_pollack", optimizer=optimizer, weight_decay=0.5, weight_decay_kind="to_zero",
        learning_rate="0.05,0.2", precision="float64", warmup_steps=3,
    )  # fmt: skip
    population, stepper = initial_population(made), Stepper(made)
    columns = {name: value[:, None].double() for name, value in made.fields.items()}

    def apart() -> dict[str, Tensor]:
        params = made.network.layout.unflatten(population.flat)
        return {name: params[name] - value for name, value in population.memory.items()}

    before, kept = apart(), population.memory["layer.1.weight"].clone()
    shrunk = torch.ones(2, dtype=torch.float64)
    for step in range(12):
        rate = made.learning_rate(columns, step)[:, 0]
        shrunk = shrunk * (1 - 0.5 * rate)
        stepper.update(population)
    assert not torch.allclose(population.memory["layer.1.weight"], kept, rtol=0.1)
    for name, value in apart().items():
        torch.testing.assert_close(value, shrunk[:, None, None] * before[name], rtol=1e-9, atol=1e-12)


def test_a_mirror_shows_the_weights() -> None:
    """At rest: from ``(1 - rate)^t`` of the start to the noise of its average over the last updates."""
    made = images(rule="weight_mirror", learning_rate=1e-12, seed="0:2", precision="float64")
    made = dataclasses.replace(made, rule=WeightMirror(rate=0.05, num_noise=64))
    population, stepper = initial_population(made), Stepper(made)
    for _ in range(120):
        stepper.update(population)
    params = made.network.layout.unflatten(population.flat)
    for name, feedback in population.memory.items():
        error = (feedback - params[name]).square().mean().sqrt() / params[name].square().mean().sqrt()
        fan_in = feedback.shape[-1]
        expected = math.sqrt(0.05 / (2 - 0.05) * (fan_in + 1) / 64)
        assert 0.7 * expected < error < 1.3 * expected, name


def test_bfloat16_finds_the_weights_too() -> None:
    population = initial_population(images(rule="fa", precision="bfloat16", seed="0:2"))
    made = images(rule="fa", precision="bfloat16", seed="0:2")
    params = made.network.layout.unflatten(population.flat)
    exact = initial_population(images(rule="backprop", precision="bfloat16", seed="0:2"))
    population.memory = {name: params[name].clone() for name in population.memory}
    Stepper(made).update(population)
    Stepper(images(rule="backprop", precision="bfloat16", seed="0:2")).update(exact)
    torch.testing.assert_close(population.flat, exact.flat, rtol=1e-5, atol=1e-6)
    random_feedback = initial_population(made)
    Stepper(made).update(random_feedback)
    assert not torch.allclose(random_feedback.flat, exact.flat, atol=1e-4)


class OneDimensional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 2, 3)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor, tap: Tap = SILENT) -> Tensor:
        logits: Tensor = self.head(tap("first", self.first(inputs[:, None])).flatten(1))
        return logits


def test_what_it_cannot_train_ends_in_one_line() -> None:
    one = Batch(torch.zeros(1, 6), torch.zeros(1).long(), torch.ones(1), {})

    def begin(rule: Rule, net: Network) -> None:
        flat = net.init(random.key(0, "init"), torch.float32)[0]
        initial_memory(rule, net, net.layout.unflatten(flat), {}, one, KEYS[0])

    def draw(module: Any, key: Any, dtype: Any, scale: float) -> dict[str, Tensor]:
        return {name: torch.ones(p.shape, dtype=dtype) for name, p in module.named_parameters()}

    with pytest.raises(UserError, match=r"rule=fa replaces .* first\.weight is used in another way"):
        begin(FA(), Network(OneDimensional, draw))
    with pytest.raises(UserError, match=r"rule=pepita trains chains .* norm\.0\.weight belongs"):
        begin(PEPITA(), RESIDUAL)
    with pytest.raises(UserError, match="rule=pepita trains chains"):
        begin(PEPITA(), network(lambda: MLP(num_inputs=6, num_classes=CLASSES, depth=0, width=5)))

    def adversarial(logits_fn: Any, batch: Batch, fields: Any, state: Any, key: Any) -> Any:
        logits_fn(batch.inputs + 1)
        return cross_entropy(logits_fn, batch, fields, state, key)

    with pytest.raises(UserError, match="rule=pepita needs an objective of the batch's logits alone"):
        gradients(PEPITA(), PLAIN, adversarial)
