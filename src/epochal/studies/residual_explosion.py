"""Does the residual stream explode under DFA, does the true gradient collapse with it, and what causes it?"""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from epochal.analysis.runs.coupling import coupling
from epochal.analysis.runs.mean_against import mean_beyond
from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, FigureSpec, Layer, Panel, Table
from epochal.core.values.finding import Finding
from epochal.core.values.study import Arm, Study
from epochal.core.values.study_runs import ArmRuns, MemberRun, StudyRuns

Array = NDArray[np.float64]

NORM, GRADIENT = "hidden_norm", "gradient_norm"
COLUMNS = {NORM: "norm of the stream", GRADIENT: "norm of the true gradient"}
PARTS = {
    "plain": "without normalised credit",
    "strong_decay": "with a hundred times the decay",
    "no_decay": "without decay",
    "no_residual": "without residual connections",
}
"""Ablations: what a part is blamed for, its arm does not do."""


def analyse(runs: StudyRuns) -> list[Finding | FigureSpec]:
    """Growth is the last norm over the first, at the last site; claims about seeds, on its logarithm by t.

    Under DFA a claim of growth also needs the trend test of *every* seed (Mann-Kendall over epochs), so its p
    is the largest of all (intersection-union). A seed that diverged has grown until its last finite record.
    """
    growth = {role: np.array([log_factor(run, NORM) for run in arm.runs]) for role, arm in runs.arms.items()}
    findings = [grows(runs, growth["dfa"]), stays(runs, "backprop", growth["backprop"])]
    findings += [collapses(runs), together(runs)]
    findings += [blamed(runs, part, growth["dfa"] - growth[part]) for part in PARTS]
    return [*findings, norms_figure(runs)]


def grows(runs: StudyRuns, growth: Array) -> Finding:
    arm = runs["dfa"]
    taus, trends = zip(*(trend(values_of(run, NORM)) for run in arm.runs), strict=True)
    found = of_factor(
        runs,
        growth,
        margin="growth",
        is_least=True,
        also=max(trends),
        claim=f"under dfa the stream's norm grows monotonically, at least {runs.margin('growth'):g}-fold",
        test="t of the log factor, and Mann-Kendall over epochs in every seed",
        null=f"growth of at most {runs.margin('growth'):g}-fold, or no trend in some seed",
        note=f"tau of norm and epoch {min(taus):.2f} to {max(taus):.2f}" + diverged(arm),
    )
    return runs.cited(found, "dfa")


def stays(runs: StudyRuns, role: str, growth: Array) -> Finding:
    found = of_factor(
        runs,
        growth,
        margin="growth",
        is_least=False,
        claim=f"under {role} the stream's norm grows less than {runs.margin('growth'):g}-fold",
        test="t of the log factor",
        null=f"growth of {runs.margin('growth'):g}-fold or more",
        note=diverged(runs[role]).removeprefix("; "),
    )
    return runs.cited(found, role)


def of_factor(
    runs: StudyRuns,
    logs: Array,
    *,
    margin: str,
    is_least: bool,
    also: float = 0.0,
    claim: str,
    test: str,
    unit: str = "times",
    null: str,
    note: str,
) -> Finding:
    """A claim that a factor, given by its logarithm per seed, lies above a declared one, or below it.

    ``also`` is the p of whatever else has to hold.
    """
    return mean_beyond(
        logs,
        math.log(runs.margin(margin)),
        side="above" if is_least else "below",
        alpha=runs.alpha,
        claim=claim,
        null=null,
        test=test,
        unit=unit,
        margin=runs.margin(margin),
        note=note,
        is_log=True,
        also=also,
    )


