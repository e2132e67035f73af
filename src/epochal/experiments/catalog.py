"""Experiments, found in this folder by name. Torch is imported only when one is built."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import epochal.experiments
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.preset import Preset
from epochal.core.values.request import Request, inherited, resolve
from epochal.core.values.settings import undotted
from epochal.core.values.source import hashed
from epochal.core.values.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A spec class with its presets; ``build`` turns the members of one pack into a program."""

    name: str
    summary: str
    spec_class: type[Spec]
    presets: Mapping[str, Preset]
    prepare: Callable[[Mapping[str, object], Mapping[str, str]], dict[str, object]] | None
    """Further settings that only the data know, from those that are given and the files of own code."""

    def request(
        self,
        settings: Mapping[str, object],
        preset: str | None = None,
        *,
        derived: Mapping[str, object] | None = None,
    ) -> Request:
        """The population that the settings stand for; ``derived`` ones follow from them and go unnamed.

        Raises:
            UserError: all that is wrong with them.
        """
        settings, code = hashed(undotted(self.spec_class, settings))
        presets = {name: value.settings for name, value in self.presets.items()}
        derived = {**(derived or {}), **{f"code.{digest}": path for digest, path in code.items()}}
        if self.prepare is not None:
            from_preset = inherited(presets[preset], settings) if preset in presets else {}
            derived |= self.prepare({**from_preset, **derived, **settings}, code)
        made = resolve(self.name, self.spec_class, settings, preset=preset, presets=presets, derived=derived)
        if not made.spec.probe_options:
            return made
        from epochal.experiments.probes import canonical_options  # torch, which probes are written in

        return made.with_options(canonical_options(made.spec))

    def build(self, members: tuple[Any, ...]) -> Any:
        """The :class:`epochal.engine.program.Program` of one pack (this imports torch)."""
        return import_module(f"epochal.experiments.{self.name}.build").build(members)


def names() -> list[str]:
    """The experiments there are."""
    return sorted(
        module.name for module in pkgutil.iter_modules(epochal.experiments.__path__) if module.ispkg
    )


def preset_names() -> list[str]:
    """The presets of all experiments."""
    return [preset for experiment in map(find, names()) for preset in experiment.presets]


def named(name: str, preset: str | None = None) -> tuple[Experiment, str | None]:
    """An experiment by its name, or one and its preset by the preset's: ``credit`` is that of ``images``.

    Raises:
        UserError: there is neither; the name is a preset's and another preset is given.
    """
    if name in names() or name == "imported":
        return find(name), preset
    owners = [experiment for experiment in map(find, names()) if name in experiment.presets]
    if not owners:
        raise UserError(f"unknown experiment {name}{did_you_mean(name, [*names(), *preset_names()])}")
    if len(owners) > 1:
        both = " and ".join(owner.name for owner in owners)
        raise UserError(f"{name} is a preset of {both}; write {owners[0].name} preset={name}")
    if preset not in (None, name):
        raise UserError(
            f"{name} stands for {owners[0].name} preset={name}; for preset={preset} write {owners[0].name} "
            f"preset={preset}"
        )
    return owners[0], name


def find(name: str) -> Experiment:
    """The experiment of this name.

    Raises:
        UserError: there is none; the nearest names are offered.
    """
    if name == "imported":
        raise UserError(
            "this run was imported: it holds records and no networks, so it cannot be trained or measured"
        )
    if name not in names():
        raise UserError(f"unknown experiment {name}{did_you_mean(name, names())}")
    package = import_module(f"epochal.experiments.{name}")
    spec = import_module(f"epochal.experiments.{name}.spec")
    presets = import_module(f"epochal.experiments.{name}.presets")
    summary = (package.__doc__ or "").strip().splitlines()[0]
    has_prepare = "prepare" in {module.name for module in pkgutil.iter_modules(package.__path__)}
    prepare = import_module(f"epochal.experiments.{name}.prepare").prepare if has_prepare else None
    return Experiment(
        name=name, summary=summary, spec_class=spec.EXPERIMENT_SPEC, presets=presets.PRESETS, prepare=prepare
    )
