"""Sharpness, collapse, perplexity and attention against brute force; names of an array's places."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal import GivenView
from epochal.check.case import population_of
from epochal.core.tensors import random
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.view import LiveView
from epochal.probes import find
from epochal.probes.sharpness import SharpnessOptions
from epochal.store.documents import read_json


def value(name: str, view: Any, **options: Any) -> dict[str, Any]:
    probe = find(name)
    measured = probe.configured(probe.options(**options)).measure(view)
    return {column: each.double().numpy() for column, each in measured.items()}


def box(
    dimensions: int, flat: torch.Tensor, epsilon: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The directions that the probe draws, and how far it goes along each."""
    key = random.fold(random.key(0, "sharpness"), dimensions)
    directions = random.normal(key, (len(flat), dimensions), flat.dtype).numpy()
    directions = directions / np.linalg.norm(directions, axis=0)
    return directions, epsilon * (abs(np.linalg.pinv(directions) @ flat.numpy()) + 1)


@pytest.mark.parametrize("seed", range(5))
def test_sharpness_is_the_highest_corner_of_a_convex_loss(seed: int) -> None:
    """In a box so large that corners differ and searches end at several: thirty of them find the highest."""
    rng = np.random.default_rng(seed)
    flat, middle = torch.tensor(rng.normal(size=30)), torch.tensor(rng.normal(size=30))
    root = torch.tensor(rng.normal(size=(30, 30))) / 5
    hessian = root @ root.T

    def loss(at: torch.Tensor) -> torch.Tensor:
        return (at - middle) @ hessian @ (at - middle)

    directions, reach = box(6, flat, 1.0)
    corners = [
        loss(flat + torch.tensor(directions @ (reach * signs))).item() for signs in product((-1, 1), repeat=6)
    ]
    here = loss(flat).item()
    highest = (max(corners) - here) / (1 + here) * 100
    seen = value(
        "sharpness",
        GivenView(given_params={"w": flat}, given_loss=loss),
        epsilon=1.0,
        dimensions=6,
        searches=30,
    )
    assert seen["sharpness"] == pytest.approx(highest, rel=1e-6) and highest > 0


def test_sharpness_at_a_minimum_is_above_zero_and_grows_with_curvature() -> None:
    """Where the gradient names no corner, and where minimising the loss would find nothing."""
    flat = torch.linspace(-1, 1, 20, dtype=torch.float64)
    found = []
    for curvature in (1.0, 10.0):

        def loss(at: torch.Tensor, c: float = curvature) -> torch.Tensor:
            return c * ((at - flat) ** 2).sum()

        view = GivenView(given_params={"w": flat}, given_loss=loss)
        found.append(float(value("sharpness", view)["sharpness"]))
    assert found[0] > 0 and found[1] == pytest.approx(10 * found[0], rel=1e-9)


def test_sharpness_in_a_network_is_a_loss_that_the_box_holds() -> None:
    """No random corner of the box has a higher loss than the one found; in a pack of two as in training."""
    made = population_of({"seed": "0:2", "precision": "float64"})
    population = initial_population(made)
    options = SharpnessOptions(epsilon=0.02)
    seen = measure(made, population, [find("sharpness").configured(options)])["sharpness"]
    for member in range(2):
        view = live(made, population, member)
        key = random.fold(random.key(view.fields["seed"], "sharpness"), 10)
        directions = random.normal(key, (len(view.flat), 10), torch.float64)
        directions = directions / directions.norm(dim=0)
        reach = 0.02 * ((torch.linalg.pinv(directions) @ view.flat).abs() + 1)
        signs = torch.randn(20, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64).sign()
        here = view.loss_at("train", view.flat).item()
        tried = [view.loss_at("train", view.flat + directions @ (reach * sign)).item() for sign in signs]
        assert seen[member] >= (max(tried) - here) / (1 + here) * 100 - 1e-9
        assert seen[member] > 0


def live(made: Any, population: Any, member: int) -> LiveView:
    fields = {name: values[member] for name, values in made.fields.items()}
    flat, buffers = population.flat[member], population.buffers[member]
    return LiveView(made, step=0, flat=flat, buffers=buffers, initial=flat, fields=fields)