def collapses(runs: StudyRuns) -> Finding:
    """Slopes of *changes* from record to record: two trends would always be correlated."""
    arm, most = runs["dfa"], runs.margin("slope")
    slopes = np.array([slope_of_changes(values_of(run, NORM), values_of(run, GRADIENT)) for run in arm.runs])
    falls, others = (
        math.exp(median(-log_factor(run, GRADIENT) for run in runs[role].runs))
        for role in ("dfa", "backprop")
    )
    return runs.cited(
        mean_beyond(
            slopes,
            most,
            side="below",
            alpha=runs.alpha,
            claim="within a network under dfa the true gradient falls as the norm grows, power "
            f"below {most:g}",
            null=f"power {most:g} or more",
            test="t of each seed's slope of log changes",
            margin=most,
            note=f"it ends {falls:.3g} times smaller, under backprop, whose norm need not grow, {others:.3g} "
            "times (medians, last site); the norm before the read-out alone gives power -1",
        ),
        "dfa",
    )


def together(runs: StudyRuns) -> Finding:
    arm = runs["dfa"]
    factors = [np.exp([sign * log_factor(r, c) for r in arm.runs]) for sign, c in ((1, NORM), (-1, GRADIENT))]
    found = coupling(*factors, alpha=runs.alpha, names=("growth of the norm", "collapse of the gradient"))
    return runs.cited(found, "dfa")


def blamed(runs: StudyRuns, part: str, less: Array) -> Finding:
    """``less``: log growth under DFA minus that of the ablation, per seed: same start, data and feedback."""
    if runs["dfa"].seeds != runs[part].seeds:
        raise UserError(f"arm {part} has other seeds than dfa: growth is compared seed by seed")
    found = of_factor(
        runs,
        less,
        margin="reduction",
        is_least=True,
        claim=f"{PARTS[part]} the stream grows at least {runs.margin('reduction'):g} times less than dfa",
        test="paired t of the log factor",
        unit="times less",
        null=f"at most {runs.margin('reduction'):g} times less",
        note=diverged(runs[part]).removeprefix("; "),
    )
    return runs.cited(found, "dfa", part)


def diverged(arm: ArmRuns) -> str:
    number = sum(arm.has_diverged)
    return f"; {number} diverged: until their last finite record" if number else ""


def last_site(run: MemberRun) -> int:
    places = [int(name.rpartition(".")[2]) for name in run.curves if name.startswith(f"{NORM}.")]
    if not places:
        raise UserError(f"no {NORM} per site was recorded: the study needs probes=hidden_norm,gradient_norm")
    return max(places)


def values_of(run: MemberRun, column: str, site: int | None = None) -> Array:
    """What was measured at a site (None: the last), record by record; positive and finite, else left out."""
    curve = run.curves[f"{column}.{last_site(run) if site is None else site}"]
    values = np.asarray(curve.values, dtype=np.float64)
    return values[np.isfinite(values) & (values > 0)]


def log_factor(run: MemberRun, column: str) -> float:
    """Log of the last value over the first."""
    values = values_of(run, column)
    if len(values) < 2:
        raise UserError(f"seed {run.seed} has fewer than two finite records of {column}")
    return float(math.log(values[-1]) - math.log(values[0]))


def trend(values: Array) -> tuple[float, float]:
    """Kendall's tau with time and the one-sided p of growth: 1 / n! for a curve that only rises."""
    found = kendalltau(np.arange(len(values)), values, alternative="greater")
    return float(found.statistic), float(found.pvalue)


def slope_of_changes(norms: Array, gradients: Array) -> float:
    """d log g / d log N from record to record, by least squares with an intercept."""
    if len(norms) != len(gradients):
        raise UserError("norm and gradient were not measured at the same records")
    x, y = np.diff(np.log(norms)), np.diff(np.log(gradients))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / (x @ x))


