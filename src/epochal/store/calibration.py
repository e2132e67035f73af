"""The calibration of a run's local learning coefficient: calibration.json in its directory."""

from collections.abc import Mapping
from typing import Any

from epochal.store.documents import read_json, write_json
from epochal.store.run import Run

NAME = "calibration.json"
OPTIONS = ("chains", "draws", "burn_in", "thinning", "step_size", "gamma", "n_beta", "batch_size", "sampler")
OF_SAMPLER = {"step_size", "batch_size"}


def write_calibration(run: Run, content: Mapping[str, Any]) -> None:
    """Replaces the one there is."""
    write_json(run.paths.run / NAME, content)


def calibrated(run: Run, given: Mapping[str, object]) -> dict[str, Any]:
    """Options of the probe ``llc`` that were calibrated and are not given; empty where nothing was found.

    Step size and batch size are those of the sampler they were calibrated for, and no other's.

    Raises:
        UserError: the file is damaged.
    """
    path = run.paths.run / NAME
    if not path.exists():
        return {}
    content = read_json(path)
    settings = content.get("settings", {})
    if content.get("failure"):
        return {}
    left_out = set(given)
    if given.get("sampler", settings.get("sampler")) != settings.get("sampler"):
        left_out |= OF_SAMPLER
    return {name: settings[name] for name in OPTIONS if name in settings and name not in left_out}
