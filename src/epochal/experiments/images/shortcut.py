"""From a spec's fields to images with a shortcut."""

from epochal.experiments.images import cue_rules
from epochal.experiments.images.spec import ImagesSpec
from epochal.tasks.images import Images
from epochal.tasks.shortcuts.cue import Cue
from epochal.tasks.shortcuts.cued_images import CuedImages
from epochal.tasks.shortcuts.environments import Environments


def with_shortcut(spec: ImagesSpec, images: Images) -> Images | CuedImages:
    """The images with what the spec asks for; as they are where that is nothing.

    Raises:
        UserError: the cue does not fit on the images.
    """
    if not spec.has_shortcut:
        return images
    environments = Environments(kind=spec.environments, count=cue_rules.num_environments(spec))
    return CuedImages(images=images, cue=_cue(spec, images), environments=environments)


def _cue(spec: ImagesSpec, images: Images) -> Cue | None:
    if spec.cue == "none":
        return None
    return Cue(
        kind=spec.cue,
        num_codes=images.num_classes,
        image_shape=images.image_shape,
        dtype=images.dtype,
        device=images.device,
        size=spec.patch_size,
        place=spec.patch_place,
        colors=spec.cue_colors,
        strength=spec.cue_strength,
    )
