"""One file per measure; a probe is found in this folder by its name. Folders hold what several share."""

import pkgutil
from importlib import import_module

from epochal.core.tensors.probe import Probe
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean


def names() -> list[str]:
    """The probes there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def find(name: str) -> Probe:
    """The probe of this name.

    Raises:
        UserError: there is none; the nearest names are offered.
    """
    if name not in names():
        raise UserError(f"unknown probe {name}{did_you_mean(name, names())}")
    found = getattr(import_module(f"{__name__}.{name}"), name)
    assert isinstance(found, Probe), f"{name}.py does not declare a probe of its name"
    return found
