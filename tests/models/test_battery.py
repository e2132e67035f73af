"""What every model must pass: members apart, honest taps, live gradients, counters, ordinary modules."""

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from epochal import models
from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap, recording
from epochal.models.images.convnet import ConvNet
from epochal.models.images.mlp import MLP
from epochal.models.images.resmlp import ResMLP
from epochal.models.initialization import initializer
from epochal.models.resnet import PreActivationResNet18, ResNet18
from epochal.models.tokens.lstm import LSTM
from epochal.models.tokens.mlp import model as token_model
from epochal.models.tokens.transformer import Transformer

BATCH, CLASSES = 3, 5
KEY = random.key(0, "dropout")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A small network of a kind; ``names`` are the first and last of its state, which stored runs rely on."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    names: tuple[str, str]
    num_parameters: int
    tokens: int = 0

    def inputs(self) -> Tensor:
        shape = (BATCH, *self.shape)
        if self.tokens:
            return (random.uniform(random.key(0, "in"), shape, torch.float64) * self.tokens).long()
        return random.normal(random.key(0, "in"), shape, torch.float64)


def transformer() -> nn.Module:
    return Transformer(
        vocabulary=7, sequence_length=3, num_classes=CLASSES, width=8, depth=2, heads=2, mlp_ratio=2.0,
        layer_norm="pre", activation="gelu", position="learned", readout="mean",
    )  # fmt: skip


def miml() -> nn.Module:
    return Transformer(
        vocabulary=7, sequence_length=3, num_classes=CLASSES, width=8, depth=2, heads=2, mlp_ratio=2.0,
        layer_norm="post", activation="relu", position="sinusoidal", readout="mean", mlp_bias=False,
        dropout=0.2, dropout_at="mlp",
    )  # fmt: skip


def token_mlp(**options: Any) -> nn.Module:
    shape: dict[str, Any] = {"vocabulary": 7, "sequence_length": 3, "num_classes": CLASSES, "width": 6}
    return token_model(**shape, **options)


EXAMPLES = {
    "mlp": Example(
        build=lambda: MLP(num_inputs=12, num_classes=CLASSES, depth=2, width=6, dropout=0.2),
        shape=(3, 2, 2),
        names=("layer.0.weight", "readout.bias"),
        num_parameters=155,
    ),
    "resmlp": Example(
        build=lambda: ResMLP(num_inputs=12, num_classes=CLASSES, depth=2, width=6, w2_std=0.3),
        shape=(3, 2, 2),
        names=("embed.weight", "readout.bias"),
        num_parameters=317,
    ),
    "resmlp without residuals": Example(
        build=lambda: ResMLP(
            num_inputs=12, num_classes=CLASSES, depth=2, width=6, w2_std=0.3, residual=False
        ),
        shape=(3, 2, 2),
        names=("embed.weight", "readout.bias"),
        num_parameters=317,
    ),
    "convnet": Example(
        build=lambda: ConvNet(image_shape=(3, 6, 5), num_classes=CLASSES, depth=2, width=4),
        shape=(3, 6, 5),
        names=("stage.0.weight", "readout.bias"),
        num_parameters=453,
    ),
    "lstm": Example(
        build=lambda: LSTM(vocabulary=7, num_classes=CLASSES, width=8, depth=2, dropout=0.2),
        shape=(3,),
        names=("embed.weight", "unembed.weight"),
        num_parameters=1248,
        tokens=7,
    ),
    "transformer": Example(
        build=transformer,
        shape=(3,),
        names=("embed.weight", "unembed.weight"),
        num_parameters=1272,
        tokens=7,
    ),
    "transformer of miml": Example(
        build=miml,
        shape=(3,),
        names=("embed.weight", "unembed.weight"),
        num_parameters=1184,
        tokens=7,
    ),
    "lstm on one-hot vectors": Example(
        build=lambda: LSTM(
            vocabulary=7, num_classes=CLASSES, width=8, depth=2, embedding="onehot", readout_bias=True
        ),
        shape=(3,),
        names=("layer.0.input.weight", "unembed.bias"),
        num_parameters=1165,
        tokens=7,
    ),
    "token mlp": Example(
        build=lambda: token_mlp(depth=2, dropout=0.2, readout_bias=True),
        shape=(3,),
        names=("layer.0.weight", "readout.bias"),
        num_parameters=209,
        tokens=7,
    ),
    "token mlp on embeddings": Example(
        build=lambda: token_mlp(depth=1, embedding="learned", activation="gelu"),
        shape=(3,),
        names=("embed.weight", "readout.weight"),
        num_parameters=186,
        tokens=7,
    ),
    "quadratic": Example(
        build=lambda: token_mlp(
            depth=2, activation="quadratic", mlp_bias=False, parametrization="mean_field"
        ),
        shape=(3,),
        names=("layer.0.weight", "readout.weight"),
        num_parameters=192,
        tokens=7,
    ),
    "resnet18": Example(
        build=lambda: ResNet18(num_classes=CLASSES, width=2, norm="group", stem="small"),
        shape=(3, 16, 16),
        names=("conv1.weight", "fc.bias"),
        num_parameters=11335,
    ),
    "resnet18 with batch norm": Example(
        build=lambda: ResNet18(num_classes=CLASSES, width=2, norm="batch", stem="small"),
        shape=(3, 16, 16),
        names=("conv1.weight", "fc.bias"),
        num_parameters=11335,
    ),
    "preact_resnet18": Example(
        build=lambda: PreActivationResNet18(num_classes=CLASSES, width=2, norm="group"),
        shape=(3, 16, 16),
        names=("conv1.weight", "linear.bias"),
        num_parameters=11247,
    ),
}
"""One per kind of model; a new one is added here and to no test."""
NAMES = list(EXAMPLES)


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


