"""How likely a test is to support its claim with more runs, if the effect is what these runs show."""

import math

import numpy as np

from epochal.analysis import coupling, coupling_power, same_time_power
from epochal.analysis.runs.paired_times import as_times
from epochal.analysis.runs.same_time import centre_of, resolution_of, signed_lags
from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.against import columns_table
from epochal.report.event_times import Timed, arm_fields, arm_labels, common, timed
from epochal.report.figure import Options, figure, option
from epochal.report.pair import margin_steps
from epochal.report.reading import RunLike

SIZES = (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 35, 40, 50, 60, 80, 100, 150, 200)


class PowerOptions(Options):
    a: str = option("memorisation", "an event, or a column whose transition is the event")
    b: str = option("generalisation", "the event that may come with it")
    margin: str = option("2rec", "same time: steps, or record intervals as 2rec")
    arms: tuple[str, ...] = option((), "fields that tell arms apart, as a,b; empty = all that vary")
    target: float = option(0.9, "power that is wanted")
    most: int = option(60, "largest number of runs drawn")


@figure("power of the coupling and the same-time test against the number of runs", options=PowerOptions)
def power(run: RunLike, options: PowerOptions) -> FigureSpec:
    if not 0 < options.target < 1:
        raise UserError(f"target={options.target:g} is outside (0, 1): 0.9 is usual")
    if options.most < SIZES[0]:
        raise UserError(f"most={options.most} is below {SIZES[0]}, the fewest runs a test takes")
    a, b, _ = common(timed(run, options.a), timed(run, options.b))
    labels = arm_labels(run, a.members, arm_fields(run, options.arms))
    margin = margin_steps(options.margin, a, b)
    sizes = [size for size in SIZES if size <= options.most]
    rows, words = list[dict[str, Cell]](), list[str]()
    for name, (found, said) in {
        "coupled": coupled_rows(a, b, labels, sizes),
        "same time": same_rows(a, b, margin, sizes),
    }.items():
        words.append(said)
        rows += [{"runs": float(size), "power": value, "test": name} for size, value in found]
    if not rows:
        raise UserError(f"no power to draw for {a.name} and {b.name}: {'; '.join(words)}")
    names = list(dict.fromkeys(str(row["test"]) for row in rows))
    present = float(len(a.members))
    tables: dict[str, dict[str, list[Cell]]] = {
        "power": columns_table(rows),
        "target": {"power": [options.target]},
    }
    layers = [
        Layer(mark="rule", table="target", y="power"),
        Layer(mark="line", table="power", x="runs", y="power", by="test", colour="test", emphasis="strong"),
        Layer(mark="point", table="power", x="runs", y="power", colour="test", emphasis="faint"),
    ]
    if present <= options.most:
        tables["present"] = {"runs": [present]}
        layers.insert(1, Layer(mark="rule", table="present", x="runs"))
    low, high = float(sizes[0]), float(max(sizes[-1], 4))
    return FigureSpec(
        name="power",
        title="Power against the number of runs",
        caption=(
            f"Chance that a test at 5% supports its claim, if runs go on as these {len(a.members)} "
            f"({'; '.join(words)}). Across: power {options.target:g}; upright: the runs there are. Testing "
            "again after adding runs needs a level that was spent beforehand."
        ),
        tables=tables,
        panels=(
            Panel(
                x=Axis(label="runs", scale="log", domain=(low * 0.95, high * 1.05)),
                y=Axis(label="power", domain=(0.0, 1.0)),
                layers=tuple(layers),
            ),
        ),
        colour=Colour(title="", values=tuple(names)),
    )


def coupled_rows(
    a: Timed, b: Timed, labels: list[str], sizes: list[int]
) -> tuple[list[tuple[int, float]], str]:
    """Power of the coupling test, with the tau, the censoring and the arms of these runs."""
    strata = labels if len(set(labels)) > 1 else None
    try:
        found = coupling(a.intervals, b.intervals, strata=strata, power=None)
    except UserError as error:
        return [], f"coupled: {error}"
    if found.estimate is None:
        return [], "coupled: all times are tied"
    late_a, late_b = float(np.mean(~a.happened)), float(np.mean(~b.happened))
    shared = [labels.count(label) for label in dict.fromkeys(labels)]
    num_strata = sum(count > 1 for count in shared)
    points = [
        (
            size,
            coupling_power(found.estimate, size, censored_a=late_a, censored_b=late_b, num_strata=num_strata),
        )
        for size in sizes
        if size >= 2 * num_strata
    ]
    return points, f"tau {found.estimate:.2g}"


def same_rows(a: Timed, b: Timed, margin: float, sizes: list[int]) -> tuple[list[tuple[int, float]], str]:
    """Power of the same-time test, with the mean and the spread of these lags."""
    times_a, times_b = as_times(a.intervals, a.name), as_times(b.intervals, b.name)
    lags = signed_lags(times_a, times_b)
    if len(lags) < 2 or not np.isfinite(lags).all():
        return [], "same time: a run has one of the two only, which no normal law of lags describes"
    interval = np.maximum(a.record_interval, b.record_interval)
    try:
        settled = centre_of(lags, resolution_of(times_a, times_b, interval), "t")
    except UserError as error:
        return [], f"same time: {error}"
    assert settled.sd is not None
    mean = abs(settled.centre.estimate) + settled.shift
    points = [(size, same_time_power(mean, settled.sd, size, margin=margin)) for size in sizes]
    how = "at most " if settled.shift else ""
    said = f"lags {how}{mean:.4g} from 0 with sd {settled.sd:.4g}, margin {margin:g} steps"
    return points, said if math.isfinite(mean) else "same time: no finite lag"
