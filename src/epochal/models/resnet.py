"""ResNet18 in two shapes: torchvision's, and the pre-activation one of robustness studies.

Both take images ``[B, channels, H, W]`` and give logits. Sites: ``stem`` (after the first convolution and
what belongs to it), ``layerN.I`` (after block I of stage N, N 1 to 4, I 0 or 1), ``pool [B, D]`` (mean over
places). Units before ReLU: ``layerN.I.first`` and ``layerN.I.second``, in torchvision's shape also ``stem``.
``width`` is the number of channels of the first stage; the others have twice, four and eight times as many.

Source: He et al. 2016, "Deep residual learning for image recognition", table 1 and section 3.3 (option B),
and "Identity mappings in deep residual networks", figure 1b.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models import norms
from epochal.models.dense import dense
from epochal.models.norms import Norm

Stem = Literal["large", "small"]
relu = nn.functional.relu


class ResNet18(nn.Module):
    """Names and shapes of torchvision's ``resnet18`` (``width=64``, ``norm="batch"``, ``stem="large"``).

    ``stem="large"`` is a 7 x 7 convolution of stride 2 and max-pooling, for images of 224; ``"small"`` a
    3 x 3 convolution of stride 1 and no pooling, for images of 28 to 64 pixels.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        stem: Stem = "large",
    ) -> None:
        super().__init__()
        self.is_large = stem == "large"
        kernel, stride, padding = (7, 2, 3) if self.is_large else (3, 1, 1)
        self.conv1 = nn.Conv2d(in_channels, width, kernel, stride, padding, bias=False)
        self.bn1 = norms.norm(norm, width)
        self.layer1 = _stage(Block, width, width, 1, norm)
        self.layer2 = _stage(Block, width, 2 * width, 2, norm)
        self.layer3 = _stage(Block, 2 * width, 4 * width, 2, norm)
        self.layer4 = _stage(Block, 4 * width, 8 * width, 2, norm)
        self.fc = nn.Linear(8 * width, num_classes)

    def forward(self, images: Float[Tensor, "B channels H W"], tap: Tap = SILENT) -> Float[Tensor, "B C"]:
        h = relu(tap.before("stem", self.bn1(tap.enter(self.conv1, images), tap)))
        if self.is_large:
            h = nn.functional.max_pool2d(h, 3, 2, 1)
        return dense(self.fc, _stages(self, tap("stem", h), tap))


class PreActivationResNet18(nn.Module):
    """Norm and ReLU before each convolution, none after the last; 3 x 3 stem of stride 1.

    With ``width=16``, ``norm="none"`` and CIFAR-10's shapes it is the network of Humayun et al. 2024 ("Deep
    networks always grok and here is why"), 699,066 parameters.
    """

    def __init__(
        self, *, num_classes: int, in_channels: int = 3, width: int = 64, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.layer1 = _stage(PreActivationBlock, width, width, 1, norm)
        self.layer2 = _stage(PreActivationBlock, width, 2 * width, 2, norm)
        self.layer3 = _stage(PreActivationBlock, 2 * width, 4 * width, 2, norm)
        self.layer4 = _stage(PreActivationBlock, 4 * width, 8 * width, 2, norm)
        self.linear = nn.Linear(8 * width, num_classes)

    def forward(self, images: Float[Tensor, "B channels H W"], tap: Tap = SILENT) -> Float[Tensor, "B C"]:
        return dense(self.linear, _stages(self, tap("stem", tap.enter(self.conv1, images)), tap))


class Block(nn.Module):
    """``relu(shortcut(h) + bn2(conv2(relu(bn1(conv1(h))))))``."""

    def __init__(self, channels: int, out_channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = norms.norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = norms.norm(norm, out_channels)
        self.downsample = (
            nn.ModuleList(
                [nn.Conv2d(channels, out_channels, 1, stride, bias=False), norms.norm(norm, out_channels)]
            )
            if stride != 1 or channels != out_channels
            else None
        )

    def forward(self, h: Float[Tensor, "B _ _ _"], tap: Tap, site: str) -> Float[Tensor, "B _ _ _"]:
        out = relu(tap.before(f"{site}.first", self.bn1(self.conv1(h), tap)))
        out = self.bn2(self.conv2(out), tap)
        if self.downsample is not None:
            convolution, normalise = self.downsample
            h = normalise(convolution(h), tap)
        return relu(tap.before(f"{site}.second", h + out))


class PreActivationBlock(nn.Module):
    """``shortcut + conv2(relu(bn2(conv1(a))))``, ``a = relu(bn1(h))``; a convolving shortcut takes ``a``."""

    def __init__(self, channels: int, out_channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.bn1 = norms.norm(norm, channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = norms.norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.shortcut = (
            nn.ModuleList([nn.Conv2d(channels, out_channels, 1, stride, bias=False)])
            if stride != 1 or channels != out_channels
            else None
        )

    def forward(self, h: Float[Tensor, "B _ _ _"], tap: Tap, site: str) -> Float[Tensor, "B _ _ _"]:
        a = relu(tap.before(f"{site}.first", self.bn1(h, tap)))
        shortcut = h if self.shortcut is None else self.shortcut[0](a)
        out: Tensor = self.conv2(relu(tap.before(f"{site}.second", self.bn2(self.conv1(a), tap))))
        return shortcut + out


def to_torchvision(state: dict[str, Tensor], *, num_batches: int = 0) -> dict[str, Tensor]:
    """A state dict of ours with the counters that torchvision's batch norms expect after each variance."""
    exported: dict[str, Tensor] = {}
    for name, value in state.items():
        exported[name] = value
        if name.endswith("running_var"):
            exported[name.replace("running_var", "num_batches_tracked")] = torch.tensor(num_batches)
    return exported


def from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of torchvision's without the counters."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _stage(
    block: type[Block] | type[PreActivationBlock], channels: int, out_channels: int, stride: int, norm: Norm
) -> nn.ModuleList:
    first = block(channels, out_channels, stride, norm)
    return nn.ModuleList([first, block(out_channels, out_channels, 1, norm)])


def _stages(net: ResNet18 | PreActivationResNet18, h: Tensor, tap: Tap) -> Float[Tensor, "B D"]:
    for number, stage in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), start=1):
        for place, block in enumerate(stage):
            site = f"layer{number}.{place}"
            h = tap(site, block(h, tap, site))
    pooled: Tensor = tap("pool", h.mean((-2, -1)))
    return pooled
