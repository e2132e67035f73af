"""Batch norm against torch's, member by member, running statistics included; group norm; none."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap
from epochal.models.initialization import initializer
from epochal.models.norms import BatchNorm, GroupNorm, NoNorm, norm

MEMBERS, CHANNELS = 3, 4


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def twin(weight: Tensor, bias: Tensor, buffers: Tensor) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(CHANNELS).double()
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(bias)
        made.running_mean.copy_(buffers[:CHANNELS])  # type: ignore[union-attr]
        made.running_var.copy_(buffers[CHANNELS:])  # type: ignore[union-attr]
    return made


def population() -> tuple[Network, Tensor, Tensor]:
    """Buffers are columns of a wider matrix, as in a network with several layers: slices have gaps."""
    net = Network(lambda: BatchNorm(CHANNELS), initializer("torch"))
    flat = 1 + 0.3 * drawn(MEMBERS, 2 * CHANNELS)
    buffers = drawn(MEMBERS, 2 * CHANNELS + 5).square()[:, : 2 * CHANNELS]
    return net, flat, buffers


def outputs(net: Network, flat: Tensor, buffers: Tensor, h: Tensor, tap: Tap, *, together: bool) -> Tensor:
    params, stats = net.layout.unflatten(flat), net.buffer_layout.unflatten(buffers)
    if together:
        return torch.vmap(lambda p, b, x: net(p, b, x, tap))(params, stats, h)

    def own(values: dict[str, Tensor], member: int) -> dict[str, Tensor]:
        return {name: value[member] for name, value in values.items()}

    each = [net(own(params, m), own(stats, m), h[m], tap) for m in range(MEMBERS)]
    return torch.stack(each)


@pytest.mark.parametrize("together", [True, False], ids=["vmap", "alone"])
def test_batch_norm_is_torchs_for_every_member(together: bool) -> None:
    net, flat, buffers = population()
    twins = [twin(flat[m, :CHANNELS], flat[m, CHANNELS:], buffers[m]) for m in range(MEMBERS)]
    flat.requires_grad_()
    for step in range(3):
        h = (2 * drawn(MEMBERS, 6, CHANNELS, 5, 5 + step) + 1).requires_grad_()
        slope = drawn(*h.shape)
        out = outputs(net, flat, buffers, h, Tap(training=True), together=together)
        gradients = torch.autograd.grad((out * slope).sum(), (flat, h))
        for m in range(MEMBERS):
            x = h[m].detach().requires_grad_()
            expected = twins[m](x)
            wanted = torch.autograd.grad((expected * slope[m]).sum(), (twins[m].weight, twins[m].bias, x))
            torch.testing.assert_close(out[m], expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(gradients[0][m], torch.cat(wanted[:2]), rtol=1e-11, atol=1e-11)
            torch.testing.assert_close(gradients[1][m], wanted[2], rtol=1e-11, atol=1e-11)
            stats: Any = torch.cat([twins[m].running_mean, twins[m].running_var])  # type: ignore[list-item]
            torch.testing.assert_close(buffers[m], stats, rtol=1e-14, atol=1e-14)

    before, h = buffers.clone(), drawn(MEMBERS, 6, CHANNELS, 2, 2)
    out = outputs(net, flat.detach(), buffers, h, Tap(training=False), together=together)
    assert torch.equal(buffers, before), "evaluation moves nothing"
    for m in range(MEMBERS):
        torch.testing.assert_close(out[m], twins[m].eval()(h[m]), rtol=1e-12, atol=1e-12)


def test_members_that_share_their_inputs_move_their_own_statistics() -> None:
    net, flat, buffers = population()
    h = drawn(6, CHANNELS, 5, 5)
    out = torch.vmap(lambda p, b: net(p, b, h, Tap(training=True)))(
        net.layout.unflatten(flat), stats := net.buffer_layout.unflatten(buffers)
    )
    assert out.shape == (MEMBERS, *h.shape)
    mean, var = h.mean((0, 2, 3)), h.var((0, 2, 3))
    fresh = population()[2]
    torch.testing.assert_close(stats["running_mean"], 0.9 * fresh[:, :CHANNELS] + 0.1 * mean)
    torch.testing.assert_close(stats["running_var"], 0.9 * fresh[:, CHANNELS:] + 0.1 * var)


def test_group_norm_is_torchs() -> None:
    made = norm("group", 12)
    assert isinstance(made, GroupNorm) and made.groups == 4, "the largest common divisor with 32"
    reference = nn.GroupNorm(4, 12).double()
    with torch.no_grad():
        for own in (made, reference):
            own.weight.copy_(drawn(12))
            own.bias.copy_(drawn(12).square())
    made, h = made.double(), drawn(3, 12, 5, 2)
    torch.testing.assert_close(made(h, Tap(training=True)), reference(h))
    assert isinstance(norm("none", 3), NoNorm) and norm("none", 3)(h, Tap()) is h


def test_fresh_norms_and_buffers() -> None:
    net = Network(lambda: BatchNorm(3), initializer("lecun"))
    flat, buffers = net.init(random.key(0, "init"), torch.float32)
    assert net.layout.unflatten(flat)["weight"].tolist() == [1, 1, 1] and flat[3:].tolist() == [0, 0, 0]
    stats = net.buffer_layout.unflatten(buffers)
    assert stats["running_mean"].tolist() == [0, 0, 0] and stats["running_var"].tolist() == [1, 1, 1]
