"""Delayed robustness: does robust accuracy rise long after clean accuracy, with local complexity and the LLC?

The full form trains the ResNet18 of the published experiment on CIFAR-10, 20 networks of 500,000 updates,
for a GPU. ``--quick`` asks the same of an MLP on digits, with and without attacks in training, of a narrow
ResNet18 on digits, with and without batch norm, and of a small transformer on modular addition, where the
late rise is that of validation accuracy. What runs cannot show is said: undecided, with how many networks
show it.
"""

from collections.abc import Iterator

from epochal.analysis import adjust
from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.study import Study
from epochal.core.values.study_runs import StudyRuns
from epochal.studies.robust_grokking.arms import ARMS
from epochal.studies.robust_grokking.coefficient import around_transition, with_curvature
from epochal.studies.robust_grokking.figures import courses_figure
from epochal.studies.robust_grokking.phases import three_phases, together, under_batch_norm
from epochal.studies.robust_grokking.robustness import against_training, delayed


def analyse(runs: StudyRuns) -> Iterator[Finding | FigureSpec]:
    """Holm over the findings of a question about an arm, and over those that compare arms."""
    for role in runs.arms:
        for family in (
            delayed(runs, role),
            [*three_phases(runs, role), *together(runs, role)],
            [*around_transition(runs, role), *with_curvature(runs, role)],
        ):
            yield from adjust(family, alpha=runs.alpha)
    yield from adjust([*against_training(runs), *under_batch_norm(runs)], alpha=runs.alpha)
    yield courses_figure(runs)


robust_grokking = Study(
    question="Does robust accuracy rise long after clean accuracy saturates, together with a second descent "
    "of local complexity, and what does the local learning coefficient do meanwhile?",
    prediction="After saturation robust accuracy rises by more than 0.1, half of it at least 3 times later, "
    "less so where training is against the attack; local complexity falls, rises and falls again, the last "
    "within a factor of two of the rise, less so with batch norm; the LLC is highest during the rise, rises "
    "until saturation and falls through the rise, and goes with the Hessian's trace and largest eigenvalue.",
    refutation="An interval that excludes the claim: a rise below 0.1, a delay below 3, a smallest phase "
    "below 1.5-fold, a lag beyond a factor of two, an LLC that is lower, a rank correlation below 0.5.",
    arms=ARMS,
    detectors={},
    margins={"saturation": 0.95, "rise": 0.1, "delay": 3.0, "phase": 1.5, "decades": 0.3, "rank": 0.5},
    family="adjusted",
    analyse=analyse,
)
