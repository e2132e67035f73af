"""Rules of several passes: SAM and weight noise, against closed forms and a hand-written loop."""

import dataclasses
import math
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.lesson import Judged, Lesson
from epochal.core.tensors.rule import Rule, gradient_of, one_backward
from epochal.engine.order import BatchOrder
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.objectives.cross_entropy import cross_entropy
from epochal.rules.backprop import Backprop
from epochal.rules.wrappers.sam import SAM
from epochal.rules.wrappers.weight_noise import WeightNoise
from tests.engine.programs import images, program, same_bits, trained

MEMBERS, SIZE = 3, 6
KEY = random.key(torch.arange(MEMBERS), "step", 7)


def curvature() -> Tensor:
    drawn = random.normal(
        random.key(torch.arange(MEMBERS), "a")[:, None], torch.arange(SIZE * SIZE), torch.float64
    )
    root = drawn.reshape(MEMBERS, SIZE, SIZE)
    return root @ root.mT


def bowl(flat: Tensor) -> Any:
    """``w A w / 2`` per member: the gradient at any point is ``A w``."""
    losses = torch.einsum("mi,mij,mj->m", flat, curvature(), flat) / 2
    return losses, losses.detach(), {"count": torch.ones(len(flat))}


def somewhere() -> Tensor:
    return random.normal(random.key(torch.arange(MEMBERS), "w")[:, None], torch.arange(SIZE), torch.float64)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_sam_takes_the_gradient_uphill() -> None:
    flat, rho = somewhere(), column(0.0, 0.1, 2.0)
    kept = flat.clone()
    found = gradient_of(SAM(Backprop()), bowl, flat, {"sam_rho": rho}, KEY)
    g = torch.einsum("mij,mj->mi", curvature(), flat)
    expected = torch.einsum("mij,mj->mi", curvature(), flat + rho * g / g.norm(dim=1, keepdim=True))
    torch.testing.assert_close(found.gradient, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.losses, bowl(flat)[1], rtol=0, atol=0)
    assert same_bits(flat, kept)


def test_sam_at_a_flat_point_stays() -> None:
    flat = torch.zeros(MEMBERS, SIZE, dtype=torch.float64)
    found = gradient_of(SAM(Backprop()), bowl, flat, {"sam_rho": column(0.1, 1.0, 10.0)}, KEY)
    assert torch.equal(found.gradient, flat)


def test_noise_is_on_the_weights_of_the_pass_only() -> None:
    flat, strength = somewhere(), column(0.0, 0.1, 1.0)
    kept = flat.clone()
    found = gradient_of(WeightNoise(Backprop()), bowl, flat, {"weight_noise": strength}, KEY)
    noise = torch.linalg.solve(curvature(), found.gradient) - flat
    assert same_bits(flat, kept)
    assert noise[0].abs().max() < 1e-8 and (noise[1:].abs() > 1e-6).all()
    torch.testing.assert_close(
        found.losses, bowl(flat + noise)[1], rtol=1e-6, atol=1e-6
    )  # solving loses some digits


def test_weight_noise_is_normal_and_new_in_every_step() -> None:
    def where(flat: Tensor) -> Any:
        return (flat**2).sum(1) / 2, flat.detach().sum(1), {}

    flat = torch.zeros(2, 5000, dtype=torch.float64)
    fields = {"weight_noise": column(0.5, 3.0)}
    first, second = (
        gradient_of(
            WeightNoise(Backprop()), where, flat, fields, random.key(torch.arange(2), "step", step)
        ).gradient
        for step in (0, 1)
    )
    for row in (first / fields["weight_noise"]).numpy():
        assert scipy.stats.kstest(row, "norm").pvalue > 1e-3
    for other in (second[0], first[1]):
        assert abs(float(torch.corrcoef(torch.stack([first[0], other]))[0, 1])) < 4 / math.sqrt(5000)


def test_sam_of_weight_noise_has_the_same_noise_in_both_passes() -> None:
    flat = somewhere()
    fields = {"weight_noise": column(0.3, 0.3, 0.3), "sam_rho": column(0.2, 0.2, 0.2)}
    found = gradient_of(SAM(WeightNoise(Backprop())), bowl, flat, fields, KEY).gradient
    first = gradient_of(WeightNoise(Backprop()), bowl, flat, fields, KEY).gradient
    shift = torch.linalg.solve(curvature(), first) - flat
    worst = flat + 0.2 * first / first.norm(dim=1, keepdim=True) + shift
    torch.testing.assert_close(found, torch.einsum("mij,mj->mi", curvature(), worst), rtol=1e-8, atol=1e-8)


def with_rule(rule: Rule, seed: str = "0:3", /, **fields: list[float]) -> Program:
    made = program(seed=seed, batch_size=16, precision="float64", max_steps=20)
    own = {name: torch.tensor(values, dtype=torch.float64) for name, values in fields.items()}
    return dataclasses.replace(made, rule=rule, fields=dict(made.fields) | own)


@pytest.mark.parametrize("rule", [SAM(Backprop()), WeightNoise(Backprop()), SAM(WeightNoise(Backprop()))])
def test_without_radius_and_noise_it_is_the_wrapped_rule(rule: Rule) -> None:
    zero = {"sam_rho": [0.0, 0.0, 0.0], "weight_noise": [0.0, 0.0, 0.0]}
    plain, _ = trained(with_rule(Backprop(), **zero))
    wrapped, _ = trained(with_rule(rule, **zero))
    assert same_bits(plain.flat, wrapped.flat)


