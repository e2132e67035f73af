"""The calibration of a run's local learning coefficient: calibration.json in its directory."""

from collections.abc import Mapping
from typing import Any

from epochal.store.documents import read_json, write_json
from epochal.store.run import Run

NAME = "calibration.json"
OPTIONS = ("chains", "draws", "burn_in", "thinning", "step_size", "gamma", "n_beta", "batch_size", "sampler")


def write_calibration(run: Run, content: Mapping[str, Any]) -> None:
    """Replaces the one there is."""
    write_json(run.paths.run / NAME, content)


def calibrated(run: Run) -> dict[str, Any]:
    """Options of the probe ``llc`` that were calibrated; empty where nothing was.

    Raises:
        UserError: the file is damaged.
    """
    path = run.paths.run / NAME
    if not path.exists():
        return {}
    settings = read_json(path).get("settings", {})
    return {name: settings[name] for name in OPTIONS if name in settings}
