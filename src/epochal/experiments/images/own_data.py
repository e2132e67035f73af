"""``data=./FILE.py:NAME``: a function of a user's own that gives an image set, or arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from epochal.core.values.errors import UserError
from epochal.core.values.source import parts_of
from epochal.experiments.own_code import call, chosen_arguments, load
from epochal.tasks.datasets.image_set import SPLITS, Examples, ImageSet, examples, numbered

EXPECTED = (
    "an ImageSet; or train_images (uint8 [N, H, W] or [N, H, W, C]), train_labels and, where there are any, "
    "val_* and test_*, as a dict or in this order as a tuple"
)
NAMES = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))


def load_own(token: str, path: str | None, file: str | None) -> ImageSet:
    """Calls the function, with ``path`` (``data.path``) if it takes one, and checks what it gives.

    Raises:
        UserError: it fails, needs other arguments, or gives something else.
    """
    code = {parts_of(token)[1]: file} if file else {}
    function, name = load(token, code), parts_of(token)[0]
    where = f"{name} in {file}"
    if isinstance(function, ImageSet):
        return function
    if not callable(function):
        raise UserError(f"{where} is {type(function).__name__}; data takes a function that gives {EXPECTED}")
    offered: dict[str, object] = {} if path is None else {"path": path}
    try:
        arguments = chosen_arguments(token, code, function, offered)
    except UserError as error:
        hint = "; give data.path=..." if path is None else ""
        raise UserError(f"{where} needs an argument other than path{hint}") from error
    given = call(token, code, function, **arguments)
    return given if isinstance(given, ImageSet) else _from_arrays(given, name, where)


def _from_arrays(given: Any, name: str, where: str) -> ImageSet:
    if isinstance(given, tuple | list) and 2 <= len(given) <= len(NAMES) and len(given) % 2 == 0:
        # Two splits are training and test, as torchvision and Keras have them; three have val in between.
        order = NAMES if len(given) != 4 else (*NAMES[:2], *NAMES[4:])
        given = dict(zip(order, given, strict=False))
    if not isinstance(given, Mapping):
        raise UserError(f"{where} gives {type(given).__name__}; expected {EXPECTED}")
    if strangers := [key for key in given if key not in NAMES]:
        raise UserError(f"{where} gives {strangers[0]!r}; expected {EXPECTED}")
    splits: dict[str, Examples] = {}
    for split in SPLITS:
        images, labels = (given.get(f"{split}_{kind}") for kind in ("images", "labels"))
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            missing = f"{split}_{'images' if images is None else 'labels'}"
            raise UserError(f"{where} gives no {missing}; expected {EXPECTED}")
        splits[split] = examples(np.asarray(images), np.asarray(labels), where=f"{where}, {split}")
    if "train" not in splits:
        raise UserError(f"{where} gives no train_images; expected {EXPECTED}")
    return ImageSet(name=name, splits=splits, class_names=numbered(splits))
