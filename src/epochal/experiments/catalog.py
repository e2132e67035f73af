"""Experiments, found in this folder by name. Torch is imported only when one is built."""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import epochal.experiments
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.preset import Preset
from epochal.core.values.request import Request, resolve
from epochal.core.values.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A spec class with its presets; ``build`` turns the members of one pack into a program."""

    name: str
    summary: str
    spec_class: type[Spec]
    presets: Mapping[str, Preset]

    def request(self, settings: Mapping[str, object], preset: str | None = None) -> Request:
        """The population that the settings stand for.

        Raises:
            UserError: all that is wrong with them.
        """
        values = {name: dict(value.settings) for name, value in self.presets.items()}
        return resolve(self.name, self.spec_class, settings, preset=preset, presets=values)

    def build(self, members: tuple[Any, ...]) -> Any:
        """The :class:`epochal.engine.program.Program` of one pack (this imports torch)."""
        return import_module(f"epochal.experiments.{self.name}.build").build(members)


def names() -> list[str]:
    """The experiments there are."""
    return sorted(
        module.name for module in pkgutil.iter_modules(epochal.experiments.__path__) if module.ispkg
    )


def find(name: str) -> Experiment:
    """The experiment of this name.

    Raises:
        UserError: there is none; the nearest names are offered.
    """
    if name not in names():
        raise UserError(f"unknown experiment {name}{did_you_mean(name, names())}")
    package = import_module(f"epochal.experiments.{name}")
    spec = import_module(f"epochal.experiments.{name}.spec")
    presets = import_module(f"epochal.experiments.{name}.presets")
    summary = (package.__doc__ or "").strip().splitlines()[0]
    return Experiment(name=name, summary=summary, spec_class=spec.EXPERIMENT_SPEC, presets=presets.PRESETS)
