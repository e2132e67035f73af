"""Does credit through random feedback come to follow the gradient? One number per seed, not per sample."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from epochal.analysis.nulls import across_seeds
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.core.values.study import Arm, Study
from epochal.core.values.study_runs import MemberRun, StudyRuns

COLUMN = "credit_alignment"


def analyse(runs: StudyRuns) -> list[Finding]:
    """Mean cosine over the sites after blocks at the last record, by all sign flips over seeds.

    Feedback is symmetric about 0, so the cosine of a network that has not adapted to its own is too, whatever
    its spread: the flips are exact. That a single network is beyond its own null is told by `epochal null`.
    """
    found = []
    for role in runs.arms:
        arm = runs[role]
        finding = across_seeds(
            [deep(run, -1) for run in arm.runs],
            arm.seeds,
            least=runs.margin("alignment"),
            alpha=runs.alpha,
            name=f"credit under {role} at deep sites",
        )
        before = [deep(run, 0) for run in arm.runs]
        note = (
            f"before training {np.mean(before):+.4f}, at random from {min(before):+.4f} to {max(before):+.4f}"
        )
        found.append(runs.cited(replace(finding, note=note), role))
    return found


def deep(run: MemberRun, record: int) -> float:
    """Mean over all sites but the embedding, at a record (-1: the last)."""
    names = [name for name in run.curves if name.startswith(f"{COLUMN}.") and name != f"{COLUMN}.0"]
    if not names:
        raise UserError(f"{COLUMN} at several sites was not recorded: the study needs probes={COLUMN}")
    return float(np.mean([run.curves[name].values[record] for name in names]))


RECIPE: Mapping[str, object] = {"seed": "200:210", "probes": f"loss,accuracy,{COLUMN}"}
QUICK: Mapping[str, object] = {
    "data": "digits", "crop_padding": 0, "flip": False, "width": 64, "batch_size": 32, "epochs": 10,
    "seed": "60:68",
}  # fmt: skip

feedback_null = Study(
    question="Does the credit of direct feedback, and of feedback alignment, come to follow the gradient?",
    prediction="Across seeds the mean cosine of credit and gradient at deep sites is above 0 at the end of "
    "training.",
    refutation="The 95% interval of the mean cosine ends below 0.02.",
    arms={
        rule: Arm(experiment="images", preset="credit", settings={**RECIPE, "rule": rule}, quick=QUICK)
        for rule in ("dfa", "fa")
    },
    detectors={},
    margins={"alignment": 0.02},
    analyse=analyse,
)