def network(example: Example) -> Network:
    return Network(example.build, initializer("torch"))


def drawn(net: Network, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Generic numbers: norms away from ones and zeros, running variances still positive."""
    flat, buffers = net.init(random.key(seed, "init"), torch.float64)
    shift = random.normal(random.key(seed, "perturb"), flat.shape, torch.float64)
    return flat + 0.1 * shift, buffers + 0.1 * random.uniform(
        random.key(seed, "b"), buffers.shape, torch.float64
    )


def logits(net: Network, flat: Tensor, buffers: Tensor, inputs: Tensor, tap: Tap | None = None) -> Tensor:
    values = net.buffer_layout.unflatten(buffers.clone())
    return net(net.layout.unflatten(flat), values, inputs, tap or Tap())


def test_every_model_is_in_the_battery() -> None:
    """A model is a module of ``epochal.models`` that takes ``num_classes``."""
    written = {
        kind.__name__
        for info in pkgutil.walk_packages(models.__path__, "epochal.models.")
        for kind in vars(import_module(info.name)).values()
        if isinstance(kind, type)
        and issubclass(kind, nn.Module)
        and kind.__module__.startswith("epochal.models.")
        and "num_classes" in inspect.signature(kind).parameters
    }
    with torch.device("meta"):
        shown = {type(example.build()).__name__ for example in EXAMPLES.values()}
    assert written == shown


@pytest.mark.parametrize("training", [False, True])
def test_members_under_vmap_are_members_alone(example: Example, training: bool) -> None:
    net, inputs = network(example), example.inputs()
    members = [drawn(net, seed) for seed in range(3)]
    keys = random.key(torch.arange(3), "dropout")

    def one(flat: Tensor, buffers: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        kept = {name: value.clone() for name, value in net.buffer_layout.unflatten(buffers).items()}
        out = net(net.layout.unflatten(flat), kept, inputs, Tap(training=training, key=key))
        return out, net.buffer_layout.flatten(kept)

    flats, buffers = (torch.stack(parts) for parts in zip(*members, strict=True))
    together, moved = torch.vmap(one)(flats, buffers, keys)
    for member, (flat, own) in enumerate(members):
        alone, alone_moved = one(flat, own, keys[member])
        torch.testing.assert_close(together[member], alone, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(moved[member], alone_moved, rtol=1e-10, atol=1e-10)


def test_a_recording_tap_sees_named_sites_and_changes_nothing(example: Example) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    plain = logits(net, flat, buffers, inputs)
    tap, seen = recording()
    assert torch.equal(logits(net, flat, buffers, inputs, tap), plain)
    assert len(seen) >= 2 and all(len(h) == BATCH for h in seen.values())
    # Every site is named in the docstrings of its file, with numbers as letters.
    module = inspect.getmodule(type(net.module))
    words = f"{module.__doc__ if module else ''} {type(net.module).__doc__}"
    for site in seen:
        assert site.split(".")[0].rstrip("0123456789") in words, site


def test_every_site_is_on_the_way_to_the_logits(example: Example) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    tap, seen = recording()
    plain = logits(net, flat, buffers, inputs, tap)
    for name in seen:

        def uneven(site: str, h: Tensor, name: str = name) -> Tensor:
            # Not one factor for all numbers: a norm would take that back.
            factors = torch.linspace(0.5, 1.5, h[0].numel(), dtype=h.dtype).reshape(h[0].shape)
            return h * factors if site == name else h

        edit = Tap(edit=uneven)
        assert not torch.allclose(logits(net, flat, buffers, inputs, edit), plain), name


@pytest.mark.parametrize("training", [False, True])
def test_gradient_flows_to_every_parameter(example: Example, training: bool) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    leaf = flat.clone().requires_grad_()
    weight = random.normal(random.key(1, "out"), (BATCH, CLASSES), torch.float64)
    out = logits(net, leaf, buffers, inputs, Tap(training=training, key=KEY))
    (gradient,) = torch.autograd.grad((out * weight).sum(), leaf)
    for name, part in net.layout.unflatten(gradient).items():
        assert part.isfinite().all() and (part != 0).any(), name


def test_the_gradient_is_that_of_finite_differences(example: Example) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    weight = random.normal(random.key(1, "out"), (BATCH, CLASSES), torch.float64)

    def value(at: Tensor) -> Tensor:
        return (logits(net, at, buffers, inputs) * weight).sum()

    leaf = flat.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    direction = random.normal(random.key(2, "direction"), flat.shape, torch.float64)
    h = 1e-6 / float(direction.norm())
    slope = (value(flat + h * direction) - value(flat - h * direction)) / (2 * h)
    torch.testing.assert_close(gradient @ direction, slope.detach(), rtol=1e-5, atol=1e-6)


def test_initial_numbers_are_a_function_of_the_key(example: Example) -> None:
    net = network(example)
    generator = torch.random.get_rng_state()
    first, second = (net.init(random.key(3, "init"), torch.float64) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(generator, torch.random.get_rng_state())
    other, _ = net.init(random.key(4, "init"), torch.float64)
    for name, part in net.layout.unflatten(other).items():
        own = net.layout.unflatten(first[0])[name]
        assert own.isfinite().all()
        is_norm = own.ndim == 1 and bool((own == own[0]).all())
        assert is_norm or (part != own).any(), name
    single, _ = net.init(random.key(3, "init"), torch.float32)
    torch.testing.assert_close(single.double(), first[0], rtol=1e-6, atol=1e-7)


def test_a_materialised_module_computes_the_same_and_is_a_copy(example: Example) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    module = net.materialise(flat, buffers)
    assert not module.training
    torch.testing.assert_close(module(inputs), logits(net, flat, buffers, inputs), rtol=1e-12, atol=1e-12)
    kept = flat.clone()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(flat, kept)
    assert all(parameter.is_meta for parameter in net.module.parameters()), "a call leaves nothing bound"


def test_evaluation_is_repeatable_and_moves_no_buffer(example: Example) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    values = net.buffer_layout.unflatten(buffers.clone())
    first, second = (net(net.layout.unflatten(flat), values, inputs, Tap()) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(values[name], own) for name, own in net.buffer_layout.unflatten(buffers).items())


def test_each_example_is_judged_alone_in_evaluation(example: Example) -> None:
    net, inputs = network(example), example.inputs()
    flat, buffers = drawn(net)
    whole = logits(net, flat, buffers, inputs)
    assert whole.shape == (BATCH, CLASSES)
    for i in range(BATCH):
        one = logits(net, flat, buffers, inputs[i : i + 1])
        torch.testing.assert_close(one[0], whole[i], rtol=1e-10, atol=1e-10)


def test_names_and_count_of_parameters_are_kept(example: Example) -> None:
    net = network(example)
    assert (net.layout.names[0], net.layout.names[-1]) == example.names
    assert net.layout.size == example.num_parameters
    assert set(net.materialise(*drawn(net)).state_dict()) == {*net.layout.names, *net.buffer_layout.names}
