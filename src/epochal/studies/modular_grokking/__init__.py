"""Grokking of modular addition: how its step follows data and decay, what speeds it up, what announces it.

The full form repeats the published conditions, each condition an arm of its own; ``--quick`` asks the same of
a small network (p = 31, width 48), so that its table compares the two laws only.

The full form is for a machine left alone: 132 networks and at most 3.4 million updates of the published
networks (arms of which only a time is asked stop early), a night or more on two cores.
"""

from collections.abc import Iterator

from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.result_table import ResultTable
from epochal.core.values.study import Detector, Study
from epochal.core.values.study_runs import StudyRuns
from epochal.studies.modular_grokking.accelerators import compared
from epochal.studies.modular_grokking.against_published import against_published
from epochal.studies.modular_grokking.arms import (
    ARMS,
    COMPARISONS,
    DECAYS,
    FRACTIONS,
    WITHOUT_DECAY,
)
from epochal.studies.modular_grokking.figures import (
    accelerator_figure,
    lag_figure,
    law_figure,
    measure_figure,
)
from epochal.studies.modular_grokking.laws import falls_with_data, is_log_linear, scales_with_decay
from epochal.studies.modular_grokking.measures import led


def analyse(runs: StudyRuns) -> Iterator[Finding | FigureSpec | ResultTable]:
    """Each question is a family of its own: Holm over the accelerators, over those without decay, and
    over the measures."""
    yield falls_with_data(runs, FRACTIONS)
    yield is_log_linear(runs, FRACTIONS)
    yield scales_with_decay(runs, DECAYS)
    yield from compared(runs, COMPARISONS)
    yield from compared(runs, WITHOUT_DECAY)
    yield from led(runs)
    yield law_figure(runs, slope=True)
    yield law_figure(runs, slope=False)
    yield accelerator_figure(runs, (*COMPARISONS, *WITHOUT_DECAY))
    yield lag_figure(runs)
    yield measure_figure(runs)
    yield against_published(runs)


modular_grokking = Study(
    question="How does the step at which networks generalise modular addition follow data and weight decay, "
    "which accelerators change it at equal conditions, and which measures announce it?",
    prediction="It falls log-linearly with the fraction of data, and as the inverse of weight decay; "
    "accelerators change it against matched controls, and orthogonal gradients and StableMax bring it about "
    "without decay; restricted loss, excluded loss and the embedding's "
    "Gini coefficient change before validation accuracy and before validation loss.",
    refutation="An interval that excludes the claim: a slope above 0, a bend or an exponent outside its "
    "margin, a measure that comes later. An accelerator's claim can be supported or stay undecided.",
    arms=ARMS,
    detectors={
        "generalised": Detector(column="val_accuracy", kind="passage", options={"threshold": 0.99}),
        "generalised_95": Detector(
            column="val_accuracy",
            kind="passage",
            options={"threshold": 0.95},
            arms=("grokfast", "grokfast_off", "grokfast_rate"),
        ),
        "memorised": Detector(column="train_accuracy", kind="passage", options={"threshold": 0.99}),
        "low_val_loss": Detector(
            column="val_loss",
            kind="passage",
            options={"threshold": 0.1, "direction": "fall"},
            arms=("nanda_30", "nanda_50", "nanda_70"),
        ),
    },
    margins={"bend": 0.7, "exponent": 0.25},  # a factor of two; the published exponent is .065 off
    family="adjusted",
    analyse=analyse,
)
