"""A layer's product in the cheaper of two forms: the same numbers and gradients; calls can be heard."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from epochal.models.dense import WIDE, dense

MEMBERS, ROWS, OUTPUTS = 3, 4, 5


class Counting(TorchFunctionMode):
    """Counts calls of ``linear``, which rules of feedback replace."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += func is nn.functional.linear
        return func(*args, **(kwargs or {}))


def slopes(inputs: int, bias: bool, *, together: bool) -> tuple[Tensor, ...]:
    """Outputs of all members, and the gradients of their summed squares."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(MEMBERS, *shape, generator=generator, dtype=torch.float64, requires_grad=True)

    weight, shift, h = draw(OUTPUTS, inputs), draw(OUTPUTS), draw(2, ROWS // 2, inputs)
    layer = nn.Linear(inputs, OUTPUTS, bias=bias, device="meta")

    def of_member(weight: Tensor, shift: Tensor, h: Tensor) -> Tensor:
        layer._parameters["weight"] = weight  # type: ignore[assignment]
        if bias:
            layer._parameters["bias"] = shift  # type: ignore[assignment]
        return dense(layer, h)

    each = (weight, shift, h)
    if together:
        out = torch.vmap(of_member)(*each)
    else:
        out = torch.stack([of_member(*(one[member] for one in each)) for member in range(MEMBERS)])
    found = torch.autograd.grad(out.square().sum(), each[::2] if not bias else each)
    return out, *found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs", [WIDE * ROWS, WIDE * ROWS - 1])
def test_members_together_are_members_alone(inputs: int, bias: bool) -> None:
    for ours, expected in zip(
        slopes(inputs, bias, together=True), slopes(inputs, bias, together=False), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("together", [True, False])
def test_who_listens_hears_every_call(together: bool) -> None:
    with Counting() as counting:
        slopes(WIDE * ROWS, True, together=together)
    assert counting.calls == (1 if together else MEMBERS)


def test_wide_weights_of_a_pack_are_multiplied_from_the_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that their gradient lies as they do."""

    def refuse(*_: object) -> Tensor:
        raise AssertionError("linear was called")

    monkeypatch.setattr(nn.functional, "linear", refuse)
    slopes(WIDE * ROWS, True, together=True)
    with pytest.raises(AssertionError, match="linear was called"):
        slopes(WIDE * ROWS, True, together=False)
