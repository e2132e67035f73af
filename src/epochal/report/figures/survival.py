"""The share of runs in which an event has not happened yet, an arm a line, with the runs at risk below."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from epochal.analysis import aalen_johansen, kaplan_meier
from epochal.analysis.runs.survival import SurvivalCurve
from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.against import columns_table
from epochal.report.event_times import Timed, arm_fields, arm_labels, arm_title, only, timed, usual_event
from epochal.report.figure import Options, figure, option
from epochal.report.reading import MAX_HUES, RunLike

NUM_COUNTS = 5
MAX_BANDS = 4


class SurvivalOptions(Options):
    event: str = option("auto", "an event, or a column whose transition is the event")
    arms: tuple[str, ...] = option((), "fields that tell arms apart, as a,b; empty = all that vary")
    x: Literal["log", "linear"] = option("linear", "scale of the steps")


@figure(
    "share of runs without an event yet (Kaplan-Meier), by arm; with divergence as a competing risk",
    options=SurvivalOptions,
)
def survival(run: RunLike, options: SurvivalOptions) -> FigureSpec:
    name = usual_event(run) if options.event == "auto" else options.event
    every = timed(run, name)
    times = only(every, [m for m, known in zip(every.members, every.is_known, strict=True) if known])
    if not times.members:
        raise UserError(f"the records of {run.name} are too few to tell when {name} happened")
    labels = arm_labels(run, times.members, arm_fields(run, options.arms))
    arms = arms_in_order(run, times, labels, options.arms)
    if len(arms) > MAX_HUES:
        raise UserError(f"{len(arms)} arms are more than {MAX_HUES} lines; choose fields with arms=")
    has_diverged = bool(np.isfinite(times.diverged).any())
    end = float(times.followed.max())
    x = Axis(
        label="step",
        unit="completed updates",
        scale="symlog" if options.x == "log" else "linear",
        domain=(0.0, end),
    )
    words = name.replace("_", " ")
    is_coloured = len(arms) > 1
    steps, counts, ticks = [], [], []
    for arm in arms:
        own = only(times, [m for m, label in zip(times.members, labels, strict=True) if label == arm])
        for panel, curve in curves_of(own, has_diverged).items():
            steps += stairs(curve, arm, panel, float(own.followed.max()))
            if panel == "event":
                counts += at_risk(own, arm, end, options.x)
                ticks += censored(own, curve, arm)
    tables: dict[str, dict[str, list[Cell]]] = {
        "curves": columns_table(steps),
        "at_risk": columns_table(counts),
    }
    colour = "arm" if is_coloured else None
    layers = []
    if len(arms) <= MAX_BANDS:
        layers.append(
            Layer(mark="band", table="curves", x="step", y="low", y2="high", by=colour, colour=colour)
        )
    layers.append(
        Layer(mark="line", table="curves", x="step", y="share", by="arm", colour=colour, emphasis="strong")
    )
    share = Axis(label=f"runs {'with' if has_diverged else 'without'} {words}", domain=(0.0, 1.0))
    marks = []
    if ticks:
        tables["censored"] = columns_table(ticks)
        marks.append(Layer(mark="point", table="censored", x="step", y="share", colour=colour, shape="cross"))
    panels = [Panel(x=x, y=share, layers=(*on_panel(layers, "event"), *marks), height=230)]
    if has_diverged:
        panels.append(
            Panel(
                x=x,
                y=Axis(label="runs diverged", domain=(0.0, 1.0)),
                layers=tuple(on_panel(layers, "diverged")),
                height=110,
            )
        )
    numbers = Layer(mark="text", table="at_risk", x="step", y="arm", text="runs", colour=colour)
    rows = Axis(label="at risk", scale="category", order=tuple(reversed(arms)) if is_coloured else ("",))
    panels.append(
        Panel(
            x=Axis(label="", scale=x.scale, domain=x.domain, bare=True),
            y=rows,
            layers=(numbers,),
            height=16 * len(arms) + 8,
        )
    )
    return FigureSpec(
        name="survival",
        title=f"Runs {'with' if has_diverged else 'without'} {words} by step",
        caption=caption(
            has_diverged, bool(ticks), len(arms) <= MAX_BANDS, len(every.members) - len(times.members)
        ),
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title=arm_title(arm_fields(run, options.arms)), values=tuple(arms))
        if is_coloured
        else None,
        per_row=1,
    )


def on_panel(layers: list[Layer], panel: str) -> list[Layer]:
    return [replace(layer, where=("panel", panel)) for layer in layers]


def arms_in_order(run: RunLike, times: Timed, labels: list[str], given: tuple[str, ...]) -> list[str]:
    """Arms as their fields sort: numbers ascending."""
    fields = arm_fields(run, given)
    rows = {row["member"]: row for row in run.members.iter_rows(named=True)}
    first = dict(zip(reversed(labels), reversed(times.members), strict=True))

    def key(label: str) -> tuple[tuple[bool, float, str], ...]:
        values = [rows[first[label]][field] for field in fields]
        return tuple(
            (not isinstance(v, int | float), float(v) if isinstance(v, int | float) else 0.0, str(v))
            for v in values
        )

    return sorted(dict.fromkeys(labels), key=key)


def curves_of(own: Timed, has_diverged: bool) -> dict[str, SurvivalCurve]:
    """Kaplan-Meier, or the cumulative incidences of event and divergence where one rules out the other."""
    step = np.where(own.happened, np.minimum(own.step, own.followed), np.nan)
    if not has_diverged:
        return {"event": kaplan_meier(step, followed=own.followed)}
    # A member that diverged after its event had the event.
    end = np.where(np.isfinite(step) & (own.diverged >= step), np.nan, own.diverged)
    return {
        "event": aalen_johansen(step, diverged=end, followed=own.followed),
        "diverged": aalen_johansen(end, diverged=step, followed=own.followed),
    }


def stairs(curve: SurvivalCurve, arm: str, panel: str, end: float) -> list[dict[str, Cell]]:
    """Two points per step, so that a straight line is a stair."""
    rows: list[dict[str, Cell]] = []
    for k, step in enumerate(curve.step):
        until = float(curve.step[k + 1]) if k + 1 < len(curve.step) else max(end, float(step))
        level: dict[str, Cell] = {
            "arm": arm,
            "panel": panel,
            "share": float(curve.value[k]),
            "low": number(curve.low[k]),
            "high": number(curve.high[k]),
            "runs": int(curve.at_risk[k]),
        }
        rows += [{"step": float(step), **level}, {"step": until, **level}]
    return rows


def at_risk(own: Timed, arm: str, end: float, scale: str) -> list[dict[str, Cell]]:
    """How many runs have neither had the event nor ended before a few steps."""
    ends = np.fmin(
        np.fmin(np.where(own.happened, own.step, np.inf), own.followed),
        np.where(np.isfinite(own.diverged), own.diverged, np.inf),
    )
    share = np.arange(NUM_COUNTS) / NUM_COUNTS
    steps = end * share if scale == "linear" else np.expm1(np.log1p(end) * share)
    return [{"step": float(step), "arm": arm, "runs": str(int(np.sum(ends >= step)))} for step in steps]


def censored(own: Timed, curve: SurvivalCurve, arm: str) -> list[dict[str, Cell]]:
    """Where runs end that neither had the event nor diverged, if others go on."""
    rows: list[dict[str, Cell]] = []
    ends = own.followed[~own.happened & ~np.isfinite(own.diverged)]
    rows += [{"step": float(step), "share": curve.at(float(step)), "arm": arm} for step in np.unique(ends)]
    return rows


def number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def caption(has_diverged: bool, has_ticks: bool, has_bands: bool, unknown: int) -> str:
    words = [
        "Cumulative incidence (Aalen-Johansen): divergence rules the event out."
        if has_diverged
        else "Kaplan-Meier estimate."
    ]
    if has_bands:
        words.append("Bands: pointwise 95% intervals.")
    if has_ticks:
        words.append("Crosses: runs end there without the event.")
    words.append("Below: runs at risk, each number at the step left of it.")
    if unknown:
        words.append(f"{unknown} runs with too few records are left out.")
    return " ".join(words)
