"""CausalGrok's claim with intervals: the penalty drops when validation jumps, from where a shortcut leads.

The full form is that of the published recipe (ResNet18 on PneumoniaMNIST, 48,000 updates a network), for a
GPU; ``--quick`` asks the same of an MLP on digits, where a shortcut can be made to be broken through, and on
small X-rays for those who have them.
"""

from collections.abc import Iterator

from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.result_table import ResultTable
from epochal.core.values.study import Detector, Study
from epochal.core.values.study_runs import StudyRuns
from epochal.studies.causal_grokking.about_the_jump import aligned_figures, lag_figure
from epochal.studies.causal_grokking.arms import ARMS
from epochal.studies.causal_grokking.claims import findings
from epochal.studies.causal_grokking.examples import examples_figures
from epochal.studies.causal_grokking.figures import course_figure, grid_figure
from epochal.studies.causal_grokking.objectives import of_objectives
from epochal.studies.causal_grokking.tables import tables


def analyse(runs: StudyRuns) -> Iterator[Finding | FigureSpec | ResultTable]:
    """Times are those of transitions after memorisation; what did not happen is told and counted."""
    yield from findings(runs)
    yield from of_objectives(runs)
    yield course_figure(runs)
    yield from aligned_figures(runs)
    yield lag_figure(runs)
    yield from examples_figures(runs)
    yield grid_figure(runs)
    yield from tables(runs)


causal_grokking = Study(
    question="Does the invariance penalty drop when validation accuracy jumps, does validation rest at the "
    "shortcut's accuracy before, and which part of the recipe makes a network break through a shortcut?",
    prediction="As published: after memorisation validation rests at the share of agreeing cues, then jumps, "
    "and the penalty of training environments drops within 3 records of the jump; each change of the recipe "
    "matters.",
    refutation="An interval that excludes the claim: of the lag beyond 3 records, of the plateau beyond .05, "
    "of accuracy on conflicting examples above .1, of the share of networks that jump below one half.",
    arms=ARMS,
    detectors={
        "memorised": Detector(column="train_accuracy", kind="passage", options={"threshold": 0.99}),
    },
    margins={
        "records": 3.0,
        "rest": 0.05,
        "alone": 0.1,
        "height": 0.05,
        "broken": 0.2,
        "first": 0.2,
        "gain": 0.05,
        "short": 0.1,
    },
    analyse=analyse,
)
