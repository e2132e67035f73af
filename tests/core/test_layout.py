"""The flat layout is a bijection between named tensors and a vector."""

import pytest
import torch

from epochal.core.tensors.layout import Layout

SHAPES: dict[str, tuple[int, ...]] = {
    "embed.weight": (5, 3),
    "block.0.up.bias": (4,),
    "scale": (),
    "empty": (0, 2),
}


def test_entries_tile_the_vector() -> None:
    layout = Layout.of(SHAPES)
    assert layout.size == 15 + 4 + 1
    places = [place for entry in layout.entries for place in range(layout.size)[entry.slice]]
    assert places == list(range(layout.size))
    assert [entry.block for entry in layout.entries] == ["embed", "block.0.up", "", ""]


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_unflatten_and_flatten_are_inverse(lead: tuple[int, ...]) -> None:
    layout = Layout.of(SHAPES)
    flat = torch.arange(layout.size * max(1, torch.Size(lead).numel())).double().reshape(*lead, layout.size)
    tensors = layout.unflatten(flat)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        n: (*lead, *s) for n, s in SHAPES.items()
    }
    assert torch.equal(layout.flatten(tensors), flat)
    assert torch.equal(tensors["block.0.up.bias"], flat[..., 15:19])


def test_gradients_flow_through_the_split() -> None:
    layout = Layout.of(SHAPES)
    flat = torch.ones(2, layout.size, requires_grad=True)
    layout.unflatten(flat)["block.0.up.bias"].sum().backward()
    expected = torch.zeros(2, layout.size)
    expected[:, 15:19] = 1
    assert flat.grad is not None and torch.equal(flat.grad, expected)


def test_a_missing_tensor_is_an_error() -> None:
    with pytest.raises(KeyError, match="scale"):
        Layout.of(SHAPES).flatten(
            {name: torch.zeros(shape) for name, shape in SHAPES.items() if name != "scale"}
        )
