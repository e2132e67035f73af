"""Probes of modular arithmetic against brute force, closed forms and random networks."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from epochal import GivenView, UserError
from epochal.check.case import population_of
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.probes import find
from epochal.probes.modular.closed_form import Table, closed_form, closed_form_loss

P = 13


def values(name: str, view: Any, **options: Any) -> dict[str, Any]:
    probe = find(name)
    measured = probe.configured(probe.options(**options)).measure(view)
    return {column: value.double().numpy() for column, value in measured.items()}


def with_logits(view: GivenView, p: int, logits: np.ndarray[Any, Any]) -> GivenView:
    """``logits[a, b]`` in the places of the view's splits."""
    places = {split: (f["a"] * p + f["b"]).numpy() for split, f in view.given_factors.items()}
    flat = logits.reshape(-1, logits.shape[-1])
    return replace(view, given_logits={split: torch.tensor(flat[rows]) for split, rows in places.items()})


def cross_entropy(logits: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    right = np.take_along_axis(logits, targets[:, None], 1)[:, 0]
    return np.asarray(np.log(np.exp(logits).sum(1)) - right)


@pytest.fixture(scope="module")
def noisy() -> tuple[GivenView, np.ndarray[Any, Any]]:
    """A circuit of frequencies 2 and 5, and besides it as much of anything else."""
    rng = np.random.default_rng(0)
    a, b, c = np.meshgrid(*[np.arange(P)] * 3, indexing="ij")
    angle = 2 * np.pi / P * (a + b - c)
    logits = 3 * np.cos(2 * angle) + 4 * np.cos(5 * angle) + rng.normal(size=(P, P, P)) * 2 + 5 * (c == 4)
    return with_logits(closed_form(P, {2: 3.0, 5: 4.0}), P, logits), logits


def test_restricted_and_excluded_loss_are_those_of_explicit_projections(noisy: Any) -> None:
    view, logits = noisy
    pairs = np.array(list(product(range(P), repeat=2)))
    flat, targets = logits.reshape(-1, P), pairs.sum(1) % P
    directions = [of(2 * np.pi * f / P * pairs.sum(1)) for f in (2, 5) for of in (np.cos, np.sin)]
    basis = np.linalg.qr(np.stack(directions, 1))[0]
    part = basis @ (basis.T @ flat)
    is_train = np.arange(P * P) % 3 == 0
    seen = values("progress_measures", view, frequencies=(2, 5))
    assert seen["restricted_loss"] == pytest.approx(
        cross_entropy(flat.mean(0) + part, targets).mean(), rel=1e-12
    )
    assert seen["excluded_loss"] == pytest.approx(
        cross_entropy(flat - part, targets)[is_train].mean(), rel=1e-12
    )
    by_rule = values("progress_measures", view)
    assert by_rule == seen, "the rule finds 2 and 5"


def test_shares_and_alignment_are_those_of_explicit_projections(noisy: Any) -> None:
    view, logits = noisy
    a, b, c = np.meshgrid(*[np.arange(P)] * 3, indexing="ij")
    centred = logits - logits.mean(2, keepdims=True)
    centred = centred - centred.mean((0, 1))
    total = (centred**2).sum()
    aligned, shares = [], []
    for f in range(1, P // 2 + 1):
        wave = np.cos(2 * np.pi * f / P * (a + b - c))
        aligned.append((centred * wave).sum() ** 2 / (wave**2).sum() / total)
        sums = [of(2 * np.pi * f / P * (a + b)[..., 0]) for of in (np.cos, np.sin)]
        shares.append(
            sum(((centred * s[..., None]).sum((0, 1)) ** 2).sum() / (s**2).sum() for s in sums) / total
        )
    seen = values("logit_alignment", view)
    assert seen["logit_alignment_by_frequency"] == pytest.approx(aligned, rel=1e-9)
    assert seen["logit_share_by_frequency"] == pytest.approx(shares, rel=1e-9)
    assert seen["logit_alignment"] == pytest.approx(sum(aligned), rel=1e-9)
    assert seen["logit_alignment_key"] == pytest.approx(aligned[1] + aligned[4], rel=1e-9)


def test_what_is_memorised_stays_in_the_excluded_loss() -> None:
    """One logit of every training pair is not a wave: the circuit is out, the memory is what is left."""
    p = 31
    circuit = {3: 6.0, 7: 6.0}
    clean, both = closed_form(p, circuit), closed_form(p, circuit, memorised=8.0)
    assert values("progress_measures", clean)["excluded_loss"] == pytest.approx(math.log(p), rel=1e-12)
    seen = values("progress_measures", both, frequencies=(3, 7))
    alone = math.log(math.exp(8.0) + p - 1) - 8.0
    assert seen["excluded_loss"] == pytest.approx(alone, abs=0.15)
    assert seen["restricted_loss"] == pytest.approx(closed_form_loss(p, circuit), abs=0.01)


def test_logits_of_noise_have_no_key_frequencies() -> None:
    p = 53
    rng = np.random.default_rng(1)
    view = with_logits(closed_form(p, {1: 1.0}), p, rng.normal(size=(p, p, p)))
    assert values("key_frequencies", view)["num_key_frequencies"] == 0
    aligned = values("logit_alignment", view)["logit_alignment"]
    expected = (p // 2) / (p**2 - 1) / (p - 1)  # directions of degrees of freedom
    assert aligned == pytest.approx(expected, rel=1.0)
    seen = values("progress_measures", view)
    assert seen["restricted_loss"] == pytest.approx(math.log(p), abs=1e-3)
    train = torch.as_tensor(view.given_logits["train"]).numpy()
    whole = cross_entropy(train, view.given_targets["train"].numpy()).mean()
    assert seen["excluded_loss"] == pytest.approx(whole, rel=1e-12), "nothing is taken out"


@pytest.mark.parametrize("operation", ["-", "*", "/"])
def test_other_operations_are_addition_after_relabelling(operation: str) -> None:
    """Logits are characters of the operation's group, made without logarithms: of powers of a generator."""
    generator = 2  # of the nonzero residues of 13
    power = {pow(generator, e, P): e for e in range(P - 1)}
    n, rows = (P, []) if operation == "-" else (P - 1, [])
    for a, b in product(range(P), range(0 if operation in "-*" else 1, P)):
        answer = {"-": a - b, "*": a * b, "/": a * pow(b, -1, P) if b else 0}[operation] % P
        if operation == "-":
            heights = [3 * math.cos(2 * math.pi * 4 / n * (a - b - c)) for c in range(P)]
        elif a and b:
            heights = [0.0] + [
                3 * math.cos(2 * math.pi * 5 / n * (power[answer] - power[c])) for c in range(1, P)
            ]
        else:
            heights = [0.0] * P
        rows.append((a, b, answer, heights))
    first, second, answers = (torch.tensor([row[place] for row in rows]) for place in range(3))
    logits = torch.tensor([row[3] for row in rows], dtype=torch.float64)
    parts = {"train": torch.arange(len(rows)) % 2 == 0, "val": torch.arange(len(rows)) % 2 == 1}
    view = GivenView(
        given_task=Table(operation, P),
        given_logits={split: logits[rows] for split, rows in parts.items()},
        given_targets={split: answers[rows] for split, rows in parts.items()},
        given_factors={split: {"a": first[rows], "b": second[rows]} for split, rows in parts.items()},
    )
    seen = values("logit_alignment", view)
    assert seen["logit_alignment"] == pytest.approx(1, rel=1e-9)
    # Another generator permutes the frequencies of a product; 2 is the one that the probe takes for 13.
    assert seen["logit_alignment_by_frequency"].argmax() + 1 == (4 if operation == "-" else 5)
    assert values("key_frequencies", view)["num_key_frequencies"] == 1


def test_the_embedding_is_read_by_the_tokens_of_the_first_operand() -> None:
    """Among tokens ``[=, b, a]`` with numbers from 5 on."""
    view = closed_form(P, {2: 1.0})
    inputs = {
        split: torch.stack([torch.zeros_like(f["a"]), f["b"] + 5, f["a"] + 5], -1)
        for split, f in view.given_factors.items()
    }
    rows = torch.cat([torch.randn(5, 2, generator=torch.Generator().manual_seed(0)) * 9, torch.zeros(P, 2)])
    rows[5:] = view.given_params["embed.weight"]
    moved = replace(view, given_inputs=inputs, given_params={"embed.weight": rows})
    strength = math.sqrt(P)
    assert values("embedding_spectrum", moved)["embedding_spectrum"] == pytest.approx(
        [0, 0, strength, 0, 0, 0, 0], abs=1e-6
    )


@pytest.mark.parametrize("operation", ["+", "*"])
def test_the_spectrum_of_a_network_is_that_of_its_rows(operation: str) -> None:
    made = population_of({"seed": "0:2", "modulus": 11, "operation": operation, "precision": "float64"})
    population = initial_population(made)
    seen = measure(made, population, [find("embedding_spectrum").configured()])["embedding_spectrum"]
    numbers = list(range(11)) if operation == "+" else [pow(2, e, 11) for e in range(10)]
    for member in range(2):
        rows = made.network.layout.unflatten(population.flat[member])["embed.weight"].numpy()[numbers]
        power = (abs(np.fft.fft(rows, axis=0, norm="ortho")) ** 2).sum(1)
        n = len(numbers)
        folded = [power[f] + (power[n - f] if f and 2 * f != n else 0) for f in range(n // 2 + 1)]
        assert seen[member] ** 2 == pytest.approx(folded, rel=1e-9)
        assert (seen[member] ** 2).sum() == pytest.approx((rows**2).sum(), rel=1e-12)


def random_embedding(p: int, width: int) -> GivenView:
    weight = torch.randn(p, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return replace(closed_form(p, {1: 1.0}), given_params={"embed.weight": weight})


def test_spectra_of_random_weights_are_at_their_nulls() -> None:
    p, width = 53, 400
    view, f = random_embedding(p, width), p // 2
    ratio = values("inverse_participation_ratio", view)["inverse_participation_ratio"]
    assert ratio == pytest.approx(2 / (f + 1), rel=0.05)
    shifted = replace(view, given_params={"embed.weight": view.given_params["embed.weight"] + 10})
    moved = values("inverse_participation_ratio", shifted)["inverse_participation_ratio"]
    assert moved == pytest.approx(ratio, rel=1e-9), "a constant is no wave"
    # Norms are of 2 x width normals each: Gini is spread / (mean sqrt(pi)) of nearly normal numbers.
    gini = values("embedding_gini", view)["embedding_gini"]
    assert gini == pytest.approx(1 / math.sqrt(4 * math.pi * width), rel=0.3)
    circle = values("embedding_circle", view)
    assert 1 / f < circle["circle_variance"] < 1.5 / f
    assert circle["circle_order"] == pytest.approx(math.sqrt(width / (width + p)), abs=0.1)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_gini_of_a_sparse_spectrum(k: int) -> None:
    view = closed_form(P, dict.fromkeys(range(1, k + 1), 1.0))
    assert values("embedding_gini", view)["embedding_gini"] == pytest.approx(1 - k / 6, abs=1e-12)


def test_one_hot_layers_are_read_per_operand() -> None:
    """A unit with frequency 2 in a and 3 in b: two profiles of one frequency each."""
    view = closed_form(P, {2: 1.0})
    r = 2 * math.pi / P * torch.arange(P).double()
    layer = torch.cat([(2 * r).cos(), (3 * r + 1).cos()])[None]
    view = replace(view, given_params={"layer.0.weight": layer, "bad.weight": torch.zeros(4, 5)})
    seen = values("inverse_participation_ratio", view, parameter="layer.0.weight")
    assert seen["inverse_participation_ratio_of_neurons"] == pytest.approx([1, 1])
    spectrum = values("embedding_spectrum", view, parameter="layer.0.weight")["embedding_spectrum"]
    assert np.flatnonzero(spectrum > 1e-9).tolist() == [2, 3]
    with pytest.raises(UserError, match=r"bad\.weight has 5 inputs, not 13 or 26"):
        values("embedding_spectrum", view, parameter="bad.weight")


def test_neuron_shares_are_those_of_a_regression_on_eight_waves() -> None:
    rng = np.random.default_rng(5)
    pairs = np.array(list(product(range(P), repeat=2)))
    angle = 2 * np.pi / P * pairs
    neurons = rng.normal(size=(P * P, 6))
    neurons[:, 0] = np.cos(3 * angle[:, 0]) * np.sin(3 * angle[:, 1]) + np.cos(3 * angle[:, 1])
    shares = []
    for f in range(1, P // 2 + 1):
        ca, sa, cb, sb = (of(f * angle[:, i]) for i in (0, 1) for of in (np.cos, np.sin))
        waves = np.linalg.qr(np.stack([ca, sa, cb, sb, ca * cb, ca * sb, sa * cb, sa * sb], 1))[0]
        centred = neurons - neurons.mean(0)
        shares.append(((waves.T @ centred) ** 2).sum(0) / (centred**2).sum(0))
    view = closed_form(P, {2: 1.0})
    for split, factors in view.given_factors.items():
        rows = (factors["a"] * P + factors["b"]).numpy()
        view.given_activations[split]["block.0.mlp"] = torch.tensor(neurons[rows])[:, None]
    seen = values("neuron_frequencies", view)
    assert seen["neuron_shares"] == pytest.approx(np.max(shares, 0), rel=1e-9)
    assert seen["neuron_shares"][0] == pytest.approx(1) and seen["neurons_tuned"] == pytest.approx(1 / 6)
    best = np.argmax(shares, 0)
    assert seen["neurons_by_frequency"] == pytest.approx(np.bincount(best, minlength=P // 2) / 6)


def test_planes_are_those_of_a_decomposition() -> None:
    weight = random_embedding(P, 8).given_params["embed.weight"].numpy()
    seen = values("embedding_plane", random_embedding(P, 8))
    left, singular, _ = np.linalg.svd(weight - weight.mean(0), full_matrices=False)
    for place, column in enumerate(["principal_1", "principal_2"]):
        wanted = left[:, place] * singular[place]
        assert abs(seen[column]) == pytest.approx(abs(wanted), rel=1e-6)
        assert seen[column].max() == abs(seen[column]).max(), "the largest is positive"
    shares = singular / singular.sum()
    rank = values("embedding_rank", random_embedding(P, 8))
    assert rank["embedding_effective_rank"] == pytest.approx(
        math.exp(-(shares * np.log(shares + 1e-300)).sum()), rel=1e-6
    )


def test_wrong_labels_of_a_minority_do_not_move_classes() -> None:
    view = closed_form(P, {2: 3.0, 5: 4.0})
    for targets in view.given_targets.values():
        targets[::7] = (targets[::7] + 3) % P
    assert values("logit_alignment", view)["logit_alignment"] == pytest.approx(1)


def changed(**given: Any) -> GivenView:
    return replace(closed_form(P, {2: 1.0}), **given)


@pytest.mark.parametrize(
    ("name", "view", "options", "problem"),
    [
        ("progress_measures", changed(given_task=None), {}, "a op b modulo a number"),
        ("progress_measures", changed(given_task=Table("x^2+y^2", P)), {}, "x^2+y^2 has no Fourier basis"),
        ("progress_measures", changed(given_task=Table("*", 12)), {}, "needs a prime modulus"),
        ("progress_measures", changed(given_task=Table("*", 9)), {}, "needs a prime modulus"),
        ("progress_measures", changed(given_task=Table("+", 17)), {}, "needs all 289 equations"),
        ("progress_measures", changed(), {"frequencies": (7,)}, "frequencies=7 is outside 1 to 6"),
        ("key_frequencies", changed(), {"number": 9}, "number=9 is outside 1 to 6"),
        ("embedding_circle", changed(), {"frequency": 7}, "frequency=7 is outside 1 to 6"),
        ("embedding_spectrum", changed(given_params={"w": torch.zeros(3, 3)}), {}, "it has w"),
        ("neuron_frequencies", changed(), {"site": "x"}, "is no site of this network; it has block.0.mlp"),
        ("attention_pattern", changed(), {}, "this network has no attention; its sites are block.0.mlp"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_told_in_a_line(name: str, view: Any, options: Any, problem: str) -> None:
    with pytest.raises(UserError) as error:
        values(name, view, **options)
    assert problem in str(error.value) and len(str(error.value).splitlines()) == 1


def test_three_operands_and_several_answers_are_refused() -> None:
    view = closed_form(P, {2: 1.0})
    view.given_factors["train"]["c"] = view.given_factors["train"]["a"]
    with pytest.raises(UserError, match="the operands here are a, b, c"):
        values("progress_measures", view)
    view = closed_form(P, {2: 1.0})
    view.given_targets = {split: of[:, None].expand(-1, 2) for split, of in view.given_targets.items()}
    with pytest.raises(UserError, match="one answer per equation; here are 2"):
        values("progress_measures", view)
