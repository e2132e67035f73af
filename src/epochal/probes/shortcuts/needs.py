"""What probes of images and of cues need from a task, refused in one line where it is not there."""

from collections.abc import Callable
from typing import Any

from epochal.core.values.errors import UserError

Needs = Callable[[object, Any], None]


def images(probe: str) -> Needs:
    """Inputs ``[B, channels, H, W]``; a view of given answers has no task, and what it was given."""

    def check(options: object, task: Any) -> None:
        if task is not None and not hasattr(task, "image_shape"):
            raise UserError(
                f"probe {probe} looks at images, and this task has none: use the experiment images"
            )

    return check


def a_cue(probe: str) -> Needs:
    """Images that carry a cue whose code can be changed."""

    def check(options: object, task: Any) -> None:
        if not has_cue(task):
            raise UserError(
                f"probe {probe} needs images with a cue, and this task has none: give cue=patch, tint or "
                "texture (experiment images)"
            )

    return check


def has_cue(task: Any) -> bool:
    return hasattr(task, "restamped") and getattr(task, "cue_kind", "none") != "none"
