"""ResNet18 in torchvision's shape."""

from epochal.models.resnet import ResNet18

model = ResNet18
