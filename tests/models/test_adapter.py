"""Any ``nn.Module`` through the adapter: the numbers of plain torch, its sites, its noise, its start."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import SILENT, Tap, recording
from epochal.core.values.errors import UserError
from epochal.models.adapter import network_of, own_generator

KEY = random.key(7, "init")
F64 = torch.float64


class Convolutional(nn.Module):
    """Batch norm, an activation in place, whole numbers and a mask among its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)
        self.register_buffer("mask", torch.tensor([True, False, True, True]))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.mask, Tensor)
        h = self.act(self.bn(self.conv(x)))
        return self.fc(h.mean((2, 3)) * self.mask)  # type: ignore[no-any-return]


class Dropping(nn.Module):
    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.drop = layer or nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.drop(self.fc(x)))  # type: ignore[no-any-return]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.unembed = nn.Linear(4, 5, bias=False)
        self.unembed.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.unembed(torch.tanh(self.embed(tokens)).mean(1))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.fc = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


def inputs(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def started(
    network: Network, key: Tensor = KEY, scale: float = 1.0
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    flat, buffers = network.init(key, F64, scale)
    return network.layout.unflatten(flat), network.buffer_layout.unflatten(buffers)


CASES = {
    "convolutional": (Convolutional, inputs(6, 1, 5, 5)),
    "dropping": (Dropping, inputs(6, 6)),
    "tied": (Tied, torch.arange(10).reshape(5, 2) % 5),
    "recurrent": (Recurrent, inputs(4, 7, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_the_module_itself(name: str) -> None:
    kind, x = CASES[name]
    network = network_of(kind, "torch")
    flat, buffers = network.init(KEY, F64)
    with own_generator(int(KEY) & (2**63 - 1)):
        own = kind().to(F64).eval()
    materialised = network.materialise(flat, buffers)
    assert type(materialised) is kind
    for module in (own, materialised):
        torch.testing.assert_close(
            network(*started(network), x), module(x), rtol=1e-12, atol=1e-13, msg=f"{module}"
        )


@pytest.mark.parametrize("members", [1, 2])
def test_training_moves_parameters_and_running_statistics_as_torch_does(members: int) -> None:
    """Five updates of gradient descent, alone and under vmap, against an ordinary loop."""
    network = network_of(Convolutional, "torch")
    keys = [random.key(seed, "init") for seed in range(members)]
    flat = torch.stack([network.init(key, F64)[0] for key in keys])
    buffers = torch.stack([network.init(key, F64)[1] for key in keys])
    plain = [network.materialise(f, b).train() for f, b in zip(flat, buffers, strict=True)]

    def loss(flat: Tensor, buffers: Tensor, x: Tensor) -> Tensor:
        params, kept = network.layout.unflatten(flat), network.buffer_layout.unflatten(buffers)
        return network(params, kept, x, Tap(training=True)).square().mean()

    for step in range(5):
        x = inputs(6, 1, 5, 5, seed=step)
        leaf = flat.detach().requires_grad_()
        losses = (
            torch.vmap(loss, in_dims=(0, 0, None))(leaf, buffers, x)
            if members > 1
            else loss(leaf[0], buffers[0], x)
        )
        flat = leaf.detach() - 0.1 * torch.autograd.grad(losses.sum(), leaf)[0]
        for module in plain:
            module.zero_grad()
            module(x).square().mean().backward()
            with torch.no_grad():
                for parameter in module.parameters():
                    assert parameter.grad is not None
                    parameter.sub_(0.1 * parameter.grad)
    for member, module in enumerate(plain):
        torch.testing.assert_close(
            network.layout.unflatten(flat[member]), dict(module.named_parameters()), rtol=1e-10, atol=1e-12
        )
        for name in ("bn.running_mean", "bn.running_var"):
            mine = network.buffer_layout.unflatten(buffers[member])[name]
            torch.testing.assert_close(mine, module.get_buffer(name), rtol=1e-12, atol=1e-13)


def test_whole_numbers_stay_what_they_are() -> None:
    network = network_of(Convolutional, "torch")
    assert set(network.buffer_layout.names) == {"bn.running_mean", "bn.running_var"}
    network(*started(network), inputs(6, 1, 5, 5), Tap(training=True))
    module = network.materialise(*network.init(KEY, torch.float32))
    assert module.get_buffer("mask").tolist() == [True, False, True, True]
    assert module.get_buffer("bn.num_batches_tracked").item() == 0


def test_a_tied_tensor_is_one_parameter_with_the_gradient_of_both_uses() -> None:
    network = network_of(Tied, "torch")
    assert network.layout.names == ("embed.weight",)
    flat, buffers = network.init(KEY, F64)
    leaf = flat.requires_grad_()
    tokens = CASES["tied"][1]
    logits = network(network.layout.unflatten(leaf), {}, tokens)
    (gradient,) = torch.autograd.grad(logits.square().sum(), leaf)
    module: Any = network.materialise(flat, buffers)
    assert module.unembed.weight is module.embed.weight
    module(tokens).square().sum().backward()
    torch.testing.assert_close(gradient.reshape(5, 4), module.embed.weight.grad, rtol=1e-12, atol=1e-13)


def test_dropout_goes_through_the_tap_and_never_moves_the_global_generator() -> None:
    network, x = network_of(Dropping, "torch"), inputs(200, 6)
    before = torch.random.get_rng_state()
    taps = [Tap(training=True, key=random.key(0, "dropout", step)) for step in (0, 0, 1)]
    first, again, other = (network(*started(network), x, tap) for tap in taps)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
    # One layer is passed twice, with masks of its own each time: a quarter is left, four times as large.
    kept = first != 0
    assert abs(kept.double().mean() - 0.25) < 5 * (0.25 * 0.75 / kept.numel()) ** 0.5
    whole = network(*started(network), x)
    torch.testing.assert_close(first[kept], 4 * whole[kept])


def test_channel_dropout_drops_whole_channels() -> None:
    class Channels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.drop = nn.Dropout2d(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.scale * x)  # type: ignore[no-any-return]

    network = network_of(Channels, "torch")
    tap = Tap(training=True, key=random.key(0, "dropout"))
    h = network(*started(network), torch.ones(50, 4, 3, 3, dtype=F64), tap)
    per_channel = h.flatten(2)
    assert ((per_channel == 0).all(-1) | (per_channel == 2).all(-1)).all()
    assert 60 < int((per_channel[..., 0] == 0).sum()) < 140


def test_sites_are_sub_modules_and_an_edit_reaches_the_logits() -> None:
    network, x = network_of(Convolutional, "torch"), inputs(6, 1, 5, 5)
    tap, seen = recording()
    logits = network(*started(network), x, tap)
    assert list(seen) == ["conv", "bn", "act", "fc"]
    assert torch.equal(seen["fc"], logits) and torch.equal(seen["act"], seen["bn"].relu())
    assert (seen["bn"] < 0).any(), "what was recorded is not changed by an activation in place"
    cut = network(*started(network), x, Tap(edit=lambda site, h: torch.zeros_like(h) if site == "act" else h))
    bias = started(network)[0]["fc.bias"]
    torch.testing.assert_close(cut, bias.expand(6, 3))
    _, twice = recording()
    tap, twice = recording()
    dropping = network_of(Dropping, "torch")
    dropping(*started(dropping), inputs(6, 6), tap)
    assert list(twice) == ["fc", "drop", "drop#2"]


def test_its_own_initialisation_is_a_function_of_the_key_and_leaves_the_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    network = network_of(Convolutional, "torch")
    first, again = network.init(KEY, F64)[0], network.init(KEY, F64)[0]
    other = network.init(random.key(8, "init"), F64)[0]
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first.float(), network.init(KEY, torch.float32)[0])


def test_another_scheme_redraws_what_it_knows() -> None:
    network = network_of(Convolutional, "lecun", zero_readout=True)
    params, _ = started(network, scale=2.0)
    assert (params["conv.bias"] == 0).all() and (params["fc.weight"] == 0).all()
    assert (params["bn.weight"] == 1).all(), "one dimension: neither redrawn nor scaled"
    own = network_of(Convolutional, "torch")
    scaled = started(own, scale=2.0)[0]["conv.weight"]
    torch.testing.assert_close(scaled, 2 * started(own)[0]["conv.weight"])


def test_a_buffer_that_is_assigned_anew_is_kept_in_training_only() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.mean: Tensor
            self.register_buffer("mean", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.mean = 0.5 * self.mean + 0.5 * x.mean()
            return self.scale * x + self.mean

    network = network_of(Counting, "torch")
    params, buffers = started(network)
    for _ in range(2):
        network(params, buffers, torch.ones(3, 1, dtype=F64), Tap(training=True))
    assert buffers["mean"].item() == 0.75
    network(params, buffers, torch.ones(3, 1, dtype=F64), SILENT)
    assert buffers["mean"].item() == 0.75


def test_a_frozen_parameter_is_not_trained_and_comes_back() -> None:
    class Frozen(Dropping):
        def __init__(self) -> None:
            super().__init__()
            self.fc.weight.requires_grad_(False)

    network = network_of(Frozen, "torch")
    assert network.layout.names == ("fc.bias",) and network.buffer_layout.names == ("fc.weight",)
    module: Any = network.materialise(*network.init(KEY, F64))
    assert isinstance(module.fc.weight, nn.Parameter) and not module.fc.weight.requires_grad


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (nn.AlphaDropout(0.5), "AlphaDropout drop is not supported"),
        (nn.LazyLinear(3), "LazyLinear drop has no shape before its first input"),
        (nn.BatchNorm1d(6, momentum=None), "BatchNorm1d drop has momentum=None"),
        (nn.InstanceNorm1d(6, track_running_stats=True), "has running statistics"),
    ],
)
def test_what_cannot_be_served_is_refused(layer: nn.Module, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        network_of(lambda: Dropping(layer), "torch")
