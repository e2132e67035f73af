"""From the members of one pack to a program."""

from collections.abc import Sequence

from torch import nn

from epochal.core.tensors.network import Network
from epochal.core.values.errors import UserError
from epochal.core.values.source import is_own
from epochal.engine.program import Program
from epochal.experiments.assemble import assemble
from epochal.experiments.fields import device_of, dtype_of
from epochal.experiments.images.prepare import file_of, image_set
from epochal.experiments.images.spec import ImagesSpec
from epochal.experiments.own_model import own_network
from epochal.models.initialization import initializer
from epochal.models.mlp import MLP
from epochal.models.resnet import PreActivationResNet18, ResNet18
from epochal.tasks.images import Images


def build(members: Sequence[ImagesSpec]) -> Program:
    """The program that trains these members together; they agree in their ``pack_key``.

    Raises:
        UserError: the image set is not what it was when the run was asked for, or a field does not fit it.
    """
    spec = members[0]
    device = device_of(spec)
    images = image_set(spec.data, spec.data_path, file_of(spec.data, spec.code))
    if spec.data_checksum not in ("", images.checksum):
        raise UserError(
            f"data={spec.data} has checksum {images.checksum}, the run was made with {spec.data_checksum}; "
            "give data.path of the same images"
        )
    task = Images(
        image_set=images,
        dtype=dtype_of(spec),
        device=device,
        n_train=spec.n_train,
        held_out_fraction=spec.held_out_fraction,
        normalization=spec.normalization,
        crop_padding=spec.crop_padding,
        flip=spec.flip,
        size_pixels=None if spec.image_size is None else (spec.image_size, spec.image_size),
        channels=3 if spec.channels == "rgb" else None,
    )
    return assemble(members, task, _network(spec, task))


def _network(spec: ImagesSpec, task: Images) -> Network:
    if is_own(spec.model):
        offered = {
            "num_inputs": task.num_inputs,
            "num_classes": task.num_classes,
            "image_shape": task.image_shape,
        }
        return own_network(spec, spec.model, offered, spec.initialization)
    initialise = initializer(spec.initialization, zero_readout=spec.zero_readout, init_scale=spec.init_scale)
    return Network(lambda: _model(spec, task), initialise)


def _model(spec: ImagesSpec, task: Images) -> nn.Module:
    channels, classes = task.image_shape[0], task.num_classes
    match spec.model:
        case "mlp":
            return MLP(
                num_inputs=task.num_inputs,
                num_classes=classes,
                depth=spec.depth,
                width=spec.width,
                activation=spec.activation,
                dropout_rate=spec.dropout,
            )
        case "resnet18":
            return ResNet18(
                num_classes=classes, in_channels=channels, width=spec.width, norm=spec.norm, stem=spec.stem
            )
        case "preact_resnet18":
            return PreActivationResNet18(
                num_classes=classes, in_channels=channels, width=spec.width, norm=spec.norm
            )
        case _:
            raise AssertionError(f"{spec.model} names no network of epochal's")
