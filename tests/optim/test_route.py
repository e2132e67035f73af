"""Routes: every tensor has one transform, which sees nothing else."""

import pytest
import torch

from epochal.core.tensors.layout import Entry, Layout
from epochal.core.tensors.transform import Transform
from epochal.optim.chain import chain
from epochal.optim.clip import Clip
from epochal.optim.decay import DecayToInitial, DecayToZero
from epochal.optim.noise import UpdateNoise
from epochal.optim.optimizers.adamw import adamw
from epochal.optim.optimizers.muon import Muon, hidden_matrix
from epochal.optim.optimizers.sgd import SGD
from epochal.optim.route import Choice, route
from tests.engine.programs import same_bits
from tests.optim.examples import LAYOUT, MEMBERS, columns, context, gradient, starting, steps


@pytest.mark.parametrize(
    "choices",
    [
        {"*": adamw()},
        {"block": adamw(), "*": adamw()},
        {"block.up.bias": adamw(), "gain": adamw(), "*": adamw()},
        {lambda entry: len(entry.shape) == 1: adamw(), lambda entry: True: adamw()},
    ],
)
def test_the_same_transform_everywhere_is_no_route(choices: dict[Choice, Transform]) -> None:
    """AdamW and decay to the start act on each number alone, so that any cut must give the same."""
    choices = {choice: chain(transform, DecayToInitial()) for choice, transform in choices.items()}
    whole, _ = steps(chain(adamw(), DecayToInitial()), starting(), until=20)
    routed, _ = steps(route(LAYOUT, choices), starting(), until=20)
    assert same_bits(whole, routed)


def test_each_tensor_gets_its_own() -> None:
    """Muon's tensors as if there were no others, and the others as if there were no Muon."""
    both, _ = steps(
        route(LAYOUT, {hidden_matrix: chain(Muon(), DecayToZero()), "*": adamw()}),
        starting(),
        until=20,
        of=alone,
    )
    everywhere, _ = steps(adamw(), starting(), until=20, of=alone)
    for name, value in LAYOUT.unflatten(both).items():
        is_hidden = name in ("block.up.weight", "block.down.weight", "block.gate.weight")
        assert torch.equal(value, LAYOUT.unflatten(everywhere)[name]) is not is_hidden, name
    layout = Layout.of({"block.down.weight": (4, 6)})
    entry = next(entry for entry in LAYOUT.entries if entry.name == "block.down.weight")
    single, _ = steps(
        chain(Muon(), DecayToZero()), starting()[:, entry.slice], until=20, of=alone, layout=layout
    )
    torch.testing.assert_close(
        LAYOUT.unflatten(both)["block.down.weight"].flatten(1), single, rtol=1e-12, atol=1e-14
    )


def alone(flat: torch.Tensor, step: int, seeds: torch.Tensor) -> torch.Tensor:
    """A gradient of each number by itself."""
    return flat + torch.sin(7 * flat + step)


def test_what_looks_at_a_whole_vector_looks_at_its_branch() -> None:
    given = 1000 * gradient(starting(), 0, torch.arange(MEMBERS))
    fields = columns() | {"gradient_clip": torch.full((MEMBERS, 1), 0.1, dtype=torch.float64)}
    routed = route(LAYOUT, {"block": Clip(), "*": Clip("tensor")})
    found, _ = routed.update(given.clone(), {}, context(starting(), fields=fields))
    parts = LAYOUT.unflatten(found)
    block = torch.cat([value.flatten(1) for name, value in parts.items() if name.startswith("block")], 1)
    for norm in (block.norm(dim=1), parts["embed.weight"].flatten(1).norm(dim=1), parts["gain"].abs()[:, 0]):
        torch.testing.assert_close(norm, torch.full((MEMBERS,), 0.1, dtype=torch.float64), rtol=1e-4, atol=0)


def test_branches_draw_different_noise() -> None:
    layout = Layout.of({"a.weight": (30,), "b.weight": (30,)})
    flat = torch.zeros(MEMBERS, 60, dtype=torch.float64)
    routed = route(layout, {"a": UpdateNoise(), "b": UpdateNoise()})
    found, _ = routed.update(flat.clone(), {}, context(flat, layout=layout))
    assert not torch.isclose(found[1:, :30], found[1:, 30:]).any()


def test_muon_takes_hidden_matrices() -> None:
    def entry(name: str, *shape: int) -> Entry:
        return Entry(name=name, shape=shape, start=0)

    hidden = [
        entry("block.0.query.weight", 4, 4),
        entry("conv.weight", 8, 3, 3, 3),
        entry("layers.1.weight", 2, 3),
    ]
    others = [
        entry("embed.weight", 9, 4), entry("position.weight", 3, 4), entry("unembed.weight", 9, 4),
        entry("block.0.up.bias", 4), entry("fc.weight", 10, 4), entry("readout.weight", 10, 4),
    ]  # fmt: skip
    assert all(map(hidden_matrix, hidden)) and not any(map(hidden_matrix, others))


def test_muon_takes_a_kernel_as_the_matrix_of_its_output_channels() -> None:
    kernel, matrix = Layout.of({"conv.weight": (4, 2, 3)}), Layout.of({"weight": (4, 6)})
    one, _ = steps(Muon(), starting(kernel), until=5, layout=kernel)
    other, _ = steps(Muon(), starting(matrix), until=5, layout=matrix)
    assert torch.equal(one, other)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"no transform for embed\.weight, .*: add \"\*\""):
        route(LAYOUT, {"block": SGD()})
    with pytest.raises(ValueError, match=r"'blok' names no tensor and no module: there are embed\.weight"):
        route(LAYOUT, {"blok": SGD(), "*": SGD()})
    with pytest.raises(ValueError, match=r"block\.up\.bias has shape \(6,\)"):
        steps(Muon(), starting(), until=1)
