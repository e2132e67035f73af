"""Both ResNets against references in plain torch: logits, gradients, running statistics, names, counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap, recording
from epochal.models.initialization import initializer
from epochal.models.resnet import PreActivationResNet18, ResNet18, from_torchvision, to_torchvision


class ReferenceBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if stride == 2:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + identity)


class Reference(nn.Module):
    """ResNet18 as the paper's table 1 has it, with torchvision's names, from torch's own modules."""

    def __init__(self, num_classes: int, width: int = 64, small: bool = False) -> None:
        super().__init__()
        self.conv1 = (
            nn.Conv2d(3, width, 3, padding=1, bias=False)
            if small
            else nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for stage in range(1, 5):
            before, after = sizes[stage - 1], sizes[stage]
            blocks = ReferenceBlock(before, after, 1 if stage == 1 else 2), ReferenceBlock(after, after, 1)
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def population(net: Network, members: int) -> tuple[Tensor, Tensor]:
    """Generic parameters and statistics: norms away from ones and zeros, so that they show."""
    pairs = [net.init(random.key(seed, "init"), torch.float64) for seed in range(members)]
    flat = torch.stack([flat for flat, _ in pairs])
    buffers = torch.stack([buffers for _, buffers in pairs])
    return flat + 0.1 * drawn(*flat.shape), buffers + 0.2 * drawn(*buffers.shape, seed=1).abs()


def twin(build: Callable[[], nn.Module], net: Network, flat: Tensor, buffers: Tensor) -> nn.Module:
    made = build().double()
    state = net.layout.unflatten(flat.detach()) | net.buffer_layout.unflatten(buffers)
    made.load_state_dict(to_torchvision(in_order_of(net, state)))
    return made


def in_order_of(net: Network, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy, named and ordered as the network's own state dict."""
    return {name: state[name].clone() for name in net.module.state_dict()}


def statistics(module: nn.Module, net: Network) -> Tensor:
    return net.buffer_layout.flatten(dict(module.named_buffers()))


@pytest.mark.parametrize("together", [True, False], ids=["vmap", "alone"])
@pytest.mark.parametrize(("stem", "size"), [("small", 10), ("large", 40)])
def test_resnet18_computes_what_the_reference_computes(stem: str, size: int, together: bool) -> None:
    members = 2
    net = Network(
        lambda: ResNet18(num_classes=5, width=3, stem=stem),  # type: ignore[arg-type]
        initializer("torch"),
    )
    flat, buffers = population(net, members)
    twins = [twin(lambda: Reference(5, 3, stem == "small"), net, flat[m], buffers[m]) for m in range(members)]
    images, slopes = drawn(members, 4, 3, size, size, seed=2), drawn(members, 4, 5, seed=3)
    flat.requires_grad_()

    def logits(training: bool) -> Tensor:
        params, stats = net.layout.unflatten(flat), net.buffer_layout.unflatten(buffers)
        if together:
            return torch.vmap(lambda p, b, x: net(p, b, x, Tap(training=training)))(params, stats, images)
        own = net.layout.unflatten, net.buffer_layout.unflatten
        each = [
            net(own[0](flat[m]), own[1](buffers[m]), images[m], Tap(training=training))
            for m in range(members)
        ]
        return torch.stack(each)

    for training in (False, True, True, False):
        out = logits(training)
        (gradient,) = torch.autograd.grad((out * slopes).sum(), flat)
        for m, reference in enumerate(twins):
            expected = reference.train(training)(images[m])
            wanted = torch.autograd.grad((expected * slopes[m]).sum(), list(reference.parameters()))
            torch.testing.assert_close(out[m], expected, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(
                gradient[m], torch.cat([g.flatten() for g in wanted]), rtol=1e-8, atol=1e-8
            )
            torch.testing.assert_close(buffers[m], statistics(reference, net), rtol=1e-12, atol=1e-12)


def test_names_shapes_and_counts_are_torchvisions() -> None:
    net = Network(lambda: ResNet18(num_classes=1000), initializer("torch"))
    assert net.layout.size == 11_689_512 and net.buffer_layout.size == 9_600
    with torch.device("meta"):
        reference = Reference(1000)
    ours = {name: tuple(value.shape) for name, value in to_torchvision(net.module.state_dict()).items()}
    assert list(ours.items()) == [(n, tuple(v.shape)) for n, v in reference.state_dict().items()]
    assert len(ours) == 122 and ours["layer4.0.downsample.0.weight"] == (512, 256, 1, 1)
    small = Network(lambda: ResNet18(num_classes=10, stem="small"), initializer("torch"))
    assert small.layout.size == 11_173_962, "the usual count for CIFAR-10"


def test_state_dicts_go_to_torchvision_and_back() -> None:
    net = Network(lambda: ResNet18(num_classes=5, width=3), initializer("torch"))
    flat, buffers = population(net, 1)
    state = net.materialise(flat[0], buffers[0]).state_dict()
    exported = to_torchvision(state, num_batches=7)
    reference = Reference(5, 3).double()
    reference.load_state_dict(exported)
    assert int(reference.bn1.num_batches_tracked) == 7  # type: ignore[arg-type]
    back = from_torchvision(reference.state_dict())
    assert list(back) == list(state) and all(torch.equal(back[name], state[name]) for name in state)


def test_real_torchvision_agrees() -> None:
    models: Any = pytest.importorskip(
        "torchvision.models", reason="install the extra `vision` to compare with torchvision itself"
    )
    net = Network(lambda: ResNet18(num_classes=1000), initializer("torch"))
    flat, buffers = net.init(random.key(0, "init"), torch.float32)
    module = net.materialise(flat, buffers)
    reference = models.resnet18(num_classes=1000)
    reference.load_state_dict(to_torchvision(module.state_dict()))
    images = drawn(2, 3, 64, 64).float()
    torch.testing.assert_close(module(images), reference.eval()(images), rtol=1e-4, atol=1e-5)


def reference_pre_activation(p: dict[str, Tensor], images: Tensor) -> Tensor:
    """The published network without batch norm, written out; average pooling over 4 x 4 at the end."""
    x = F.conv2d(images, p["conv1.weight"], padding=1)
    for stage in range(1, 5):
        for place in range(2):
            name, stride = f"layer{stage}.{place}", 2 if stage > 1 and place == 0 else 1
            a = F.relu(x)
            shortcut = F.conv2d(a, p[f"{name}.shortcut.0.weight"], stride=stride) if stride == 2 else x
            y = F.conv2d(a, p[f"{name}.conv1.weight"], stride=stride, padding=1)
            x = shortcut + F.conv2d(F.relu(y), p[f"{name}.conv2.weight"], padding=1)
    return F.avg_pool2d(x, 4).flatten(1) @ p["linear.weight"].T + p["linear.bias"]


def test_the_pre_activation_network_is_the_published_one() -> None:
    net = Network(lambda: PreActivationResNet18(num_classes=10, width=16, norm="none"), initializer("torch"))
    assert net.layout.size == 699_066 and net.buffer_layout.size == 0
    flat = population(net, 1)[0][0].requires_grad_()
    images, slope = drawn(2, 3, 32, 32), drawn(2, 10, seed=1)
    params = net.layout.unflatten(flat)
    ours, expected = net(params, {}, images), reference_pre_activation(params, images)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    wanted, gradient = (
        torch.autograd.grad((out * slope).sum(), flat, retain_graph=True)[0] for out in (expected, ours)
    )
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("network", [ResNet18, PreActivationResNet18])
def test_a_population_computes_what_its_members_compute(network: Any, norm: str) -> None:
    options = {"stem": "small"} if network is ResNet18 else {}
    net = Network(
        lambda: network(num_classes=3, in_channels=1, width=4, norm=norm, **options), initializer("lecun")
    )
    flat, buffers = population(net, 3)
    images, stats = drawn(5, 1, 9, 9), buffers.clone()
    together = torch.vmap(lambda p, b: net(p, b, images, Tap(training=True)))(
        net.layout.unflatten(flat), net.buffer_layout.unflatten(stats)
    )
    for m in range(3):
        params, own = net.layout.unflatten(flat[m]), net.buffer_layout.unflatten(buffers[m])
        alone = net(params, own, images, Tap(training=True))
        torch.testing.assert_close(together[m], alone, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(stats[m], buffers[m], rtol=1e-12, atol=1e-12)
    assert (net.buffer_layout.size > 0) == (norm == "batch")


def test_sites_and_their_shapes() -> None:
    for network, stem in ((ResNet18, (2, 4, 8, 8)), (PreActivationResNet18, (2, 4, 32, 32))):
        net = Network(lambda network=network: network(num_classes=3, width=4), initializer("torch"))  # type: ignore[misc]
        flat, buffers = net.init(random.key(0, "init"), torch.float32)
        tap, seen = recording()
        net(net.layout.unflatten(flat), net.buffer_layout.unflatten(buffers), torch.zeros(2, 3, 32, 32), tap)
        blocks = [f"layer{stage}.{place}" for stage in range(1, 5) for place in range(2)]
        assert list(seen) == ["stem", *blocks, "pool"]
        assert seen["stem"].shape == stem and seen["pool"].shape == (2, 32)
        side = stem[-1]
        assert seen["layer1.1"].shape == (2, 4, side, side)
        assert seen["layer4.0"].shape == (2, 32, side // 8, side // 8)
