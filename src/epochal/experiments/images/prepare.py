"""What a request for images needs to know of the images before its members can be described."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from epochal.core.values.batches import updates_per_epoch
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.settings import is_none, values_of
from epochal.core.values.source import as_typed, is_own, parts_of
from epochal.core.values.spec_errors import describe
from epochal.experiments.images.spec import ImagesSpec
from epochal.tasks.datasets import catalog
from epochal.tasks.datasets.idx import load_idx
from epochal.tasks.datasets.image_set import ImageSet
from epochal.tasks.datasets.normalization import Normalization, statistics
from epochal.tasks.datasets.npz import load_npz

BY_PATH = {"npz": load_npz, "idx": load_idx}
"""Formats that are read from wherever ``data.path`` says."""


def prepare(settings: Mapping[str, object], code: Mapping[str, str]) -> dict[str, object]:
    """What the images say: their checksum; the number of steps, and of annealing, where epochs are given.

    ``code`` says where the files of own code lie.

    Raises:
        UserError: the set is unknown, missing or damaged; or epochs do not give one number of steps.
    """
    name = str(settings.get("data", ImagesSpec.model_fields["data"].default))
    path = settings.get("data_path")
    if "," in name:
        raise UserError(f"data={as_typed(name, code)} names several sets; start one run for each")
    images = image_set(name, None if is_none(path) else str(path), file_of(name, code))
    derived: dict[str, object] = {"data_checksum": images.checksum, **_channels(settings, images)}
    spec = None
    if not is_none(settings.get("epochs")):
        spec, derived["max_steps"] = _steps(settings, images)
    return derived | _annealing(settings, spec, derived.get("max_steps"))


def _channels(settings: Mapping[str, object], images: ImageSet) -> dict[str, object]:
    """What normalization subtracts and divides by, for the run to say; nothing where there are several."""
    asked = values_of(ImagesSpec, "normalization", settings.get("normalization", "standard"))
    known = {"none": "raw"} | {kind: kind for kind in get_args(Normalization)}
    if len(asked) != 1 or asked[0] not in known:
        return {}
    mean, std = statistics(images, known[str(asked[0])])
    return {"channel_mean": mean, "channel_std": std}


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
            raise UserError(f"data={name} needs data.path={'FOLDER' if name == 'idx' else 'FILE'}")
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


def _steps(settings: Mapping[str, object], images: ImageSet) -> tuple[ImagesSpec, int]:
    """The fields that decide how many steps the epochs have, and that number."""
    if "max_steps" in settings:
        raise UserError(
            f"epochs={settings['epochs']} and max_steps={settings['max_steps']}: give one of them"
        )
    spec = _one_value_each(settings)
    assert spec.epochs is not None
    size = trainable(images, spec.held_out_fraction) if spec.n_train is None else spec.n_train
    examples = spec.examples_per_update(size)
    return spec, spec.epochs * updates_per_epoch(examples, size, spec.last_batch)


def _annealing(
    settings: Mapping[str, object], spec: ImagesSpec | None, max_steps: object
) -> dict[str, object]:
    """``anneal_steps`` and ``anneal_every`` of one rate per epoch, where that is asked for."""
    name = "anneal_per_epoch"
    asked = values_of(ImagesSpec, name, settings.get(name, False))
    if asked in ([False], []):
        return {}
    if len(asked) > 1:
        raise UserError(f"{name}={settings[name]} has several values; start one run for each")
    if given := [field for field in ("anneal_steps", "anneal_every") if field in settings]:
        raise UserError(f"{given[0]}={settings[given[0]]} and {name}=true: give one of them, or {name}=false")
    if spec is None or spec.epochs is None:
        raise UserError(f"{name}=true needs epochs=...: they are what it anneals over; or give {name}=false")
    assert isinstance(max_steps, int)
    return {"anneal_steps": max_steps, "anneal_every": max_steps // spec.epochs}


def _one_value_each(settings: Mapping[str, object]) -> ImagesSpec:
    """A spec of the fields that decide how many steps an epoch has.

    Raises:
        UserError: one of them has several values, or a wrong one.
    """
    given: dict[str, object] = {}
    for name in ("epochs", "batch_size", "last_batch", "n_train", "held_out_fraction"):
        paired = [text for key, text in settings.items() if key.startswith("zip") and f"{name}=" in str(text)]
        values = values_of(ImagesSpec, name, settings[name]) if name in settings else []
        if paired or len(values) > 1:
            raise UserError(
                f"epochs={settings['epochs']} with several values of {name} gives no one number of steps; "
                "give max_steps instead"
            )
        given |= {name: values[0]} if values else {}
    try:
        return ImagesSpec.model_validate(given)
    except ValidationError as error:
        raise UserError("\n".join(describe(error, ImagesSpec))) from error
