"""From the members of one pack to a program."""

from collections.abc import Sequence

from epochal.core.values.errors import UserError
from epochal.engine.program import Program
from epochal.experiments.assemble import assemble
from epochal.experiments.fields import device_of, dtype_of
from epochal.experiments.images.prepare import file_of, image_set
from epochal.experiments.images.shortcut import with_shortcut
from epochal.experiments.images.spec import ImagesSpec
from epochal.experiments.networks import network_of
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
    offered = {
        "num_inputs": task.num_inputs,
        "num_classes": task.num_classes,
        "image_shape": task.image_shape,
        "in_channels": task.image_shape[0],
    }
    return assemble(members, with_shortcut(spec, task), network_of("images", spec.model, spec, offered))
