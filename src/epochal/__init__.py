"""epochal: a laboratory for training dynamics.

``epochal.run(...)`` trains a population, ``epochal.load(path)`` opens a stored run and
``epochal.load_many(pattern)`` reads many as one table; ``epochal.probe`` declares a measure of your own.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochal import samplers as samplers
    from epochal.api import extend as extend
    from epochal.api import load as load
    from epochal.api import load_many as load_many
    from epochal.api import run as run
    from epochal.api import study as study
    from epochal.core.tensors.probe import probe as probe
    from epochal.core.tensors.view import GivenView as GivenView
    from epochal.core.tensors.view import View as View
    from epochal.core.values.errors import UserError as UserError
    from epochal.core.values.finding import Finding as Finding
    from epochal.core.values.options import NoOptions as NoOptions
    from epochal.core.values.options import Options as Options
    from epochal.core.values.result_table import ResultTable as ResultTable
    from epochal.core.values.study import Arm as Arm
    from epochal.core.values.study import DeclaredLooks as DeclaredLooks
    from epochal.core.values.study import Detector as Detector
    from epochal.core.values.study import Study as Study
    from epochal.core.values.study_runs import StudyRuns as StudyRuns
    from epochal.probes.learning_coefficient.influence import influences as influences
    from epochal.probes.learning_coefficient.influence import susceptibilities as susceptibilities
    from epochal.probes.learning_coefficient.module import llc as llc
    from epochal.store.run import Run as Run

# Read by OpenMP when torch is first imported. By default a thread that waits for another spins for about a
# millisecond; when another process wants a core, a small network's step then takes five times longer.
# Falling asleep after some 20 microseconds costs a tenth on an idle machine (docs/architecture.md).
os.environ.setdefault("GOMP_SPINCOUNT", "4000")

__version__ = "0.1.0"
__all__ = [
    "Arm",
    "DeclaredLooks",
    "Detector",
    "Finding",
    "GivenView",
    "NoOptions",
    "Options",
    "ResultTable",
    "Run",
    "Study",
    "StudyRuns",
    "UserError",
    "View",
    "extend",
    "influences",
    "llc",
    "load",
    "load_many",
    "probe",
    "run",
    "samplers",
    "study",
    "susceptibilities",
]

_PLACES = {
    "run": "epochal.api",
    "extend": "epochal.api",
    "study": "epochal.api",
    "load": "epochal.api",
    "load_many": "epochal.api",
    "Run": "epochal.store.run",
    "probe": "epochal.core.tensors.probe",
    "View": "epochal.core.tensors.view",
    "GivenView": "epochal.core.tensors.view",
    "Options": "epochal.core.values.options",
    "NoOptions": "epochal.core.values.options",
    "UserError": "epochal.core.values.errors",
    "Finding": "epochal.core.values.finding",
    "ResultTable": "epochal.core.values.result_table",
    "Arm": "epochal.core.values.study",
    "DeclaredLooks": "epochal.core.values.study",
    "Detector": "epochal.core.values.study",
    "Study": "epochal.core.values.study",
    "StudyRuns": "epochal.core.values.study_runs",
    "influences": "epochal.probes.learning_coefficient.influence",
    "susceptibilities": "epochal.probes.learning_coefficient.influence",
    "llc": "epochal.probes.learning_coefficient.module",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `epochal --help` is there in a blink, torch takes seconds.
    from importlib import import_module

    if name == "samplers":
        return import_module("epochal.samplers")
    if name not in _PLACES:
        raise AttributeError(f"module 'epochal' has no attribute {name!r}")

    return getattr(import_module(_PLACES[name]), name)
