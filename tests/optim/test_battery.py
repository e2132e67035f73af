"""What every transform must pass: members apart, restorable, pure, still where nothing pulls."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import pytest
import safetensors.torch
import torch
from torch import Tensor

from epochal import optim
from epochal.core.tensors.transform import Transform
from epochal.optim.chain import Chain
from epochal.optim.route import Route
from tests.engine.programs import same_bits
from tests.optim.examples import EXAMPLES, MEMBERS, columns, context, gradient, starting, steps

NAMES = list(EXAMPLES)
STEPS = 12


@pytest.mark.parametrize("name", NAMES)
def test_members_alone_are_members_of_a_pack(name: str) -> None:
    start = starting()
    pack, _ = steps(EXAMPLES[name].transform, start, until=STEPS)
    for member in range(MEMBERS):
        fields = {field: values[member : member + 1] for field, values in columns().items()}
        alone, _ = steps(
            EXAMPLES[name].transform,
            start[member : member + 1],
            until=STEPS,
            fields=fields,
            seeds=torch.tensor([member]),
        )
        assert same_bits(alone[0], pack[member])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pause", [1, 7])
def test_a_restored_state_continues_bit_for_bit(name: str, pause: int) -> None:
    transform, start = EXAMPLES[name].transform, starting()
    whole, whole_state = steps(transform, start, until=STEPS)
    flat, state = steps(transform, start, until=pause)
    stored = safetensors.torch.load(safetensors.torch.save(state))
    assert set(stored) == set(transform.init(start)), "the names of a state never change"
    rest, rest_state = steps(transform, start, first=pause, until=STEPS, flat=flat, state=stored)
    assert same_bits(rest, whole)
    assert all(same_bits(rest_state[key], value) for key, value in whole_state.items())


@pytest.mark.parametrize("name", NAMES)
def test_the_state_has_one_row_per_member(name: str) -> None:
    _, state = steps(EXAMPLES[name].transform, starting(), until=2)
    assert all(tensor.shape[0] == MEMBERS for tensor in state.values())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_pure_in_its_arguments(name: str) -> None:
    """Same key, same update; neither parameters nor the global generator are touched."""
    transform, start = EXAMPLES[name].transform, starting()
    _, state = steps(transform, start, until=3)
    flat = 1.1 * starting()
    generator, kept = torch.random.get_rng_state(), (flat.clone(), start.clone())
    updates = []
    for _ in range(2):
        own = {key: value.clone() for key, value in state.items()}
        now = context(flat, initial=start, step=3)
        updates.append(transform.update(gradient(flat, 3, torch.arange(MEMBERS)), own, now)[0])
    assert same_bits(updates[0], updates[1])
    assert same_bits(flat, kept[0]) and same_bits(start, kept[1])
    assert torch.equal(generator, torch.random.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_without_gradient_and_decay_nothing_moves(name: str) -> None:
    fields = columns() | {"weight_decay": torch.zeros(MEMBERS, 1, dtype=torch.float64)}
    start = starting()

    def none(flat: Tensor, step: int, seeds: Tensor) -> Tensor:
        return torch.zeros_like(flat)

    end, _ = steps(EXAMPLES[name].transform, start, until=STEPS, fields=fields, of=none)
    assert torch.equal(end, start) is not EXAMPLES[name].moves_alone


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e300])
def test_a_diverged_neighbour_changes_no_bit(name: str, poison: float) -> None:
    def poisoned(flat: Tensor, step: int, seeds: Tensor) -> Tensor:
        found = gradient(flat, step, seeds)
        if step >= 2:
            found[1] = poison
        return found

    calm, _ = steps(EXAMPLES[name].transform, starting(), until=STEPS)
    wild, _ = steps(EXAMPLES[name].transform, starting(), until=STEPS, of=poisoned)
    for member in (0, 2):
        assert same_bits(calm[member], wild[member])
    assert not torch.equal(calm[1], wild[1])


@pytest.mark.parametrize("name", NAMES)
def test_float32_follows_float64(name: str) -> None:
    """Two updates differ by rounding only, so nothing that decides about size is derived in float32."""
    transform = EXAMPLES[name].transform
    exact, _ = steps(transform, starting(), until=2)
    rounded, _ = steps(transform, starting(dtype=torch.float32), until=2)
    assert rounded.dtype == torch.float32
    tolerance = 2e-2 if "bfloat16" in name else 2e-6
    torch.testing.assert_close(rounded.double(), exact, rtol=tolerance, atol=tolerance)


def test_every_transform_has_an_example() -> None:
    """A new one is added to ``EXAMPLES`` in tests/optim/examples.py, and to no test."""
    shown = {type(link) for example in EXAMPLES.values() for link in links(example.transform)}
    written = {
        kind
        for info in pkgutil.walk_packages(optim.__path__, "epochal.optim.")
        for kind in vars(import_module(info.name)).values()
        if isinstance(kind, type)
        and hasattr(kind, "init")
        and hasattr(kind, "update")
        and kind.__module__.startswith("epochal.optim.")
    }
    assert {kind.__name__ for kind in written - shown} == set()
    assert len(written) > 10


def links(transform: Transform) -> Iterator[Transform]:
    yield transform
    inner: tuple[Transform, ...] = ()
    if isinstance(transform, Chain):
        inner = transform.links
    elif isinstance(transform, Route):
        inner = tuple(branch.transform for branch in transform.branches)
    for link in inner:
        yield from links(link)


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_says_which_fields_it_reads(name: str) -> None:
    for link in links(EXAMPLES[name].transform):
        if not isinstance(link, Chain | Route):
            assert link.__doc__ is not None and "Reads " in link.__doc__, type(link).__name__
