"""Objectives that compare environments or groups: definitions, limits, absent parts, state, executors."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import Objective, initial_state
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.train import train
from epochal.objectives.across.parts import means_by
from epochal.objectives.cross_entropy import cross_entropy
from epochal.objectives.group_dro import GroupDRO
from epochal.objectives.irm import IRM, scale_slopes
from epochal.objectives.reweighted import Reweighted
from epochal.objectives.vrex import VREx
from tests.engine.programs import images, records, same_bits, trained
from tests.tasks.made import equations

EXAMPLES, CLASSES, PARTS = 24, 4, 3
KEY = torch.tensor(0)
TASK = equations("+")  # any: these objectives do not look at it
OBJECTIVES: dict[str, Objective] = {
    "irm": IRM(factor="environment", count=PARTS),
    "vrex": VREx(factor="environment", count=PARTS),
    "group_dro": GroupDRO(factor="environment", count=PARTS),
    "reweighted": Reweighted(factor="environment", count=PARTS),
}
SHORTCUT: dict[str, Any] = {
    "cue": "tint",
    "channels": "rgb",
    "rho": 0.7,
    "label_noise": 0.1,
    "num_environments": 3,
}


def logits_of(seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * random.normal(random.key(seed, "logits"), (EXAMPLES, CLASSES), torch.float64)


def batch_of(logits: Tensor, environment: Tensor | None = None, weight: Tensor | None = None) -> Batch:
    """Eight examples of each environment, unless given."""
    targets = (random.uniform(random.key(1, "targets"), (len(logits),), torch.float64) * CLASSES).long()
    environment = torch.arange(len(logits)) % PARTS if environment is None else environment
    weight = torch.ones(len(logits)) if weight is None else weight
    return Batch(inputs=logits, targets=targets, weight=weight, factors={"environment": environment})


def fields_of(**given: float) -> dict[str, Tensor]:
    usual = {"penalty_weight": 3.0, "penalty_anneal_steps": 0, "group_dro_eta": 0.5, "label_smoothing": 0.0}
    made = {name: torch.tensor(value, dtype=torch.float64) for name, value in (usual | given).items()}
    return made | {"seed": torch.tensor(0)}


def state_of(name: str) -> dict[str, Tensor]:
    if name == "reweighted":
        return {"ratio": torch.ones(PARTS, dtype=torch.float64)}
    return initial_state(OBJECTIVES[name], TASK, fields_of())


def loss_of(
    name: str, batch: Batch, state: dict[str, Tensor] | None = None, **given: float
) -> tuple[Tensor, dict[str, Tensor]]:
    state = state_of(name) if state is None else state
    return OBJECTIVES[name](lambda inputs: inputs, batch, fields_of(**given), state, KEY)


def risks_of(batch: Batch) -> list[Tensor]:
    """Per environment, by torch's own cross-entropy."""
    parts = [batch.factors["environment"] == e for e in range(PARTS)]
    return [F.cross_entropy(batch.inputs[part], batch.targets[part]) for part in parts]


