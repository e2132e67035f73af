"""Keys and rates of many steps at once: those of one step at a time, for whomever they are computed with."""

import torch

from epochal.core.tensors import random
from epochal.engine.ahead import SPAN, Ahead, AtStep
from epochal.engine.program import Program
from tests.engine.programs import program, same_bits

RATES = {
    "learning_rate": "0.001,0.003",
    "rate_decay_factor": "0.15,0.25,0.35,0.55,0.7,0.8,0.95",
    "warmup_steps": 5,
    "anneal_steps": 90,
    "rate_decay_steps": 7,
    "max_steps": 200,
}


def at(made: Program, step: int) -> AtStep:
    return Ahead(made, columns(made)).at(step)


def columns(made: Program) -> dict[str, torch.Tensor]:
    return {name: value[:, None].double() for name, value in made.fields.items()}


def test_a_step_gets_what_it_would_get_by_itself() -> None:
    made = program(seed=3, **RATES)
    ahead = Ahead(made, columns(made))
    for step in range(2 * SPAN + 17):
        now = ahead.at(step)
        key = random.key(made.fields["seed"], "step", step)
        assert now.key.equal(key)
        assert now.batch_key.equal(random.fold(key, "task"))
        by_itself = made.learning_rate(columns(made), step)
        assert now.learning_rate.shape == by_itself.shape
        assert same_bits(now.learning_rate, by_itself)
        assert len(now.learning_rate.unique()) > 1  # the members' rates differ


def test_a_member_gets_the_same_bits_in_a_pack_and_alone_whatever_came_before() -> None:
    made = program(seed="0:2", **RATES)
    ahead = Ahead(made, columns(made))
    ahead.at(5)
    for step in (70, 3, 130):
        pack = ahead.at(step)
        for member in range(made.num_members):
            alone = at(made.of_members(torch.tensor([member])), step)
            assert same_bits(alone.learning_rate[0], pack.learning_rate[member])
            assert alone.key.item() == pack.key[member].item()
