"""Calibrates the local learning coefficient of a run on one member at one snapshot."""

import math
from collections.abc import Mapping
from typing import Any

from epochal.analysis.chains.learning_coefficient import HIGHEST_STEP_BIAS
from epochal.core.values.errors import UserError
from epochal.core.values.options import parse_options
from epochal.launch.member_view import view_of
from epochal.probes.learning_coefficient.along import loss_of
from epochal.probes.learning_coefficient.calibration import Calibration, calibrate
from epochal.probes.learning_coefficient.effort import Progress, silent
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.llc import CoefficientOptions
from epochal.store.calibration import OPTIONS, write_calibration
from epochal.store.run import Run

CALIBRATION_FORMAT = 1
DRAWS = 500
"""Of a chain, and steps of burn-in, where none are given: more than the probe's own first look."""


def calibrate_run(
    run: Run,
    options: Mapping[str, object],
    *,
    member: int | None = None,
    step: int | None = None,
    tolerance: float = HIGHEST_STEP_BIAS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Chooses what ``options`` leave open, and keeps it in the run as ``calibration.json``.

    ``tolerance`` is how much of the estimate the length of its steps may add. Where no settings were found
    ``failure`` says so, and nothing uses them.

    Raises:
        UserError: no such member or snapshot, an option that does not fit, or a loss without a minimum there.
    """
    given = parse_options(CoefficientOptions, {"draws": DRAWS} | dict(options), "llc")
    assert isinstance(given, CoefficientOptions)
    if given.restrict or given.blocks:
        raise UserError(
            "restrict and blocks are not calibrated: give them to the probe, as in epochal probe RUN llc "
            "restrict=..."
        )
    view, member, step = view_of(run, member, step, purpose="calibration")
    settings = given.model_dump(exclude={"restrict", "blocks", "traces"})
    final = Settings(**settings, seed=int(view.fields["seed"]))
    found = calibrate(loss_of(view), view.flat, final, tolerance=tolerance, progress=progress)
    content = _document(found, member, step) | {"given": sorted(options)}
    write_calibration(run, content)
    return content


def _document(found: Calibration, member: int, step: int) -> dict[str, Any]:
    chosen = {name: getattr(found.settings, name) for name in OPTIONS}
    bias = found.estimate.step_bias
    return {
        "format": CALIBRATION_FORMAT,
        "member": member,
        "step": step,
        "settings": chosen,
        "estimate": {
            "llc": found.estimate.value if found.estimate.equilibrated else None,
            "chains_say": repr(found.estimate),
            "equilibrated": found.estimate.equilibrated,
            "step_bias": bias if bias is not None and math.isfinite(bias) else None,
        },
        "failure": found.failure,
        "tolerance": found.tolerance,
        "curvature": found.curvature,
        "acceptance": found.acceptance,
        "map": found.map,
        "reasons": found.reasons,
    }