def test_the_loss_at_the_parameters_is_the_loss_and_its_slope_the_gradient() -> None:
    made = population_of({"seed": 0, "precision": "float64"})
    view = live(made, initial_population(made), 0)
    whole = find("loss").configured().measure(view)["train_loss"]
    assert view.loss_at("train", view.flat).item() == pytest.approx(whole.item(), rel=1e-12)
    gradient = view.loss_gradient("train")
    step = 1e-6 * gradient / gradient.norm()
    rise = (view.loss_at("train", view.flat + step) - view.loss_at("train", view.flat - step)) / 2e-6
    assert rise.item() == pytest.approx(gradient.norm().item(), rel=1e-6)
    sam = value("sam_sharpness", view, radius=1e-6)["sam_sharpness"]
    assert sam == pytest.approx(1e-6 * gradient.norm().item(), rel=1e-3)


def test_collapse_is_where_the_gradient_of_the_loss_is_zero() -> None:
    """Counted from gradients that torch computes, over logits of every size."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(400, 7, generator=generator) * torch.logspace(0, 3, 400)[:, None]
    targets = logits.argmax(-1)
    targets[::5] = 0
    leaf = logits.clone().requires_grad_()
    torch.nn.functional.cross_entropy(leaf, targets, reduction="sum").backward()
    assert leaf.grad is not None
    is_zero = (leaf.grad == 0).all(-1).double().mean().item()
    seen = value(
        "softmax_collapse", GivenView(given_logits={"train": logits}, given_targets={"train": targets})
    )
    assert 0.1 < is_zero < 0.9 and seen["train_zero_gradient"] == pytest.approx(is_zero, abs=2 / 400)
    assert seen["train_zero_gradient"] < seen["train_softmax_collapse"] < 1
    zero = (torch.softmax(logits, -1) == 0).double().mean().item()
    assert seen["train_zero_terms"] == pytest.approx(zero, abs=0.005)
    fine = GivenView(given_logits={"train": logits.double()}, given_targets={"train": targets})
    assert value("softmax_collapse", fine)["train_softmax_collapse"] < seen["train_softmax_collapse"]


def test_several_answers_per_example_count_each() -> None:
    logits = torch.zeros(3, 2, 5)
    logits[0, 0, 1] = 400.0
    targets = torch.tensor([[1, 0], [2, 2], [3, 4]])

    class Several(GivenView):
        """Logits ``[N, T, C]``, targets ``[N, T]``."""

        def logits(self, split: Any) -> Any:
            return logits

        def targets(self, split: Any) -> Any:
            return targets

    view = Several()
    assert value("perplexity", view)["val_perplexity"] == pytest.approx(5 ** (5 / 6))
    seen = value("softmax_collapse", view)
    assert seen["train_softmax_collapse"] == seen["train_zero_gradient"] == pytest.approx(1 / 6)
    assert seen["train_zero_terms"] == pytest.approx(4 / 30)


def test_attention_weights_of_a_query_add_up_to_one() -> None:
    made = population_of({"seed": "0:2", "depth": 2, "precision": "float64"})
    probe = find("attention_pattern").configured()
    population = initial_population(made)
    seen = measure(made, population, [probe])["attention"]
    names = probe.labels(live(made, population, 0))["attention"]
    assert seen.shape == (2, len(names)) and len(names) == 2 * 3 * 3 + 2 * 1 * 3
    first = seen[:, :18].reshape(2, 2, 3, 3)
    assert first.sum(-1) == pytest.approx(np.ones((2, 2, 3))) and (np.triu(first, 1) == 0).all()
    assert names[3] == "block.0 head 0: 1 <- 0" and first[0, 0, 1, 0] == seen[0, 3] > 0
    assert names[-1] == "block.1 head 1: 2 <- 2"


def test_a_table_names_the_places_of_an_array(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"modulus": 7, "width": 8, "heads": 2, "max_steps": 2, "snapshot_every": "1"}
    run = epochal.run(
        "algorithmic", runs=tmp_path, device="cpu", threads=1, progress=False, seed=[0, 1], **settings
    )
    run = epochal.load(run.path)
    table = run.probe("paramnorm", steps=[0], progress=False)
    (file,) = run.paths.probes.glob("paramnorm-*.json")
    names = read_json(file)["labels"]["paramnorm"]
    network = run.model(member=1, step=0)
    wanted = {
        name: (of.double().norm() / math.sqrt(of.numel())).item() for name, of in network.named_parameters()
    }
    assert dict(zip(names, table["paramnorm"].to_list()[1], strict=True)) == pytest.approx(wanted, rel=1e-6)
    assert (
        run.probe("paramnorm", progress=False).height == 6 and read_json(file)["labels"]["paramnorm"] == names
    )
    run.probe("loss", progress=False)
    (plain,) = run.paths.probes.glob("loss-*.json")
    assert "labels" not in read_json(plain)