def slope(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """By autograd, as IRM's authors have it."""
    scale = torch.ones((), dtype=logits.dtype, requires_grad=True)
    risk = F.cross_entropy(logits * scale, targets, label_smoothing=smoothing)
    (found,) = torch.autograd.grad(risk, scale)
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_slope_in_the_scale_is_autograds(smoothing: float) -> None:
    logits = logits_of()
    batch = batch_of(logits)
    ours = scale_slopes(logits, batch.targets, fields_of(label_smoothing=smoothing))
    each = [slope(z[None], t[None], smoothing) for z, t in zip(logits, batch.targets, strict=True)]
    torch.testing.assert_close(ours, torch.stack(each), rtol=1e-12, atol=1e-13)


def test_irm_is_risk_plus_the_mean_squared_slope() -> None:
    batch = batch_of(logits_of())
    environment = batch.factors["environment"]
    slopes = [slope(batch.inputs[environment == e], batch.targets[environment == e]) for e in range(PARTS)]
    penalty = torch.stack(slopes).square().mean()
    found, _ = loss_of("irm", batch, penalty_weight=3.0)
    expected = F.cross_entropy(batch.inputs, batch.targets) + 3.0 * penalty
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_irms_penalty_is_zero_where_every_risk_is_stationary_in_the_scale() -> None:
    """Logits (+-a, 0) of two classes, right in a share s of each environment: best at a = logit(s)."""
    share, best = 0.75, math.log(3.0)
    targets = torch.tensor([0, 0, 0, 1] * 6)
    batch = Batch(
        inputs=torch.tensor([[best, 0.0]], dtype=torch.float64).expand(24, 2),
        targets=targets,
        weight=torch.ones(24),
        factors={"environment": torch.arange(24) // 8},
    )
    found, _ = loss_of("irm", batch, penalty_weight=1e6)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert abs(found.item() - entropy) < 1e-12
    sharper, _ = loss_of("irm", batch._replace(inputs=2 * batch.inputs), penalty_weight=1e6)
    assert sharper > 1e3


def test_vrex_is_risk_plus_the_variance_of_risks() -> None:
    batch = batch_of(logits_of())
    risks = torch.stack(risks_of(batch))
    found, _ = loss_of("vrex", batch, penalty_weight=3.0)
    expected = risks.mean() + 3.0 * risks.var(correction=0)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["irm", "vrex"])
def test_a_penalty_of_weight_zero_is_cross_entropy_to_the_bit(name: str) -> None:
    batch = batch_of(logits_of(), torch.arange(EXAMPLES) % 2)
    plain, _ = cross_entropy(lambda inputs: inputs, batch, fields_of(), {}, KEY)
    assert torch.equal(loss_of(name, batch, penalty_weight=0.0)[0], plain)


@pytest.mark.parametrize("name", ["irm", "vrex"])
def test_a_penalty_counts_as_one_at_most_until_it_is_annealed(name: str) -> None:
    batch = batch_of(logits_of())
    state = state_of(name)
    seen = []
    for _ in range(4):
        value, state = loss_of(name, batch, state, penalty_weight=7.0, penalty_anneal_steps=2)
        seen.append(value.item())
    early, late = (loss_of(name, batch, penalty_weight=weight)[0].item() for weight in (1.0, 7.0))
    assert seen == [early, early, late, late]


def test_group_dro_without_a_step_is_the_mean_over_groups() -> None:
    batch = batch_of(logits_of(), torch.tensor([0] * 15 + [1] * 6 + [2] * 3))
    found, state = loss_of("group_dro", batch, group_dro_eta=0.0)
    torch.testing.assert_close(found, torch.stack(risks_of(batch)).mean(), rtol=1e-12, atol=0)
    torch.testing.assert_close(state["log_q"].exp(), torch.full((PARTS,), 1 / PARTS, dtype=torch.float64))


def test_group_dro_is_algorithm_1() -> None:
    """q_g <- q_g exp(eta risk_g), to sum 1, then sum q_g risk_g; no gradient through q."""
    logits = logits_of().requires_grad_()
    batch = batch_of(logits, torch.tensor([0] * 15 + [1] * 6 + [2] * 3))
    state, q = state_of("group_dro"), torch.full((PARTS,), 1 / PARTS, dtype=torch.float64)
    for _ in range(3):
        found, state = loss_of("group_dro", batch, state)
        risks = torch.stack(risks_of(batch))
        q = q * torch.exp(0.5 * risks.detach())
        q = q / q.sum()
        torch.testing.assert_close(state["log_q"].exp(), q, rtol=1e-12, atol=0)
        torch.testing.assert_close(found, (q * risks).sum(), rtol=1e-12, atol=0)
    mine, theirs = (torch.autograd.grad(value, logits)[0] for value in (found, (q * risks).sum()))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-14)


