"""The transformer against an independent reference, and the tap."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap, recording
from epochal.models.initialization import initializer
from epochal.models.tokens.transformer import Transformer, sinusoidal

CASES = list(itertools.product((1, 2), ("none", "pre", "post"), ("learned", "sinusoidal"), ("last", "mean")))
TOKENS = torch.tensor([[3, 1, 6], [0, 5, 6], [2, 2, 6], [4, 0, 1]])


def network(
    depth: int = 2, layer_norm: str = "pre", position: str = "learned", readout: str = "last"
) -> Network:
    return Network(
        lambda: Transformer(
            vocabulary=7, sequence_length=3, num_classes=6, width=8, depth=depth, heads=2, mlp_ratio=3.0,
            layer_norm=layer_norm, activation="gelu", position=position, readout=readout,  # type: ignore[arg-type]
        ),
        initializer("torch"),
    )  # fmt: skip


def parameters(net: Network, seed: int = 0) -> Tensor:
    """Generic parameters: norms away from ones and zeros, so that they show."""
    flat, _ = net.init(random.key(seed, "init"), torch.float64)
    return flat + 0.3 * random.normal(random.key(seed, "perturb"), flat.shape, torch.float64)


def reference(
    p: dict[str, Tensor], tokens: Tensor, depth: int, norm: str, position: str, readout: str
) -> Tensor:
    """The whole computation at every position with torch's own attention; only then the read-out."""

    def layer_norm(h: Tensor, name: str) -> Tensor:
        return nn.functional.layer_norm(h, h.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"])

    h = p["embed.weight"][tokens]
    h = h + (p["position.weight"] if position == "learned" else sinusoidal(3, 8, h.dtype, h.device))
    for layer in range(depth):
        name = f"block.{layer}"
        x = layer_norm(h, f"{name}.norm_attention") if norm == "pre" else h
        q, k, v = (
            (x @ p[f"{name}.{part}.weight"].T).reshape(*x.shape[:2], 2, 4).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + mixed.transpose(1, 2).reshape(x.shape) @ p[f"{name}.output.weight"].T
        h = layer_norm(h, f"{name}.norm_attention") if norm == "post" else h
        x = layer_norm(h, f"{name}.norm_mlp") if norm == "pre" else h
        x = nn.functional.gelu(x @ p[f"{name}.up.weight"].T + p[f"{name}.up.bias"])
        h = h + x @ p[f"{name}.down.weight"].T + p[f"{name}.down.bias"]
        h = layer_norm(h, f"{name}.norm_mlp") if norm == "post" else h
    h = h[:, -1] if readout == "last" else h.mean(1)
    h = layer_norm(h, "norm") if norm == "pre" else h
    return h @ p["unembed.weight"].T


@pytest.mark.parametrize(("depth", "norm", "position", "readout"), CASES)
def test_it_computes_what_the_reference_computes(depth: int, norm: str, position: str, readout: str) -> None:
    net = network(depth, norm, position, readout)
    flat = parameters(net)
    p = net.layout.unflatten(flat)
    expected = reference(p, TOKENS, depth, norm, position, readout)
    torch.testing.assert_close(net(p, {}, TOKENS), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("depth", "norm", "position", "readout"), CASES[::5])
def test_a_population_computes_what_its_members_compute(
    depth: int, norm: str, position: str, readout: str
) -> None:
    net = network(depth, norm, position, readout)
    flats = torch.stack([parameters(net, seed) for seed in range(3)])
    together = torch.vmap(lambda flat: net(net.layout.unflatten(flat), {}, TOKENS))(flats)
    apart = torch.stack([net(net.layout.unflatten(flat), {}, TOKENS) for flat in flats])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)


def test_sites_and_their_shapes() -> None:
    net = network(depth=2, readout="last")
    tap, seen = recording()
    net(net.layout.unflatten(parameters(net)), {}, TOKENS, tap)
    assert {site: tuple(h.shape) for site, h in seen.items()} == {
        "embed": (4, 3, 8),
        "block.0.attention": (4, 3, 3, 2),
        "block.0.mlp": (4, 3, 24),
        "block.0": (4, 3, 8),
        "block.1.attention": (4, 1, 3, 2),
        "block.1.mlp": (4, 1, 24),
        "block.1": (4, 1, 8),
        "readout": (4, 8),
    }
    for site in ("block.0.attention", "block.1.attention"):
        torch.testing.assert_close(seen[site].sum(2), torch.ones_like(seen[site].sum(2)))
    assert (seen["block.0.attention"][:, 0, 1:] == 0).all(), "the first position sees only itself"


def test_an_edit_at_a_site_reaches_the_logits_and_zeros_at_a_site_give_its_gradient() -> None:
    net = network(depth=2)
    p = net.layout.unflatten(parameters(net))
    silenced = net(p, {}, TOKENS, Tap(edit=lambda site, h: h * 0 if site == "readout" else h))
    assert (silenced == 0).all()
    zero = torch.zeros(4, 3, 8, dtype=torch.float64, requires_grad=True)
    net(p, {}, TOKENS, Tap(edit=lambda site, h: h + zero if site == "block.0" else h)).sum().backward()
    with torch.no_grad():
        nudge = 1e-6 * torch.ones_like(zero)
        moved = net(p, {}, TOKENS, Tap(edit=lambda site, h: h + nudge if site == "block.0" else h)).sum()
        slope = (moved - net(p, {}, TOKENS).sum()) / 1e-6
    assert zero.grad is not None
    torch.testing.assert_close(zero.grad.sum(), slope, rtol=1e-4, atol=1e-6)


def test_parameter_count_in_closed_form() -> None:
    d, v, c, s, r = 8, 7, 6, 3, 24
    per_block = 4 * d * d + 2 * d * r + r + d
    assert network(2, "none", "learned").layout.size == v * d + s * d + 2 * per_block + c * d
    assert network(2, "pre", "learned").layout.size == v * d + s * d + 2 * (per_block + 4 * d) + 2 * d + c * d


def test_materialised_modules_are_ordinary_and_compute_the_same() -> None:
    net = network()
    flat = parameters(net)
    module = net.materialise(flat, torch.zeros(0, dtype=torch.float64))
    assert not module.training
    assert {name: p.shape for name, p in module.named_parameters()} == {
        e.name: e.shape for e in net.layout.entries
    }
    torch.testing.assert_close(module(TOKENS), net(net.layout.unflatten(flat), {}, TOKENS))
    with torch.no_grad():
        module.get_parameter("embed.weight").zero_()
    assert (net.layout.unflatten(flat)["embed.weight"] != 0).any(), "a copy, not a view of the run"


@pytest.mark.parametrize("scheme", ["torch", "lecun"])
def test_initial_distributions(scheme: str) -> None:
    net = Network(
        lambda: Transformer(
            vocabulary=300, sequence_length=3, num_classes=300, width=128, depth=1, heads=2, mlp_ratio=4.0,
            layer_norm="post", activation="relu", position="learned", readout="last",
        ),
        initializer(scheme),
    )  # fmt: skip
    flat, _ = net.init(random.key(0, "init"), torch.float64)
    p = net.layout.unflatten(flat)
    expected = {"up": 1 / math.sqrt(128), "down": 1 / math.sqrt(512)}
    for name, scale in expected.items():
        weight, bias = p[f"block.0.{name}.weight"], p[f"block.0.{name}.bias"]
        if scheme == "torch":
            assert weight.abs().max() <= scale and bias.abs().max() <= scale
            assert abs(weight.std() / (scale / math.sqrt(3)) - 1) < 0.01
        else:
            assert abs(weight.std() / scale - 1) < 0.01 and (bias == 0).all()
    width = 1.0 if scheme == "torch" else 1 / math.sqrt(128)
    assert abs(p["embed.weight"].std() / width - 1) < 0.02
    assert (p["block.0.norm_mlp.weight"] == 1).all() and (p["block.0.norm_mlp.bias"] == 0).all()
    other, _ = net.init(random.key(1, "init"), torch.float64)
    assert (
        abs(
            torch.corrcoef(torch.stack([flat, other]))[0, 1] - torch.corrcoef(torch.stack([flat, flat]))[0, 1]
        )
        > 0.2
    )
