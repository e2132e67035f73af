"""What rules keep between updates: alone or in a pack, resumed, beside a diverging one, watched, stored."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import epochal
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.folder import NameIn
from epochal.core.values.options import NoOptions
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.engine.train import train
from tests.engine.programs import images, same_bits, trained

RULES = [name for name in NameIn("rules").names if name != "backprop"]
KEEPING = [name for name in RULES if name != "frozen"]
LEARNING = ["kolen_pollack", "weight_mirror"]


def population_of(rule: str, **settings: Any) -> Program:
    small = {"seed": "0:3", "weight_decay": 0.1, "gradient_clip": 1.0, "precision": "float64"}
    return images(rule=rule, **(small | settings))


def same_memory(one: Population, other: Population, rows: Any = slice(None)) -> bool:
    assert one.memory.keys() == other.memory.keys()
    return all(same_bits(one.memory[name][rows], other.memory[name][rows]) for name in one.memory)


@pytest.mark.parametrize("executor", ["vmap", "loop"])
@pytest.mark.parametrize("rule", RULES)
def test_i1_a_member_alone_is_the_member_in_a_pack(rule: str, executor: str) -> None:
    pack, _ = trained(population_of(rule, executor=executor))
    alone, _ = trained(population_of(rule, seed=1))
    assert pack.is_alive.all() and not torch.equal(pack.flat, pack.initial)
    torch.testing.assert_close(alone.flat[0], pack.flat[1], rtol=1e-9, atol=1e-11)
    for name, value in alone.memory.items():
        torch.testing.assert_close(value[0], pack.memory[name][1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rule", RULES)
def test_i2_a_restored_population_continues_bit_for_bit(rule: str) -> None:
    made = population_of(rule, precision="float32")
    whole, _ = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == 5:
            break
    stored = {name: tensor.clone() for name, tensor in population.tensors().items()}
    assert any(name.startswith("memory.") for name in stored) == (rule in LEARNING)
    resumed = initial_population(made).restored(5, stored)
    list(train(made, resumed))
    assert same_bits(resumed.flat, whole.flat) and same_memory(resumed, whole)


@probe(columns=("told",), unit="1", low=0.0, high=math.inf, null="0", cost="a gradient", source="ours")
def told(options: NoOptions, view: View) -> dict[str, Tensor]:
    """The size of the credit, so that a run with it computes what a rule says at its sites."""
    credit = view.credit(view.data("val"))
    return {"told": torch.stack([value.square().sum() for value in credit.values()]).sum()}


@pytest.mark.parametrize("rule", RULES)
def test_i3_watching_the_credit_changes_nothing(rule: str) -> None:
    made = population_of(rule, precision="float32")
    watched = dataclasses.replace(made, probes=(*made.probes, (told.configured(), made.probes[0][1])))
    plain, (seen, moments) = trained(made)[0], trained(watched)
    assert same_bits(plain.flat, seen.flat) and same_memory(plain, seen)
    values = np.stack([m.record["told"] for m in moments if m.record is not None])
    assert np.isfinite(values).all() and (values > 0).all() == (rule != "frozen")


@pytest.mark.parametrize("rule", RULES)
def test_i4_a_diverging_member_keeps_its_memory_and_disturbs_nobody(rule: str) -> None:
    made = population_of(rule)

    def explode(population: Population) -> None:
        population.flat[1] = torch.inf

    calm, wild = trained(made)[0], trained(made, change=explode)[0]
    start = initial_population(made)
    assert wild.diverged_at.tolist() == [-1, 0, -1]
    assert same_bits(wild.flat[[0, 2]], calm.flat[[0, 2]])
    assert same_memory(wild, calm, [0, 2]) and same_memory(wild, start, [1])
    if rule in LEARNING:
        assert not same_memory(calm, start, [1])


@pytest.mark.parametrize("rule", LEARNING)
def test_members_that_leave_take_their_memory_along(rule: str) -> None:
    population = initial_population(population_of(rule))
    kept = population.kept(torch.tensor([0, 2]))
    assert all(len(value) == 2 for value in kept.memory.values())
    assert same_memory(kept.kept(torch.tensor([1])), population.kept(torch.tensor([2])))


@pytest.mark.parametrize("rule", [name for name in KEEPING if name != "sign_symmetry"])
def test_the_stream_of_feedback_has_a_seed_of_its_own(rule: str) -> None:
    start = initial_population(population_of(rule, seed=1, feedback_seed="1,2"))
    member = initial_population(population_of(rule, seed=1))
    assert same_bits(start.flat[0], start.flat[1])
    for name, value in start.memory.items():
        assert same_bits(value[0], member.memory[name][0]) and not torch.allclose(value[0], value[1])


@pytest.mark.parametrize("rule", RULES)
def test_batches_of_random_targets_keep_what_the_rule_keeps(rule: str) -> None:
    plain, other = population_of(rule), population_of(rule, random_targets=True)
    starts = [initial_population(made) for made in (plain, other)]
    assert same_memory(*starts)
    for made, population in zip((plain, other), starts, strict=True):
        Stepper(made).update(population)
    assert not torch.allclose(starts[0].flat, starts[1].flat)


def test_a_stored_run_has_what_was_learned(tmp_path: Path) -> None:
    """In its snapshots, and a run that goes on from there has it again."""
    settings: dict[str, Any] = {
        "n_train": 100, "width": 8, "batch_size": 20, "max_steps": 12, "threads": 1, "seed": "0:2",
        "rule": "kolen_pollack", "weight_decay": 0.1, "snapshot_every": 6, "snapshot_optimizer": True,
    }  # fmt: skip
    run = epochal.run("images", runs=tmp_path, progress=False, **settings)
    whole, _ = trained(images(rule="kolen_pollack", seed="0:2", weight_decay=0.1))
    half: dict[str, Any] = {"checkpoint": f"{run.name}@6", "learning_rate": 1e-3}
    branch = epochal.run("images", runs=tmp_path, progress=False, **half)
    for name, value in whole.memory.items():
        for member in range(2):
            for stored in (run.snapshot(member, 12), branch.snapshot(member, 12)):
                assert same_bits(torch.from_numpy(stored[f"memory.{name}"]), value[member])
