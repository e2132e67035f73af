"""Curves about the jump of validation, and how much later each penalty drops."""

import math
from collections.abc import Iterator, Mapping
from statistics import median

from epochal.core.values.event import Event
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Shape
from epochal.core.values.study_runs import MemberRun, StudyRuns
from epochal.studies.causal_grokking.arms import PENALTIES
from epochal.studies.causal_grokking.claims import of_arm, subjects
from epochal.studies.causal_grokking.events import Moments, arrays, interval_of
from epochal.studies.causal_grokking.figures import ACCURACIES, NAMES

REACH = 12
"""Records drawn on either side of the jump."""
ROWS = len(PENALTIES) + 1
"""A network has a row for each penalty, and one that stays empty."""
SHAPES: Mapping[str, Shape] = {"both": "dot", "jump_only": "arrow", "drop_only": "arrow_left"}
NAMED = {**ACCURACIES, **{column: NAMES[name] for name, column in PENALTIES.items()}}


def aligned_figures(runs: StudyRuns) -> Iterator[FigureSpec]:
    """Accuracies and penalties side by side, the jump at 0; nothing where no network jumps."""
    tables: dict[str, dict[str, list[Cell]]] = {"jump": {"at": [0.0]}}
    panels: list[Panel] = []
    x = Axis(label="records from the jump of validation", domain=(-REACH, REACH))
    for role in subjects(runs):
        pairs = list(zip(runs[role].runs, of_arm(runs, role, ()), strict=True))
        jumped = [(run, middle(seen.jump)) for run, seen in pairs if seen.jump.found]
        for kind, y in (
            ("accuracy", Axis(label="validation accuracy", domain=(0.0, 1.0))),
            ("penalty", Axis(label="penalty", unit="nat²", scale="log")),
        ):
            if not jumped:
                continue
            lines, medians = f"{kind}_{role}", f"{kind}_{role}_medians"
            tables[lines], tables[medians] = _about(jumped, interval_of(runs[role]), kind)
            layers = (
                Layer(
                    mark="line", table=lines, x="lag", y="value", by="line", colour="what", emphasis="faint"
                ),
                Layer(mark="line", table=medians, x="lag", y="value", by="what", colour="what"),
                Layer(mark="rule", table="jump", x="at"),
            )
            title = f"{role}: {len(jumped)} of {len(pairs)} jump"
            panels.append(Panel(x=x, y=y, layers=layers, title=title, height=220))
    if panels:
        yield FigureSpec(
            name="aligned",
            title="About the jump of validation",
            caption="Networks whose validation accuracy jumps after memorisation, moved so that the jump is "
            "at 0; faint lines are networks, the others their medians. Arms without a jump have no panel.",
            tables=tables,
            panels=tuple(panels),
            colour=Colour(title="of", values=tuple(NAMED.values())),
            per_row=2,
        )


def _about(
    jumped: list[tuple[MemberRun, float]], interval: float, kind: str
) -> tuple[dict[str, list[Cell]], dict[str, list[Cell]]]:
    """Every network's values at whole records from its jump, and medians over networks."""
    lines: dict[str, list[Cell]] = {name: [] for name in ("lag", "value", "line", "what")}
    medians: dict[str, list[Cell]] = {name: [] for name in ("lag", "value", "what")}
    for column, what in NAMED.items():
        if (column in ACCURACIES) != (kind == "accuracy"):
            continue
        at: dict[int, list[float]] = {}
        for run, jump in jumped:
            for step, value in zip(*arrays(run.curves[column]), strict=True):
                lag = round((float(step) - jump) / interval)
                is_drawn = math.isfinite(value) and (kind == "accuracy" or value > 0)
                if abs(lag) <= REACH and is_drawn:
                    at.setdefault(lag, []).append(float(value))
                    _add(lines, lag, float(value), f"{what} {run.seed}", what)
        for lag in sorted(at):
            _add(medians, lag, median(at[lag]), what)
    return lines, medians


