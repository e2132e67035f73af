"""Which fields of a shortcut go together, in one line each."""

from typing import TYPE_CHECKING

from epochal.core.values.probe_list import name_of
from epochal.tasks.shortcuts.colors import check_colors

if TYPE_CHECKING:
    from epochal.experiments.images.spec import ImagesSpec

OF_CUE = ("rho", "patch_size", "patch_place", "cue_colors", "cue_strength")
"""Fields that say how a cue is: without one they are at their defaults."""


def check(spec: "ImagesSpec") -> None:
    """Whether cue, environments and objective fit together.

    Raises:
        ValueError: in one line, what does not and the remedy.
    """
    check_colors(spec.cue_colors)
    if spec.cue == "none":
        _check_without_cue(spec)
    if spec.environments == "patch_flip" and spec.num_environments > 3:  # 3 is the default of all kinds
        raise ValueError(
            f"num_environments={spec.num_environments} with environments=patch_flip, which has two: leave "
            "num_environments out"
        )
    if spec.environments == "rho" and not spec.rho_spread <= spec.rho <= 1 - spec.rho_spread:
        raise ValueError(
            f"environments=rho reach from {spec.rho - spec.rho_spread:g} to {spec.rho + spec.rho_spread:g}, "
            f"beyond 0 to 1: lower rho_spread={spec.rho_spread:g}, or move rho={spec.rho:g}"
        )


def needs_environments(spec: "ImagesSpec") -> bool:
    """Whether the objective or a probe asks which environment an example is of."""
    return spec.compared() == "environment" or any(
        name_of(entry).partition("@")[0] == "irm" for entry in spec.probes
    )


def num_environments(spec: "ImagesSpec") -> int:
    """As many as there are: a flip has two."""
    return 2 if spec.environments == "patch_flip" else spec.num_environments


def _check_without_cue(spec: "ImagesSpec") -> None:
    for name in OF_CUE:
        value = getattr(spec, name)
        if value != type(spec).model_fields[name].default:
            raise ValueError(f"{name}={_shown(value)} needs a cue: give cue=patch, tint or texture")
    if spec.environments in ("patch_flip", "rho"):
        raise ValueError(
            f"environments={spec.environments} differ in the cue: give cue=patch, tint or texture, or "
            "environments=brightness"
        )
    if spec.compared() == "group":
        raise ValueError(
            f"objective={spec.objective} compares groups of label and cue: give cue=patch, tint or texture"
        )


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
