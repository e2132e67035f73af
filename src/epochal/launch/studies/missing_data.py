"""Arms whose images may not be on this disk: each takes the first set that is there, or is left out."""

from collections.abc import Mapping
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.core.values.settings import is_none
from epochal.core.values.study import Arm
from epochal.tasks.datasets import catalog
from epochal.tasks.datasets.root import data_root

Settings = Mapping[str, dict[str, object]]
"""Of every arm, by role."""


def with_data(
    arms: Mapping[str, Arm], settings: Settings, declared: Settings
) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    """The settings of the arms that have their data, and of the others, by role, what is missing.

    An arm without ``data`` has what its settings say. So has one whose field ``data`` is not as declared:
    whoever overrides it wants that set, and is told where it is not there. ``data.path=FOLDER`` says where
    to look.

    Raises:
        UserError: an arm names a set that there is none of.
    """
    there: dict[str, dict[str, object]] = {}
    missing: dict[str, str] = {}
    for role, arm in arms.items():
        given = settings[role]
        if not arm.data or given.get("data") != declared[role].get("data"):
            there[role] = given
            continue
        path = given.get("data_path")
        root = None if is_none(path) else str(path)
        try:
            places = [found for name in arm.data if (found := _found(name, root))]
        except UserError as error:
            raise UserError(f"arm {role}: {error}") from error
        if places:
            there[role] = {**given, **places[0]}
        else:
            missing[role] = _remedy(arm.data[0], root)
    return there, missing


def lines_of(missing: Mapping[str, str]) -> tuple[str, ...]:
    """One line for all arms that lack the same set: ``xrays, xrays_slow: pneumoniamnist is not in ...``."""
    roles: dict[str, list[str]] = {}
    for role, said in missing.items():
        roles.setdefault(said, []).append(role)
    return tuple(f"{', '.join(names)}: {said}" for said, names in roles.items())


def _found(name: str, root: str | None) -> dict[str, object] | None:
    if not _is_file(name):
        return {"data": name} if catalog.is_there(name, root) else None
    path = data_root(root) / name
    return {"data": "npz", "data_path": str(path)} if path.is_file() else None


def _remedy(name: str, root: str | None) -> str:
    if _is_file(name):
        return f"{name} is not in {data_root(root)}; put it there, or give data.path=FOLDER"
    place = "" if root is None else f" --root {root}"
    return f"{name} is not in {data_root(root)}; `epochal data get {name}{place}` fetches it"


def _is_file(name: str) -> bool:
    return Path(name).suffix == ".npz"
