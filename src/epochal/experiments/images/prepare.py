"""What a request for images needs to know of the images before its members can be described."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from epochal.core.values.batches import BatchSize, LastBatch, examples_per_update, updates_per_epoch
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.settings import is_none
from epochal.core.values.source import as_typed, is_own, parts_of
from epochal.experiments.images.spec import ImagesSpec
from epochal.tasks.datasets import catalog
from epochal.tasks.datasets.idx import load_idx
from epochal.tasks.datasets.image_set import ImageSet
from epochal.tasks.datasets.npz import load_npz

BY_PATH = {"npz": load_npz, "idx": load_idx}
"""Formats that are read from wherever ``data.path`` says."""


def prepare(settings: Mapping[str, object], code: Mapping[str, str]) -> dict[str, object]:
    """What the images say: their checksum, and the number of steps where epochs are given.

    ``code`` says where the files of own code lie.

    Raises:
        UserError: the set is unknown, missing or damaged; or epochs do not give one number of steps.
    """
    name = str(settings.get("data", ImagesSpec.model_fields["data"].default))
    path = settings.get("data_path")
    if "," in name:
        raise UserError(f"data={as_typed(name, code)} names several sets; start one run for each")
    images = image_set(name, None if is_none(path) else str(path), file_of(name, code))
    derived: dict[str, object] = {"data_checksum": images.checksum}
    if not is_none(settings.get("epochs")):
        derived["max_steps"] = _steps(settings, images)
    return derived


@lru_cache(maxsize=4)
def image_set(name: str, path: str | None, file: str | None = None) -> ImageSet:
    """The set of this name, from ``path`` or from the folder of data sets; own code is that in ``file``.

    Raises:
        UserError: there is none, it is not there, or it is damaged.
    """
    if is_own(name):
        from epochal.experiments.images.own_data import load_own  # torch, which own code is loaded with

        return load_own(name, path, file)
    if name in BY_PATH:
        if path is None:
            raise UserError(f"data={name} needs data.path=FILE")
        return BY_PATH[name](Path(path))
    known = [found.name for found in catalog.listing()]
    if name not in known:
        raise UserError(f"data={name} is unknown{did_you_mean(name, [*known, *BY_PATH])}")
    if path is not None and Path(path).is_file():
        raise UserError(f"data.path={path} is a file; data={name} takes the folder, data=npz a file")
    return catalog.load(name, path)


def file_of(name: str, code: Mapping[str, str]) -> str | None:
    """Where the own code of ``data=NAME#HASH`` lies; None for every other set."""
    return code.get(parts_of(name)[1]) if is_own(name) else None


def trainable(images: ImageSet, held_out_fraction: float) -> int:
    """Training images that are left where a part has to be held out for validation."""
    total = images.size("train")
    has_other = {"val", "test"} & set(images.splits)
    return total if has_other else total - max(1, round(held_out_fraction * total))


def _steps(settings: Mapping[str, object], images: ImageSet) -> int:
    if "max_steps" in settings:
        raise UserError(
            f"epochs={settings['epochs']} and max_steps={settings['max_steps']}: give one of them"
        )
    try:
        epochs = int(str(settings["epochs"]))
        batch = _batch_size(settings.get("batch_size", "full"))
        fraction = float(
            str(settings.get("held_out_fraction", ImagesSpec.model_fields["held_out_fraction"].default))
        )
        given = settings.get("n_train")
        size = trainable(images, fraction) if is_none(given) else int(str(given))
        last_batch: LastBatch = "keep" if settings.get("last_batch") == "keep" else "drop"
    except ValueError as error:
        raise UserError(
            f"epochs={settings['epochs']} needs one value of epochs, batch_size, n_train; or give max_steps"
        ) from error
    examples = examples_per_update(batch, size)
    return epochs * updates_per_epoch(examples, size, last_batch)


def _batch_size(given: object) -> BatchSize:
    """One batch size from a setting; ``ValueError`` for anything else."""
    if given == "full":
        return "full"
    number = float(str(given))
    if not 0 < number < 2**53:
        raise ValueError(f"batch_size={given} is no number of examples")
    return int(number) if number.is_integer() and number >= 1 else number
