"""Rules that tell each site directly: against scripts that train one block at a time, and numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson, Memory
from epochal.core.tensors.rule import Rule, credit_at_sites, initial_memory, slopes_at_sites, surrogate_of
from epochal.core.tensors.tap import Tap, recording
from epochal.core.values.errors import UserError
from epochal.models.images.mlp import MLP
from epochal.objectives.cross_entropy import cross_entropy
from epochal.objectives.mse import mse
from epochal.rules.backprop import Backprop
from epochal.rules.dfa import DFA
from epochal.rules.drtp import DRTP
from epochal.rules.frozen import Frozen
from epochal.rules.penalised_dfa import PenalisedDFA
from epochal.rules.wrappers.random_targets import RandomTargets
from tests.rules.populations import (
    BATCH,
    CLASSES,
    CONVOLUTIONS,
    KEYS,
    MEMBERS,
    PLAIN,
    RESIDUAL,
    Residual,
    batches,
    gradients,
    memories,
    network,
    of_member,
    start,
)  # fmt: skip


def rms_normalised(a: Tensor) -> Tensor:
    return a / (a.square().mean(1, keepdim=True).sqrt() + 1e-6)


def one_block_at_a_time(member: int, memory: Memory, *, is_normalised: bool, penalty: float = 0.0) -> Tensor:
    """The script: a forward without a graph, then head, blocks and embedding by backwards of their own."""
    module = RESIDUAL.materialise(start(RESIDUAL)[member], torch.zeros(0, dtype=torch.float64))
    assert isinstance(module, Residual)
    inputs, targets, weight, _ = of_member(batches(RESIDUAL), member)
    share = weight / weight.sum()
    with torch.no_grad():
        stream = [module.embed(inputs)]
        for place in range(3):
            stream.append(stream[-1] + module.branch(place, stream[-1]))
        logits = module.head(module.out_norm(stream[-1]))
        error = logits.softmax(1) - nn.functional.one_hot(targets, CLASSES)
    losses = nn.functional.cross_entropy(module.head(module.out_norm(stream[-1])), targets, reduction="none")
    (losses * share).sum().backward()

    def told(site: str) -> Tensor:
        a = error @ memory[site][member].T
        return rms_normalised(a) if is_normalised else a

    for place in range(3):
        branch = module.branch(place, stream[place])
        ((branch * told(f"block.{place}")).sum(1) * share).sum().backward()
        if penalty:
            paid = (stream[place] + module.branch(place, stream[place])).square().mean(1)
            (penalty * (paid * share).sum()).backward()
    embedded = module.embed(inputs)
    ((embedded * told("embed")).sum(1) * share).sum().backward()
    if penalty:
        (penalty * (module.embed(inputs).square().mean(1) * share).sum()).backward()
    return RESIDUAL.layout.flatten({name: p.grad for name, p in module.named_parameters()})  # type: ignore[misc]


@pytest.mark.parametrize("normalization", ["rms", "none"])
@pytest.mark.parametrize("sharing", ["site", "first_for_embedding"])
def test_one_backward_is_a_block_at_a_time(normalization: Any, sharing: Any) -> None:
    rule = DFA(credit_normalization=normalization, feedback_sharing=sharing)
    memory = memories(rule, RESIDUAL)
    assert torch.equal(memory["embed"], memory["block.0"]) == (sharing == "first_for_embedding")
    found = gradients(rule, RESIDUAL)
    for member in range(MEMBERS):
        expected = one_block_at_a_time(member, memory, is_normalised=normalization == "rms")
        torch.testing.assert_close(found[member], expected, rtol=1e-11, atol=1e-13)


def test_the_penalty_is_the_mean_square_at_every_site() -> None:
    rule = PenalisedDFA()
    memory = memories(rule, RESIDUAL)
    penalty = torch.tensor(0.7, dtype=torch.float64)
    found = gradients(rule, RESIDUAL, fields={"penalty": penalty})
    for member in range(MEMBERS):
        expected = one_block_at_a_time(member, memory, is_normalised=True, penalty=0.7)
        torch.testing.assert_close(found[member], expected, rtol=1e-11, atol=1e-13)
    without = gradients(rule, RESIDUAL, fields={"penalty": 0 * penalty})
    torch.testing.assert_close(without, gradients(DFA(), RESIDUAL), rtol=1e-13, atol=1e-15)


def test_feedback_is_normal_with_variance_one_over_classes_and_each_members_own() -> None:
    wide = network(lambda: MLP(num_inputs=6, num_classes=CLASSES, depth=2, width=4000))
    example = Batch(torch.zeros(1, 6), torch.zeros(1).long(), torch.ones(1), {})
    flat = wide.init(random.key(0, "init"), torch.float32)[0]
    drawn = [
        initial_memory(DFA(), wide, wide.layout.unflatten(flat), {}, example, random.key(seed, "feedback"))
        for seed in range(2)
    ]
    rows = torch.stack([one[site].flatten() for one in drawn for site in ("layer.0", "layer.1")])
    assert drawn[0]["layer.0"].shape == (4000, CLASSES)
    np.testing.assert_allclose(rows.std(1).numpy(), CLASSES**-0.5, rtol=4 / np.sqrt(2 * rows.shape[1]))
    correlation = torch.corrcoef(rows) - torch.eye(4)
    assert correlation.abs().max() < 4.5 / np.sqrt(rows.shape[1])


def by_hand(member: int, memory: Memory, target_is_error: bool) -> np.ndarray[Any, Any]:
    """Published DFA and DRTP for a tanh MLP and cross-entropy, in numpy."""
    w = {name: value.numpy() for name, value in PLAIN.layout.unflatten(start(PLAIN)[member]).items()}
    batch = of_member(batches(PLAIN), member)
    x, share = batch.inputs.numpy(), (batch.weight / batch.weight.sum()).numpy()[:, None]
    y = np.eye(CLASSES)[batch.targets.numpy()]
    h0 = np.tanh(x @ w["layer.0.weight"].T + w["layer.0.bias"])
    h1 = np.tanh(h0 @ w["layer.1.weight"].T + w["layer.1.bias"])
    z = np.exp(h1 @ w["readout.weight"].T + w["readout.bias"])
    e = z / z.sum(1, keepdims=True) - y
    told = y if target_is_error else e
    delta0 = (told @ memory["layer.0"][member].numpy().T) * (1 - h0**2) * share
    delta1 = (told @ memory["layer.1"][member].numpy().T) * (1 - h1**2) * share
    parts = {
        "layer.0.weight": delta0.T @ x, "layer.0.bias": delta0.sum(0),
        "layer.1.weight": delta1.T @ h0, "layer.1.bias": delta1.sum(0),
        "readout.weight": (e * share).T @ h1, "readout.bias": (e * share).sum(0),
    }  # fmt: skip
    return np.concatenate([parts[name].ravel() for name in PLAIN.layout.names])


@pytest.mark.parametrize("rule", [DFA(credit_normalization="none"), DRTP(credit_normalization="none")])
def test_the_published_rules_by_hand(rule: Rule) -> None:
    memory, found = memories(rule, PLAIN), gradients(rule, PLAIN)
    for member in range(MEMBERS):
        expected = by_hand(member, memory, target_is_error=isinstance(rule, DRTP))
        np.testing.assert_allclose(found[member].numpy(), expected, rtol=1e-11, atol=1e-13)


def test_any_objective_gives_the_error() -> None:
    """For the squared error e is 2 (z - y) / C: the head's gradient and the blocks' follow from it."""
    rule = DFA(credit_normalization="none")
    memory, found = memories(rule, PLAIN), gradients(rule, PLAIN, mse)
    for member in range(MEMBERS):
        params = PLAIN.layout.unflatten(start(PLAIN)[member])
        batch = of_member(batches(PLAIN), member)
        tap, seen = recording()
        z = PLAIN(params, {}, batch.inputs, tap)
        e = 2 * (z - nn.functional.one_hot(batch.targets, CLASSES)) / CLASSES
        delta = (e @ memory["layer.1"][member].T) * (1 - seen["layer.1"] ** 2)
        expected = (delta * (batch.weight / batch.weight.sum())[:, None]).sum(0)
        bias = PLAIN.layout.unflatten(found[member])["layer.1.bias"]
        torch.testing.assert_close(bias, expected, rtol=1e-11, atol=1e-13)


def test_a_convolution_is_told_at_every_place() -> None:
    rule = DFA()
    memory, found = memories(rule, CONVOLUTIONS), gradients(rule, CONVOLUTIONS)
    assert memory["first"].shape == (MEMBERS, 3, 3, 3, CLASSES)
    for member in range(MEMBERS):
        params = CONVOLUTIONS.layout.unflatten(start(CONVOLUTIONS)[member].requires_grad_())
        inputs, targets, weight, _ = of_member(batches(CONVOLUTIONS), member)
        tap, seen = recording()
        logits = CONVOLUTIONS(params, {}, inputs, tap)
        e = (logits.softmax(1) - nn.functional.one_hot(targets, CLASSES)).detach()
        a = torch.einsum("nc,kijc->nkij", e, memory["first"][member])
        a = a / (a.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-6)
        products = (seen["first"] * a).sum((1, 2, 3))
        (expected,) = torch.autograd.grad((products * weight / weight.sum()).sum(), params["first.weight"])
        own = CONVOLUTIONS.layout.unflatten(found[member])["first.weight"]
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-13)


def test_credit_is_what_each_site_is_told() -> None:
    """Backpropagation tells its own gradient, DFA ``e B^T``, frozen blocks nothing."""
    batch = of_member(batches(RESIDUAL), 0)._replace(weight=torch.ones(BATCH, dtype=torch.float64))
    flat = start(RESIDUAL)[0]
    params = RESIDUAL.layout.unflatten(flat)
    rule = DFA(credit_normalization="none")
    memory = {name: value[0] for name, value in memories(rule, RESIDUAL).items()}

    def credit(of: Rule) -> dict[str, Tensor]:
        lesson = Lesson(cross_entropy, RESIDUAL, params, {}, batch, {}, KEYS[0], memory=memory)
        return credit_at_sites(of, lesson)

    module = RESIDUAL.materialise(flat, torch.zeros(0, dtype=torch.float64))
    sites: dict[str, Tensor] = {}

    def keep(site: str, h: Tensor) -> Tensor:
        sites[site] = h
        h.retain_grad()
        return h

    logits = module(batch.inputs, Tap(edit=keep))
    nn.functional.cross_entropy(logits, batch.targets, reduction="sum").backward()
    error = (logits.softmax(1) - nn.functional.one_hot(batch.targets, CLASSES)).detach()
    controlled = credit(RandomTargets(rule, CLASSES))
    exact, direct, none = credit(Backprop()), credit(rule), credit(Frozen())
    assert list(exact) == ["embed", "block.0", "block.1", "block.2"]
    for site, h in sites.items():
        assert h.grad is not None
        torch.testing.assert_close(exact[site], h.grad, rtol=1e-11, atol=1e-14)
        torch.testing.assert_close(direct[site], error @ memory[site].T, rtol=1e-11, atol=1e-14)
        assert not none[site].any() and torch.equal(controlled[site], direct[site])


@pytest.mark.parametrize("rule", [DFA(), DFA(credit_normalization="none"), DRTP(), PenalisedDFA()])
def test_credit_without_a_backward_pass_is_the_slope(rule: Rule) -> None:
    batch = of_member(batches(RESIDUAL), 0)
    params = RESIDUAL.layout.unflatten(start(RESIDUAL)[0])
    memory = {name: value[0] for name, value in memories(rule, RESIDUAL).items()}
    fields = {"penalty": torch.tensor(0.3, dtype=torch.float64)}
    lesson = Lesson(cross_entropy, RESIDUAL, params, {}, batch, fields, KEYS[0], memory=memory)
    slopes = slopes_at_sites(rule, lesson)
    known = lesson._replace(known=lesson.logits(batch.inputs))
    for found in (credit_at_sites(rule, lesson), credit_at_sites(rule, known)):
        assert list(found) == list(slopes) and len(found) == 4
        for site, slope in slopes.items():
            torch.testing.assert_close(found[site], slope, rtol=1e-10, atol=1e-13)


def test_random_targets_are_uniform_and_new_in_every_batch() -> None:
    seen: list[Tensor] = []

    def spy(logits_fn: Any, batch: Batch, fields: Any, state: Any, key: Any) -> Any:
        seen.append(batch.targets)
        return cross_entropy(logits_fn, batch, fields, state, key)

    n = 4000
    batch = Batch(torch.zeros(n, 6), torch.zeros(n).long(), torch.ones(n), {})
    params = PLAIN.layout.unflatten(start(PLAIN)[0].float())
    for step in (0, 0, 1):
        key = random.key(3, "step", step)
        surrogate_of(RandomTargets(Backprop(), CLASSES))(Lesson(spy, PLAIN, params, {}, batch, {}, key))
    first, again, later = seen
    assert torch.equal(first, again)
    counts = torch.bincount(first, minlength=CLASSES).numpy()
    assert np.abs(counts - n / CLASSES).max() < 4.5 * np.sqrt(n / CLASSES * (1 - 1 / CLASSES))
    assert 0.2 < (first == later).float().mean() < 0.3


def test_what_it_cannot_train_ends_in_one_line() -> None:
    flat_net = network(lambda: MLP(num_inputs=6, num_classes=CLASSES, depth=0, width=5))
    flat = flat_net.init(random.key(0, "init"), torch.float64)[0]
    one = Batch(torch.zeros(1, 6, dtype=torch.float64), torch.zeros(1).long(), torch.ones(1), {})
    with pytest.raises(UserError, match="rule=dfa needs a model with sites"):
        initial_memory(DFA(), flat_net, flat_net.layout.unflatten(flat), {}, one, KEYS[0])
    words = one._replace(inputs=one.inputs.long())
    with pytest.raises(UserError, match="rule=drtp needs images or vectors"):
        initial_memory(DRTP(), flat_net, flat_net.layout.unflatten(flat), {}, words, KEYS[0])
    with pytest.raises(UserError, match="first_for_embedding needs two first sites of one shape"):
        memories(DFA(feedback_sharing="first_for_embedding"), CONVOLUTIONS)

    def adversarial(logits_fn: Any, batch: Batch, fields: Any, state: Any, key: Any) -> Any:
        logits_fn(batch.inputs + 1)
        return cross_entropy(logits_fn, batch, fields, state, key)

    with pytest.raises(UserError, match="rule=dfa needs an objective of the batch's logits alone"):
        gradients(DFA(), PLAIN, adversarial)
