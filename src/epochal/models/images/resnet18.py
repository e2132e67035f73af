"""ResNet18: torchvision's shape, or with norm and non-linearity before each convolution."""

from epochal.models.norms import Norm
from epochal.models.resnet import PreActivationResNet18, ResNet18, Stem


def model(
    *,
    num_classes: int,
    in_channels: int = 3,
    width: int = 64,
    norm: Norm = "batch",
    stem: Stem = "large",
    preactivation: bool = False,
) -> ResNet18 | PreActivationResNet18:
    """With ``preactivation`` it is ``preact_resnet18``, whose stem is small."""
    if preactivation:
        return PreActivationResNet18(num_classes=num_classes, in_channels=in_channels, width=width, norm=norm)
    return ResNet18(num_classes=num_classes, in_channels=in_channels, width=width, norm=norm, stem=stem)