def norms_figure(runs: StudyRuns) -> FigureSpec:
    """At the last site over epochs, and at the last record over sites; medians over seeds."""
    roles = tuple(runs.arms)
    tables, panels = dict[str, Table](), list[Panel]()
    for column, words in COLUMNS.items():
        over_time = [
            {"arm": role, "record": float(place), "value": value}
            for role, arm in runs.arms.items()
            for place, value in enumerate(middle([values_of(run, column) for run in arm.runs]))
        ]
        over_sites = [
            {"arm": role, "site": f"{site}", "value": float(median(ends))}
            for role, arm in runs.arms.items()
            for site in range(last_site(arm.runs[0]) + 1)
            if (ends := [values[-1] for run in arm.runs if len(values := values_of(run, column, site))])
        ]
        short = "norm" if column == NORM else "gradient"
        tables |= {f"{short}_over_time": table(over_time), f"{short}_over_sites": table(over_sites)}
        sites = tuple(dict.fromkeys(str(row["site"]) for row in over_sites))
        y = Axis(label=f"median {words}", scale="log")
        time, site = Axis(label="record, from step 0 on"), Axis(label="site", scale="category", order=sites)
        for x, name, axis, title in (
            ("record", f"{short}_over_time", time, "at the last site"),
            ("site", f"{short}_over_sites", site, "at the last record"),
        ):
            # Dots, since another arm's line may lie on that of dfa.
            of_dfa = [row for row in (over_time if x == "record" else over_sites) if row["arm"] == "dfa"]
            tables[f"{name}_of_dfa"] = table(of_dfa)
            line = Layer(mark="line", table=name, x=x, y="value", by="arm", colour="arm")
            dots = Layer(mark="point", table=f"{name}_of_dfa", x=x, y="value", colour="arm")
            panels.append(Panel(x=axis, y=y, layers=(line, dots), title=title, height=220))
    return FigureSpec(
        name="residual-explosion",
        title="Norms of the stream and of its true gradient, all arms",
        caption="Per network the median over the examples of the probe's sample; lines are medians over the "
        "seeds of an arm, that of dfa has dots. Site 0 is the embedding. Records are epochs where one was "
        "taken per epoch. The gradient is the true one, whatever an arm learns by.",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="arm", values=roles),
        per_row=2,
    )


def middle(curves: Sequence[Array]) -> list[float]:
    """Median over networks at each record that any of them has."""
    longest = max(len(curve) for curve in curves)
    return [float(median(curve[t] for curve in curves if len(curve) > t)) for t in range(longest)]


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


RECIPE: Mapping[str, object] = {
    "seed": "100:105",
    "rule": "dfa",
    "probes": "loss,accuracy,hidden_norm,gradient_norm,credit_alignment",
}
QUICK: Mapping[str, object] = {
    "data": "digits",
    "crop_padding": 0,
    "flip": False,
    "width": 64,
    "batch_size": 32,
    "epochs": 20,
    "seed": "50:55",
}


def arm(**settings: object) -> Arm:
    return Arm(experiment="images", preset="credit", settings={**RECIPE, **settings}, quick=QUICK)


residual_explosion = Study(
    question="Does the residual stream explode under direct feedback, does the true gradient collapse, and "
    "which part of the recipe is the cause?",
    prediction="Under dfa the norm of the stream grows monotonically, at least 100-fold, under backprop "
    "less; the true gradient falls with it; without normalised credit the norm grows at least 3 times less.",
    refutation="The 90% interval of the growth under dfa lies below 100, that under backprop above it; the "
    "power of gradient in norm lies above -0.5; the ablation's reduction lies below 3.",
    arms={
        "dfa": arm(),
        "backprop": arm(rule="backprop"),
        "fa": arm(rule="fa"),
        "frozen": arm(rule="frozen"),
        "plain": arm(credit_normalization="none"),
        "no_decay": arm(weight_decay=0.0),
        "strong_decay": arm(weight_decay=1.0),
        "no_residual": arm(residual=False, w2_std=0.05),
    },
    detectors={},
    margins={"growth": 100.0, "slope": -0.5, "reduction": 3.0},
    analyse=analyse,
)
