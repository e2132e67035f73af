"""Is grokking really delayed? Whether networks generalise much later than they memorise, seed by seed."""

import math
from statistics import median

import numpy as np
from scipy.stats import binom

from epochal.analysis.runs.resampled_power import all_by_signs, runs_to_decide
from epochal.core.values.figure import Axis, FigureSpec, Layer, Panel
from epochal.core.values.finding import Finding, judged
from epochal.core.values.study import Arm, Detector, Study
from epochal.core.values.study_runs import StudyRuns

ALPHA = 0.05


def analyse(runs: StudyRuns) -> list[Finding | FigureSpec]:
    """A sign test of the ratio's median: exact for any law, and what did not happen is never left out.

    Per run the records leave a range of ratios open: earliest generalisation over latest memorisation, to
    latest over earliest. Support needs the lower ends above the margin, refutation the upper ends below it. A
    run that has not generalised by its last record speaks for neither: 0 to infinity. One that has not
    memorised, or that diverged on the way, is no delay: 0 to 0.
    """
    arm, least = runs["main"], runs.margin("ratio")
    train, val = arm.times("memorised"), arm.times("generalised")
    ranges = [ratio_range(t, v, gone) for t, v, gone in zip(train, val, arm.has_diverged, strict=True)]
    num, reached = len(ranges), sum(low >= least for low, _ in ranges)
    p = float(binom.sf(reached - 1, num, 0.5))
    low, high = (
        median_interval([low for low, _ in ranges])[0],
        median_interval([high for _, high in ranges])[1],
    )
    verdict = judged(p, ALPHA, is_refuted=high < least)
    counted = {
        "had not generalised by the last record": (0.0, math.inf),
        "did not memorise, or diverged": (0.0, 0.0),
    }
    said = [f"{ranges.count(case)} {what}" for what, case in counted.items() if case in ranges]
    seen = [math.sqrt(low * high) for low, high in ranges if 0 < low < math.inf and high < math.inf]
    finding = Finding(
        claim=f"validation accuracy reaches 99% at least {least:g} times later than training accuracy",
        test="sign test of the median",
        estimate=median(seen) if len(seen) == num else None,
        unit="times",
        low=low,
        high=high,
        num_runs=num,
        null=f"half of all seeds are less than {least:g} times later",
        p=p,
        margin=least,
        verdict=verdict,
        smallest_p=0.5**num,
        runs_needed=runs_to_decide(
            np.array([[float(low >= least)] for low, _ in ranges]),
            all_by_signs,
            alpha=ALPHA,
            power=0.9,
            seed=0,
        ),
        note="; ".join(said),
    )
    return [runs.cited(finding, "main"), ratio_figure(runs, ranges)]


def ratio_range(
    memorised: tuple[float, float], generalised: tuple[float, float], has_diverged: bool
) -> tuple[float, float]:
    """The ratios of two steps, each known as (low, high), high infinite where it did not happen."""
    if math.isinf(memorised[1]) or (math.isinf(generalised[1]) and has_diverged):
        return 0.0, 0.0
    if math.isinf(generalised[1]):
        return 0.0, math.inf
    return generalised[0] / memorised[1], generalised[1] / memorised[0] if memorised[0] > 0 else math.inf


def median_interval(values: list[float]) -> tuple[float, float]:
    """Order statistics that hold the median with at least 95%; without ends where the runs are too few."""
    ordered, num = sorted(values), len(values)
    cut = int(binom.ppf(ALPHA / 2, num, 0.5))
    return (ordered[cut - 1], ordered[num - cut]) if cut else (0.0, math.inf)


def ratio_figure(runs: StudyRuns, ranges: list[tuple[float, float]]) -> FigureSpec:
    shown = [(str(seed), *ends) for seed, ends in zip(runs["main"].seeds, ranges, strict=True)]
    known = [row for row in shown if row[1] > 0 and math.isfinite(row[2])]
    return FigureSpec(
        name="delay-ratio",
        title="How many times later each network generalises",
        caption="Step of 99% validation accuracy over step of 99% training accuracy: what the records leave "
        "open, per seed. Seeds without either event have no bar. The line is the declared margin.",
        tables={
            "runs": {
                "seed": [row[0] for row in known],
                "low": [row[1] for row in known],
                "high": [row[2] for row in known],
            },
            "margin": {"ratio": [runs.margin("ratio")]},
        },
        panels=(
            Panel(
                x=Axis(label="ratio", unit="times"),
                y=Axis(label="seed", scale="category", order=tuple(row[0] for row in shown)),
                layers=(
                    Layer(mark="rule", table="margin", x="ratio", emphasis="strong"),
                    Layer(mark="interval", table="runs", x="low", x2="high", y="seed", emphasis="strong"),
                ),
            ),
        ),
    )


grokking_delay = Study(
    question="Do small networks generalise much later than they memorise, whatever the seed?",
    prediction="The median network reaches 99% validation accuracy at least 3 times later than 99% "
    "training accuracy.",
    refutation="The 95% interval of the median ratio lies below 3.",
    arms={
        "main": Arm(
            experiment="algorithmic",
            preset="demo",
            settings={
                "seed": "100:110",
                "max_steps": 2000,
                "record_every": 10,
            },  # those of the demo itself have been looked at
            quick={"seed": "50:55", "max_steps": 1000},
        )
    },
    detectors={
        "memorised": Detector(column="train_accuracy", kind="passage", options={"threshold": 0.99}),
        "generalised": Detector(column="val_accuracy", kind="passage", options={"threshold": 0.99}),
    },
    margins={"ratio": 3.0},
    analyse=analyse,
)
