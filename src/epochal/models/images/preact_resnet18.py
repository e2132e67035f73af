"""ResNet18 with normalisation and non-linearity before each convolution."""

from epochal.models.resnet import PreActivationResNet18

model = PreActivationResNet18