def test_group_dro_ends_at_the_worst_group() -> None:
    batch = batch_of(logits_of(), torch.tensor([0] * 15 + [1] * 6 + [2] * 3))
    state = state_of("group_dro")
    for _ in range(2000):
        found, state = loss_of("group_dro", batch, state)
    torch.testing.assert_close(found, torch.stack(risks_of(batch)).max(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_absent_environments_change_nothing_and_give_no_nan(name: str) -> None:
    """In the value and in the gradient; a part without weight is absent too."""
    logits = logits_of().requires_grad_()
    weight = torch.ones(EXAMPLES)
    weight[-4:] = 0.0
    environment = torch.tensor([1] * (EXAMPLES - 4) + [2] * 4)
    batch = batch_of(logits, environment, weight)
    found, after = loss_of(name, batch)
    (gradient,) = torch.autograd.grad(found, logits)
    assert found.isfinite() and gradient.isfinite().all()
    assert all(value.isfinite().all() for value in after.values())
    assert (gradient[-4:] == 0).all()
    kept = batch._replace(
        inputs=batch.inputs[:-4], targets=batch.targets[:-4], weight=weight[:-4],
        factors={"environment": environment[:-4]},
    )  # fmt: skip
    torch.testing.assert_close(found, loss_of(name, kept)[0], rtol=1e-12, atol=0)
    if name == "vrex":
        plain = cross_entropy(lambda inputs: inputs, kept, fields_of(), {}, KEY)[0]
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=0)


def test_means_by_part_are_brute_force() -> None:
    batch = batch_of(logits_of(), weight=torch.arange(EXAMPLES).double())
    values = batch.inputs[:, 0]
    means = means_by("environment", PARTS + 1, values, batch)
    for e in range(PARTS):
        mine = batch.factors["environment"] == e
        expected = (values[mine] * batch.weight[mine]).sum() / batch.weight[mine].sum()
        torch.testing.assert_close(means.values[e], expected, rtol=1e-12, atol=0)
    assert means.is_present.tolist() == [True] * PARTS + [False] and means.values[PARTS] == 0


def test_reweighted_gives_the_groups_of_the_training_set_equal_mass() -> None:
    made = images(objective="reweighted", **SHORTCUT)
    fields = {name: values[0] for name, values in made.fields.items()}
    index = made.task.index("train", fields)
    batch = made.task.batch(index, fields, KEY)
    group = batch.factors["group"]
    logits = random.normal(random.key(0, "logits"), (len(index), 10), torch.float64)
    state = initial_state(made.objective, made.task, fields)
    found, after = made.objective(lambda inputs: logits, batch, fields, state, KEY)
    each = [F.cross_entropy(logits[group == g], batch.targets[group == g]) for g in group.unique()]
    assert len(each) > 15
    torch.testing.assert_close(found, torch.stack(each).mean(), rtol=1e-12, atol=0)
    assert after is state


@pytest.mark.parametrize("name", OBJECTIVES)
def test_examples_without_the_factor_are_refused(name: str) -> None:
    batch = batch_of(logits_of())._replace(factors={"label": torch.zeros(EXAMPLES)})
    with pytest.raises(UserError, match="compares by environment, which these examples have none of"):
        loss_of(name, batch)


RUNS = ["irm", "vrex", "group_dro", "reweighted"]


@pytest.mark.parametrize("name", RUNS)
def test_executors_agree(name: str) -> None:
    settings = {**SHORTCUT, "objective": name, "seed": "0:3", "precision": "float64", "penalty_weight": 2.0}
    batched, seen = trained(images(executor="vmap", **settings))
    in_turn, also = trained(images(executor="loop", **settings))
    torch.testing.assert_close(in_turn.flat, batched.flat, rtol=1e-9, atol=1e-11)
    for key, value in batched.objective.items():
        torch.testing.assert_close(in_turn.objective[key], value, rtol=1e-9, atol=1e-11)
    assert batched.objective and torch.isfinite(torch.tensor(records(seen, "val_loss"))).all()
    torch.testing.assert_close(
        torch.tensor(records(also, "val_loss")), torch.tensor(records(seen, "val_loss")), rtol=1e-8, atol=0
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_restored_population_continues_bit_for_bit(name: str) -> None:
    made = images(seed="0:2", objective=name, penalty_anneal_steps=9, group_dro_eta=0.3, **SHORTCUT)
    whole, _ = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == 7:
            break
    stored = {key: value.clone() for key, value in population.tensors().items()}
    assert any(key.startswith("objective.") for key in stored)
    resumed = initial_population(made).restored(7, stored)
    list(train(made, resumed))
    assert all(same_bits(value, whole.tensors()[key]) for key, value in resumed.tensors().items())


def test_a_diverged_member_keeps_the_state_it_had() -> None:
    made = images(seed="0:2", objective="group_dro", **SHORTCUT)

    def explode(population: Any) -> None:
        population.flat[1] = torch.inf

    population, _ = trained(made, change=explode)
    even = torch.full((20,), 1 / 20, dtype=torch.float64)
    torch.testing.assert_close(population.objective["log_q"][1].exp(), even, rtol=1e-12, atol=0)
    assert (population.objective["log_q"][0].exp() - even).abs().max() > 1e-3


def test_probes_see_the_objective_with_its_state() -> None:
    """val_loss's gradient under group_dro is that of its current weights, not of even ones."""
    from epochal.engine.view import LiveView

    made = images(objective="group_dro", group_dro_eta=0.5, **SHORTCUT)
    population, _ = trained(made)
    fields = {name: values[0] for name, values in made.fields.items()}

    def gradient(state: dict[str, Tensor]) -> Tensor:
        view = LiveView(
            made, step=12, flat=population.flat[0], buffers=population.buffers[0],
            initial=population.initial[0], fields=fields, objective=state,
        )  # fmt: skip
        return view.loss_gradient("val")

    state = {"log_q": population.objective["log_q"][0]}
    found = gradient(state)
    batch = made.task.batch(made.task.index("val", fields), fields, KEY)
    flat = population.flat[0].clone().requires_grad_()
    logits = made.network(made.network.layout.unflatten(flat), {}, batch.inputs)
    loss, _ = made.objective(lambda inputs: logits, batch, fields, state, KEY)
    (expected,) = torch.autograd.grad(loss, flat)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    even = gradient({"log_q": torch.full((20,), -math.log(20), dtype=torch.float64)})
    assert (found - even).norm() > 1e-2 * found.norm()
