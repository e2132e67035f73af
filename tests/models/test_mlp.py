"""The MLP against torch's own layers, its sites, its dropout."""

import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap, recording
from epochal.models.images.mlp import MLP
from epochal.models.initialization import initializer

IMAGES = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(depth: int = 2, activation: str = "relu", bias: bool = True, dropout: float = 0.0) -> Network:
    return Network(
        lambda: MLP(
            num_inputs=12, num_classes=4, depth=depth, width=7, activation=activation, bias=bias,  # type: ignore[arg-type]
            dropout=dropout,
        ),
        initializer("torch"),
    )  # fmt: skip


def drawn(net: Network, seed: int = 0) -> Tensor:
    return net.init(random.key(seed, "init"), torch.float64)[0]


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize(("activation", "layer"), [("relu", nn.ReLU), ("gelu", nn.GELU), ("tanh", nn.Tanh)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_torchs_layers_compute(
    depth: int, activation: str, layer: type[nn.Module], bias: bool
) -> None:
    net = network(depth, activation, bias)
    flat = drawn(net)
    hidden: list[nn.Module] = []
    for place in range(depth):
        hidden += [nn.Linear(7 if place else 12, 7, bias=bias), layer()]
    reference = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(7 if depth else 12, 4, bias=bias)).double()
    values = list(net.layout.unflatten(flat).values())
    assert [tuple(p.shape) for p in reference.parameters()] == [tuple(v.shape) for v in values]
    with torch.no_grad():
        for parameter, value in zip(reference.parameters(), values, strict=True):
            parameter.copy_(value)
        expected = reference(IMAGES)
    torch.testing.assert_close(net(net.layout.unflatten(flat), {}, IMAGES), expected, rtol=1e-12, atol=1e-12)


def test_a_population_computes_what_its_members_compute() -> None:
    net = network(dropout=0.3)
    flats = torch.stack([drawn(net, seed) for seed in range(3)])
    keys = random.key(torch.arange(3), "dropout")

    def of_member(flat: Tensor, key: Tensor) -> Tensor:
        return net(net.layout.unflatten(flat), {}, IMAGES, Tap(training=True, key=key))

    together = torch.vmap(of_member)(flats, keys)
    apart = torch.stack([of_member(flats[member], keys[member]) for member in range(3)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)


def test_sites_are_seen_before_dropout_which_acts_in_training_only() -> None:
    net = network(dropout=0.5)
    params = net.layout.unflatten(drawn(net))
    tap, seen = recording(training=True, key=random.key(0, "dropout"))
    noisy = net(params, {}, IMAGES, tap)
    assert {site: tuple(h.shape) for site, h in seen.items()} == {"layer.0": (5, 7), "layer.1": (5, 7)}
    plain = net(params, {}, IMAGES)
    assert not torch.allclose(noisy, plain)
    torch.testing.assert_close(plain, network(dropout=0.0)(params, {}, IMAGES), rtol=0, atol=0)
    still, before = recording()
    net(params, {}, IMAGES, still)
    assert torch.equal(before["layer.0"], seen["layer.0"]), "the first site is before the first dropout"
    dropped = tap.dropout("layer.0", before["layer.0"], 0.5)
    first, readout = params["layer.1.weight"], params["readout.weight"]
    second = (dropped @ first.T + params["layer.1.bias"]).relu()
    assert torch.equal(second, seen["layer.1"]) or torch.allclose(second, seen["layer.1"], rtol=1e-12)
    expected = tap.dropout("layer.1", second, 0.5) @ readout.T + params["readout.bias"]
    torch.testing.assert_close(noisy, expected, rtol=1e-12, atol=1e-12)
