"""Attention pair by pair against torch's own, forward and gradient, alone and in a population."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap
from epochal.models.attention import causal_attention
from epochal.models.initialization import initializer
from epochal.models.tokens.transformer import Transformer

HEADS, WIDTH, BATCH = 2, 6, 4
SHAPES = [(1, 1), (2, 2), (1, 3), (2, 3), (3, 3), (5, 5)]


def drawn(queries: int, positions: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    def part(name: str, length: int) -> Tensor:
        return 2 * random.normal(random.key(seed, name), (BATCH, length, WIDTH), torch.float64)

    return part("q", queries), part("k", positions), part("v", positions)


def torchs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (query, key, value))
    mask = torch.ones(k.shape[-2], k.shape[-2], dtype=torch.bool).tril()[-q.shape[-2] :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(-2)


@pytest.mark.parametrize(("queries", "positions"), SHAPES)
def test_it_is_torchs_with_its_gradient(queries: int, positions: int) -> None:
    inputs = [part.requires_grad_() for part in drawn(queries, positions)]
    ours, theirs = causal_attention(inputs[0], inputs[1], inputs[2], HEADS), torchs(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)
    pull = random.normal(random.key(1, "pull"), ours.shape, torch.float64)
    mine = torch.autograd.grad((ours * pull).sum(), inputs)
    other = torch.autograd.grad((theirs * pull).sum(), inputs)
    for own, expected in zip(mine, other, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-12)


def test_large_scores_do_not_overflow() -> None:
    q, k, v = drawn(3, 3)
    torch.testing.assert_close(causal_attention(1e4 * q, k, v, HEADS), torchs(1e4 * q, k, v))


@pytest.mark.parametrize("positions", [2, 3])
def test_members_under_vmap_are_members_alone(positions: int) -> None:
    drawings = (drawn(positions, positions, seed) for seed in range(3))
    packs = [torch.stack(parts) for parts in zip(*drawings, strict=True)]
    leaves = [part.requires_grad_() for part in packs]
    together = torch.vmap(lambda q, k, v: causal_attention(q, k, v, HEADS))(*leaves)
    gradients = torch.autograd.grad((together**2).sum(), leaves)
    for member in range(3):
        alone = [part[member].detach().requires_grad_() for part in packs]
        out = causal_attention(alone[0], alone[1], alone[2], HEADS)
        torch.testing.assert_close(together[member], out, rtol=1e-12, atol=1e-13)
        for own, whole in zip(torch.autograd.grad((out**2).sum(), alone), gradients, strict=True):
            torch.testing.assert_close(own, whole[member], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("readout", "length"), [("mean", 1), ("last", 1), ("last", 2)])
def test_a_network_trains_as_it_evaluates(readout: str, length: int) -> None:
    """The pass that trains goes pair by pair, every other one over whole activations."""
    net = Network(
        lambda: Transformer(
            vocabulary=7, sequence_length=4, num_classes=5, width=8, depth=2, heads=2, mlp_ratio=2.0,
            layer_norm="post", activation="relu", position="learned", readout=readout, answer_length=length,  # type: ignore[arg-type]
        ),
        initializer("torch"),
    )  # fmt: skip
    tokens = torch.tensor([[3, 1, 6, 2], [0, 5, 6, 6]])
    flat = net.init(random.key(0, "init"), torch.float64)[0].requires_grad_()
    gradients = []
    for tap in (Tap(training=True), Tap()):
        logits = net(net.layout.unflatten(flat), {}, tokens, tap)
        gradients.append(torch.autograd.grad(logits.square().sum(), flat)[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-12)
