"""Norms of the stream and of its true gradient, site by site, over training: an arm per column of panels."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Table
from epochal.report.against import columns_table
from epochal.report.figure import Options, figure, option
from epochal.report.reading import RunLike, as_text, is_replicate, setting_words, varied_fields

COLUMNS = {"hidden_norm": "norm", "gradient_norm": "gradient norm"}
MAX_ARMS = 8
MAX_TIMES = 8
MOST_PER_ROW = 4


class NormsOptions(Options):
    """What can be chosen about norms over sites."""

    x: Literal["depth", "epoch"] = option("depth", "to the right; the colour is the other one")
    times: int = option(MAX_TIMES, "with x=depth: at most so many epochs, the first and the last among them")


def on_page(run: RunLike) -> NormsOptions | None:
    """Where norms were recorded per site, and there are no more arms than columns."""
    return NormsOptions() if _columns(run) and len(_arms(run)) <= MAX_ARMS else None


@figure(
    "norms of hidden states and of the true gradient against depth or epoch, one column of panels per arm",
    options=NormsOptions,
    on_page=on_page,
    place=45,
)
def norms(run: RunLike, options: NormsOptions) -> FigureSpec:
    columns = _columns(run)
    if not columns:
        raise UserError(
            f"{run.name} has no norms per site: measure them with probes=hidden_norm,gradient_norm and "
            "probe_options.gradient_norm.of=sites"
        )
    arms = _arms(run)
    if len(arms) > MAX_ARMS:
        raise UserError(f"{run.name} has {len(arms)} arms, more than {MAX_ARMS} columns of panels can show")
    times = _times(run, columns, options)
    rows, tables = _rows(run, columns, arms, times), dict[str, Table]()
    panels = []
    by_depth = options.x == "depth"
    sites = tuple(_number(site) for site in range(_num_sites(run, columns)))
    shades = [_number(time) for time in times] if by_depth else list(sites)
    for column, words in columns.items():
        of_column = [row for row in rows if row["column"] == column]
        y = Axis(label=words, unit=_unit(column), scale="log", domain=_domain(of_column))
        x = (
            Axis(label="site, from the input on", scale="category", order=sites)
            if by_depth
            else Axis(label="epoch")
        )
        for place, (arm, members) in enumerate(arms.items()):
            name = f"{column}_{place}"
            drawn, other = ("site", "epoch") if by_depth else ("epoch", "site")
            mine = [row | {"shade": _number(row[other])} for row in of_column if row["arm"] == arm]
            mine = [row | {"site": _number(row["site"])} for row in mine]
            tables[name] = columns_table(mine)
            line = Layer(mark="line", table=name, x=drawn, y="median", by="shade", colour="shade")
            about = {"site": "site", "epoch": "epoch", "median": words, "low": "least", "high": "most"}
            dots = Layer(
                mark="point", table=name, x=drawn, y="median", colour="shade", emphasis="faint", hover=about
            )
            title = f"{arm} ({len(members)})" if len(members) > 1 else arm
            panels.append(Panel(x=x, y=y, layers=(line, dots), title=title, height=200))
    other = "epoch" if by_depth else "site"
    is_pooled = max(map(len, arms.values())) > 1
    gone = " Values that are zero or not finite are left out." if _has_gaps(rows) else ""
    return FigureSpec(
        name="norms",
        title=f"Norms against {options.x}",
        caption=(
            "Per site, median over the examples of the probe's sample"
            + (", then over the members of an arm (their number in brackets)." if is_pooled else ".")
            + (f" One line per {other}.")
            + (
                " The gradient is the true one of each example's own loss, whatever the rule."
                * (len(columns) > 1)
            )
            + gone
        ),
        tables={name: {c: v for c, v in table.items() if c != "column"} for name, table in tables.items()},
        panels=tuple(panels),
        colour=Colour(title=other, values=tuple(shades), ordered=True),
        per_row=min(len(arms), MOST_PER_ROW),
    )


def _columns(run: RunLike) -> dict[str, str]:
    """Columns with a number per site that were measured."""
    metrics = run.metrics
    return {
        name: words
        for name, words in COLUMNS.items()
        if isinstance(metrics.schema.get(name), pl.List) and metrics[name].null_count() < len(metrics)
    }


def _arms(run: RunLike) -> dict[str, list[int]]:
    """Members that differ in seeds only, by what they share."""
    fields = [field for field in varied_fields(run) if not is_replicate(field)]
    arms: dict[str, list[int]] = {}
    for row in run.members.iter_rows(named=True):
        words = [as_text(row[f]) if f == "rule" else setting_words(row, [f]) for f in fields]
        arms.setdefault(", ".join(words) or "all members", []).append(row["member"])
    return arms


def _times(run: RunLike, columns: dict[str, str], options: NormsOptions) -> list[float]:
    """Epochs that are drawn: all, or an even choice with both ends."""
    measured = run.metrics.filter(pl.any_horizontal(pl.col(list(columns)).is_not_null()))
    found = sorted(measured["epoch"].unique().to_list())
    if options.x == "epoch" or len(found) <= max(2, options.times):
        return found
    last = len(found) - 1
    return [found[i] for i in sorted({round(k * last / (options.times - 1)) for k in range(options.times)})]


def _num_sites(run: RunLike, columns: dict[str, str]) -> int:
    return max(int(run.metrics[name].list.len().max() or 0) for name in columns)  # type: ignore[arg-type]


def _rows(
    run: RunLike, columns: dict[str, str], arms: dict[str, list[int]], times: Sequence[float]
) -> list[dict[str, Cell]]:
    """One row per column, arm, epoch and site: median and range over members."""
    arm_of = {member: arm for arm, members in arms.items() for member in members}
    found: dict[tuple[str, str, float, int], list[float]] = {}
    for row in run.metrics.filter(pl.col("epoch").is_in(list(times))).iter_rows(named=True):
        for column in columns:
            for site, value in enumerate(row[column] or ()):
                key = (column, arm_of[row["member"]], row["epoch"], site)
                found.setdefault(key, []).append(math.nan if value is None else value)
    rows: list[dict[str, Cell]] = []
    for (column, arm, epoch, site), values in found.items():
        usable = [value for value in values if math.isfinite(value) and value > 0]
        middle = median(usable) if usable else None
        ends = (min(usable), max(usable)) if usable else (None, None)
        about: dict[str, Cell] = {"column": column, "arm": arm, "epoch": epoch, "site": site}
        rows.append({**about, "median": middle, "low": ends[0], "high": ends[1]})
    return rows


def _has_gaps(rows: Sequence[dict[str, Cell]]) -> bool:
    return any(row["median"] is None for row in rows)


def _domain(rows: Sequence[dict[str, Cell]]) -> tuple[float, float] | None:
    """One range for the panels of a row, so that arms can be compared."""
    values = [float(row["median"]) for row in rows if isinstance(row["median"], int | float)]
    if not values:
        return None
    low, high = min(values), max(values)
    return (low / 1.2, high * 1.2)


def _unit(column: str) -> str:
    return "nat" if column == "gradient_norm" else ""


def _number(value: Cell) -> str:
    return f"{value:g}"
