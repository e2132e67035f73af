"""Keys and rates of many steps at once: those of one step at a time, for whomever they are computed with."""

import pytest
import torch

from epochal.core.tensors import random
from epochal.engine.ahead import SPAN, Ahead, Given
from epochal.engine.program import Program
from tests.engine.programs import program, same_bits

RATES = {
    "learning_rate": "0.001:0.008:0.001",
    "warmup_steps": 5,
    "anneal_steps": 90,
    "rate_decay_steps": 7,
    "rate_decay_factor": 0.7,
    "max_steps": 200,
}


def at(made: Program, step: int) -> Given:
    return Ahead(made, columns(made)).at(step)


def columns(made: Program) -> dict[str, torch.Tensor]:
    return {name: value[:, None].double() for name, value in made.fields.items()}


@pytest.mark.parametrize("step", [0, 4, SPAN - 1, SPAN, 2 * SPAN + 17])
def test_a_step_gets_what_it_would_get_by_itself(step: int) -> None:
    made = program(seed=3, **RATES)
    given = at(made, step)
    key = random.key(made.fields["seed"], "step", step)
    assert given.key.equal(key)
    assert given.batch_key.equal(random.fold(key, "task"))
    by_itself = made.learning_rate(columns(made), step)
    assert given.learning_rate.shape == by_itself.shape
    assert same_bits(given.learning_rate, by_itself)
    assert len(given.learning_rate.unique()) == len(given.learning_rate)  # the members' rates differ


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
