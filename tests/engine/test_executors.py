"""Executors and number formats: the same training, batched over members, in turn, compiled, in bfloat16."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.step import Stepper
from tests.engine.programs import images, program, records, same_bits, trained

ROOT = Path(__file__).parents[2]

KINDS: dict[str, Any] = {
    "transformer": lambda **more: program(batch_size=16, dropout=0.1, **more),
    "mlp": lambda **more: images(dropout=0.2, **more),
    "resnet": lambda **more: images(
        model="resnet18", width=4, crop_padding=1, flip=True, max_steps=4, n_train=40, **more
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_loop_is_vmap_to_rounding_under_dropout_augmentation_and_batch_norm(kind: str) -> None:
    ends = [
        trained(KINDS[kind](seed="0:3", precision="float64", executor=executor))
        for executor in ("vmap", "loop")
    ]
    (batched, seen), (in_turn, also_seen) = ends
    torch.testing.assert_close(in_turn.flat, batched.flat, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(in_turn.buffers, batched.buffers, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(
        torch.tensor(records(also_seen, "val_loss")),
        torch.tensor(records(seen, "val_loss")),
        rtol=1e-8,
        atol=1e-10,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_loop_a_member_is_bit_for_bit_the_member_alone(kind: str) -> None:
    pack, watched = trained(KINDS[kind](seed="0:3", executor="loop"))
    alone, alone_watched = trained(KINDS[kind](seed=1, executor="loop"))
    assert same_bits(pack.flat[1], alone.flat[0])
    assert records(watched, "val_loss")[:, 1].tobytes() == records(alone_watched, "val_loss")[:, 0].tobytes()


def test_initial_scales_differ_inside_one_pack() -> None:
    """Every member starts, and trained in turn ends, with the bits of a run of its own."""
    scales = [0.5, 1.0, 3.0]
    pack, watched = trained(images(init_scale="0.5,1,3", executor="loop", dropout=0.2))
    batched, _ = trained(images(init_scale="0.5,1,3", executor="vmap", precision="float64"))
    for member, scale in enumerate(scales):
        alone, alone_watched = trained(images(init_scale=scale, dropout=0.2))
        assert same_bits(pack.initial[member], alone.initial[0])
        assert same_bits(pack.flat[member], alone.flat[0])
        assert (
            records(watched, "val_loss")[:, member].tobytes()
            == records(alone_watched, "val_loss")[:, 0].tobytes()
        )
        exact, _ = trained(images(init_scale=scale, precision="float64"))
        torch.testing.assert_close(batched.flat[member], exact.flat[0], rtol=1e-9, atol=1e-11)
    weights = images().network.layout.unflatten(pack.initial)["readout.weight"]
    torch.testing.assert_close(weights[2], weights[1] * 3, rtol=1e-6, atol=0)


def test_in_a_loop_neighbours_and_probes_change_no_bit() -> None:
    made = program(seed="0:3", batch_size=16, executor="loop")
    calm, _ = trained(made)

    def explode(population: Any) -> None:
        population.flat[1] *= 1e30

    wild, _ = trained(made, change=explode)
    unwatched, _ = trained(program(seed="0:3", batch_size=16, executor="loop", probes=""))
    for member in (0, 2):
        assert same_bits(wild.flat[member], calm.flat[member])
    assert same_bits(unwatched.flat, calm.flat)


def test_rules_of_several_passes_train_in_a_loop() -> None:
    choice = {"seed": "0:3", "precision": "float64", "sam_rho": 0.05, "batch_size": 16}
    batched, _ = trained(program(executor="vmap", **choice))
    in_turn, _ = trained(program(executor="loop", **choice))
    torch.testing.assert_close(in_turn.flat, batched.flat, rtol=1e-8, atol=1e-10)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32() -> None:
    made = program(seed="0:2", precision="bfloat16", learning_rate=1e-5, warmup_steps=0, weight_decay=0)
    exact = dataclasses.replace(made, network=program(seed="0:2").network)
    population = initial_population(made)
    losses = [measure(p, population, [made.probes[0][0]])["train_loss"] for p in (made, exact)]
    # One bfloat16 rounding is 2^-9; logits near zero pass a dozen of them.
    assert 0 < abs(losses[0] - losses[1]).max() < 0.05
    before = population.flat.clone()
    Stepper(made).update(population)
    moved = (population.flat - before).abs()
    # Adam's first step has the size of the rate; a bfloat16 matrix would have swallowed it on most weights.
    assert population.flat.dtype == torch.float32
    assert moved[moved > 0].median() == pytest.approx(1e-5, rel=0.05)


def test_bfloat16_trains_a_resnet_with_batch_norm() -> None:
    population, moments = trained(KINDS["resnet"](seed="0:2", precision="bfloat16"))
    assert bool(population.is_alive.all()) and population.buffers.dtype == torch.float32
    assert records(moments, "val_loss").max() < 100


COMPILED = """
import torch
from tests.engine.programs import images, trained
choice = {"seed": "0:2", "precision": "float64", "max_steps": 3, "probes": ""}
ends = [trained(images(**choice, compile=on))[0] for on in (False, True)]
torch.testing.assert_close(ends[1].flat, ends[0].flat, rtol=1e-9, atol=1e-12)
from torch._dynamo.utils import counters
assert counters["stats"]["unique_graphs"] == 1, counters
"""


def test_a_compiled_pass_agrees_with_the_eager_one() -> None:
    # In a process of its own: the shape checks that tests switch on cannot be compiled.
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