def test_sam_trains_as_a_loop_of_two_passes() -> None:
    """An ordinary module, torch's AdamW, and the two backwards written out."""
    made = with_rule(SAM(Backprop()), sam_rho=[0.0, 0.05, 0.5])
    ends, _ = trained(made)
    start, order = initial_population(made), BatchOrder(made)
    for member, rho in enumerate([0.0, 0.05, 0.5]):
        module = made.network.materialise(start.flat[member], start.buffers[member]).train()
        fields = {name: float(values[member]) for name, values in made.fields.items()}
        own = {name: values[member] for name, values in made.fields.items()}
        parameters = list(module.parameters())
        optimizer = torch.optim.AdamW(
            parameters, betas=(fields["beta1"], fields["beta2"]), weight_decay=fields["weight_decay"]
        )
        for step in range(made.max_steps):
            batch = made.task.batch(order.indices(step)[member], own, torch.tensor(0))
            optimizer.param_groups[0]["lr"] = fields["learning_rate"] * min(
                1, (step + 1) / fields["warmup_steps"]
            )

            def backward(module: Any = module, batch: Any = batch, optimizer: Any = optimizer) -> None:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(module(batch.inputs), batch.targets).backward()

            backward()
            kept = [p.detach().clone() for p in parameters]
            with torch.no_grad():
                length = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
                for p in parameters:
                    p.add_(rho * p.grad / length)  # type: ignore[operator]
            backward()
            with torch.no_grad():
                for p, value in zip(parameters, kept, strict=True):
                    p.copy_(value)
            torch.nn.utils.clip_grad_norm_(parameters, fields["gradient_clip"])
            optimizer.step()
        expected = made.network.layout.flatten({name: p.detach() for name, p in module.named_parameters()})
        torch.testing.assert_close(ends.flat[member], expected, rtol=1e-9, atol=1e-11)


def test_a_member_alone_is_the_member_in_a_pack() -> None:
    rule = SAM(WeightNoise(Backprop()))
    pack, _ = trained(with_rule(rule, sam_rho=[0.0, 0.1, 0.5], weight_noise=[0.0, 0.01, 0.1]))
    for member, (rho, noise) in enumerate([(0.0, 0.0), (0.1, 0.01), (0.5, 0.1)]):
        alone, _ = trained(with_rule(rule, str(member), sam_rho=[rho], weight_noise=[noise]))
        torch.testing.assert_close(alone.flat[0], pack.flat[member], rtol=1e-9, atol=1e-11)


@dataclasses.dataclass(frozen=True)
class Counting:
    """Backpropagation that counts how often it is asked."""

    calls: list[int]

    def surrogate(self, lesson: Lesson) -> Judged:
        self.calls.append(1)
        return Backprop().surrogate(lesson)


def test_each_pass_is_one_call_for_the_whole_population() -> None:
    for rule, passes in ((Counting([]), 1), (SAM(Counting([])), 2)):
        made = dataclasses.replace(with_rule(rule, sam_rho=[0.1, 0.1, 0.1]), max_steps=5, probes=())
        trained(made)
        counting = rule.rule if isinstance(rule, SAM) else rule
        assert isinstance(counting, Counting) and len(counting.calls) == 5 * passes


def test_an_objective_moves_on_once_per_update() -> None:
    """From its state at the weights, however many passes a rule makes."""

    def counting(logits_fn: Any, batch: Any, fields: Any, state: Any, key: Any) -> Any:
        loss, _ = cross_entropy(logits_fn, batch, fields, {}, key)
        return loss, {"count": state["count"] + 1}

    for rule in (Backprop(), SAM(Backprop())):
        made = dataclasses.replace(with_rule(rule, sam_rho=[0.1] * 3), objective=counting, probes=())

        def begin(population: Any) -> None:
            population.objective = {"count": torch.zeros(3)}

        population, _ = trained(made, change=begin)
        assert population.objective["count"].tolist() == [20.0] * 3


def test_a_diverged_neighbour_changes_no_bit() -> None:
    made = with_rule(SAM(WeightNoise(Backprop())), sam_rho=[0.1] * 3, weight_noise=[0.01] * 3)

    def explode(population: Any) -> None:
        population.flat[1] *= math.inf

    calm, wild = trained(made)[0], trained(made, change=explode)[0]
    assert all(same_bits(calm.flat[member], wild.flat[member]) for member in (0, 2))
    assert wild.diverged_at.tolist() == [-1, 0, -1]


def test_one_backward_is_autograds() -> None:
    flat = somewhere()
    found = one_backward(bowl, flat)
    torch.testing.assert_close(
        found.gradient, torch.einsum("mij,mj->mi", curvature(), flat), rtol=1e-13, atol=1e-13
    )
    assert not flat.requires_grad and found.state["count"].shape == (MEMBERS,)


@pytest.mark.parametrize("executor", ["vmap", "loop"])
@pytest.mark.parametrize("rule", [SAM(Backprop()), SAM(WeightNoise(Backprop()))])
def test_batch_norm_follows_the_pass_that_is_not_at_the_worst_point(rule: SAM, executor: str) -> None:
    """After one update the running statistics are those of the wrapped rule's single pass."""
    made = images(model="resnet18", width=2, n_train=40, seed="0:2", precision="float64", executor=executor)
    own = {
        name: torch.full((2,), value, dtype=torch.float64)
        for name, value in {"sam_rho": 5.0, "weight_noise": 0.1}.items()
    }
    after = []
    for each in (rule, rule.rule):
        whole = dataclasses.replace(made, rule=each, fields=dict(made.fields) | own)
        population = initial_population(whole)
        Stepper(whole).update(population)
        after.append(population)
    assert same_bits(after[0].buffers, after[1].buffers)
    assert not torch.allclose(after[0].flat, after[1].flat)
    assert not torch.equal(after[0].buffers, initial_population(made).buffers)
