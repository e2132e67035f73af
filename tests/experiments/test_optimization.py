"""The spec's optimisation fields: which chain they make, in which order, and that every choice trains."""

from typing import Any

import pytest
import torch

from epochal.core.values.spec import Spec
from tests.engine.programs import program, same_bits, trained

CHOICES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "nesterov": True},
    "rmsprop": {"optimizer": "rmsprop"},
    "muon": {"optimizer": "muon"},
    "sam": {"sam_rho": 0.05},
    "grokfast_ema": {"grokfast": "ema"},
    "grokfast_ma": {"grokfast": "ma", "grokfast_window": 5},
    "orthogonal": {"orthogonal_gradient": True},
    "clip_tensor": {"gradient_clip_scope": "tensor"},
    "coupled": {"weight_decay_kind": "coupled"},
    "to_initial": {"weight_decay_kind": "to_initial"},
    "jiggled": {"weight_decay_kind": "jiggled"},
    "update_noise": {"update_noise": 0.1},
    "weight_noise": {"weight_noise": 0.01},
    "constant_norm": {"constant_norm": "member", "weight_decay": 0},
    "annealed": {"anneal_steps": 20, "rate_decay_steps": 10},
    "mse": {"objective": "mse"},
    "stablemax": {"objective": "stablemax"},
    "smoothed": {"label_smoothing": 0.1},
}


def test_the_order_of_a_chain() -> None:
    everything = Spec(
        orthogonal_gradient=True, grokfast="ema", gradient_clip=1.0, weight_decay=0.1, update_noise=0.1,
        constant_norm="member",
    )  # fmt: skip
    order = "orthogonal_gradient grokfast_ema clip adamw update_noise decay_to_zero constant_norm"
    assert everything.chain() == tuple(order.split())
    coupled = Spec(optimizer="sgd", weight_decay=0.1, gradient_clip=1.0)
    assert coupled.chain() == ("clip", "decay_coupled", "sgd")
    assert Spec().chain() == ("adamw", "decay_to_zero")


def test_members_with_other_parts_train_in_other_packs() -> None:
    assert Spec(sam_rho=0.1).pack_key() == Spec(sam_rho=0.2).pack_key() != Spec().pack_key()
    assert Spec(weight_decay=0.1).pack_key() == Spec().pack_key()


@pytest.mark.parametrize("name", CHOICES)
def test_i1_every_choice_trains_alone_as_in_a_pack(name: str) -> None:
    choice = {"precision": "float64", "max_steps": 25, "batch_size": 16, "probes": "loss"} | CHOICES[name]
    pack, _ = trained(program(seed="0:3", **choice))
    alone, _ = trained(program(seed=1, **choice))
    assert bool(pack.is_alive.all())
    torch.testing.assert_close(alone.flat[0], pack.flat[1], rtol=1e-8, atol=1e-10)
    assert not torch.equal(pack.flat[1], pack.initial[1])
    undone = {field: PLAIN[field] for field in CHOICES[name]}
    plain, _ = trained(program(seed="0:3", **(choice | undone)))
    assert not torch.equal(plain.flat, pack.flat), "the choice has no effect"


PLAIN: dict[str, Any] = {
    "optimizer": "adamw", "learning_rate": 3e-3, "nesterov": False, "sam_rho": 0, "grokfast": "off",
    "grokfast_window": 100, "orthogonal_gradient": False, "gradient_clip_scope": "member",
    "weight_decay_kind": "auto", "update_noise": 0, "weight_noise": 0, "constant_norm": "off",
    "weight_decay": 0.3,
    "anneal_steps": 0, "rate_decay_steps": 0, "objective": "cross_entropy", "label_smoothing": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_i2_every_choice_resumes_bit_for_bit(name: str) -> None:
    from epochal.engine.population import initial_population
    from epochal.engine.train import train

    made = program(seed="0:2", max_steps=24, batch_size=16, probes="loss", **CHOICES[name])
    whole, _ = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == 13:
            break
    stored = {key: value.clone() for key, value in population.tensors().items()}
    resumed = initial_population(made).restored(13, stored)
    list(train(made, resumed))
    assert all(same_bits(value, whole.tensors()[key]) for key, value in resumed.tensors().items())