def lag_figure(runs: StudyRuns) -> FigureSpec:
    """How many records after the jump each penalty drops, network by network, beside the margin."""
    margin = runs.margin("records")
    tables: dict[str, dict[str, list[Cell]]] = {}
    panels = []
    for role in subjects(runs):
        seen, interval = of_arm(runs, role), interval_of(runs[role])
        kinds: dict[str, dict[str, list[Cell]]] = {
            kind: {name: [] for name in ("lag", "low", "high", "row", "what", "seed")}
            for kind in ("both", "jump_only", "drop_only")
        }
        for number, (run, one) in enumerate(zip(runs[role].runs, seen, strict=True)):
            for place, (name, column) in enumerate(PENALTIES.items()):
                if (found := lag_of(one, one.drops[column])) is not None:
                    kind, *lags = found
                    row = -(number * ROWS + place)
                    _add(kinds[kind], *(lag / interval for lag in lags), row, NAMES[name], str(run.seed))
        ends = [float(str(v)) for t in kinds.values() for n in ("low", "high") for v in t[n]]
        left, right = min([-2 * margin, *ends]), max([2 * margin, *ends])
        bottom = -(len(seen) * ROWS - 1)
        names = {kind: f"{role}_{kind}" for kind in (*kinds, "margin", "zero", "seeds")}
        tables |= {names[kind]: table for kind, table in kinds.items()}
        tables[names["margin"]] = {"left": [-margin], "right": [margin], "bottom": [bottom], "top": [1]}
        tables[names["zero"]] = {"at": [0.0]}
        room = 0.2 * (right - left)
        tables[names["seeds"]] = {
            "x": [left - room] * len(seen),
            "y": [-(number * ROWS + (ROWS - 2) / 2) for number in range(len(seen))],
            "text": [f"seed {run.seed}" for run in runs[role].runs],
        }
        jumps = sum(one.jump.found for one in seen)
        panels.append(
            Panel(
                x=Axis(label="records after the jump", domain=(left - room, right + 0.05 * room)),
                y=Axis(label="", domain=(bottom, 1.0), bare=True),
                layers=_layers(names),
                title=f"{role}: {jumps} of {len(seen)} jump",
                height=40 + 6 * ROWS * len(seen),
            )
        )
    return FigureSpec(
        name="lags",
        title="How much later than the jump each penalty drops",
        caption=f"A row for each network and penalty; shaded: {margin:g} records on either side. Bars: the "
        "lags that both intervals allow. Triangles to the right: the penalty had not dropped by the end; to "
        "the left: it had, and validation had not jumped by then. Neither happened where there is no mark.",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="penalty of", values=tuple(NAMES.values())),
        per_row=2,
    )


def lag_of(one: Moments, drop: Event) -> tuple[str, float, float, float] | None:
    """In steps: the lag of a drop after the jump with its limits, or as far as it was followed."""
    jump = one.jump
    if jump.found and drop.found:
        return "both", middle(drop) - middle(jump), drop.low - jump.high, drop.high - jump.low
    if jump.found:
        lag = drop.low - middle(jump)
        return "jump_only", lag, lag, lag
    if drop.found:
        lag = middle(drop) - jump.low
        return "drop_only", lag, lag, lag
    return None


def middle(event: Event) -> float:
    return event.step if math.isfinite(event.step) else event.high


def _layers(names: Mapping[str, str]) -> tuple[Layer, ...]:
    hover = {"seed": "seed", "low": "from", "high": "to"}
    about = {"y": "row", "colour": "what", "hover": hover}
    both = names["both"]
    return (
        Layer(mark="cell", table=names["margin"], x="left", x2="right", y="bottom", y2="top"),
        Layer(mark="rule", table=names["zero"], x="at"),
        Layer(mark="text", table=names["seeds"], x="x", y="y", text="text"),
        Layer(mark="interval", table=both, x="low", x2="high", **about),  # type: ignore[arg-type]
        *(
            Layer(mark="point", table=names[kind], x="lag", shape=shape, **about)  # type: ignore[arg-type]
            for kind, shape in SHAPES.items()
        ),
    )


def _add(table: dict[str, list[Cell]], *row: Cell) -> None:
    for column, cell in zip(table.values(), row, strict=True):
        column.append(cell)
