"""The map of step sizes and inverse temperatures from which the sampling of a coefficient was chosen."""

from collections.abc import Sequence
from typing import Any

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, FigureSpec, Layer, Panel, Shades
from epochal.report.against import columns_table
from epochal.report.figure import Options, figure
from epochal.report.reading import RunLike
from epochal.store.calibration import NAME
from epochal.store.documents import read_json

ACCEPTED = 0.9
BELOW = 0.6


class CalibrationOptions(Options):
    """Nothing is left to choose."""


def on_page(run: RunLike) -> CalibrationOptions | None:
    return CalibrationOptions() if (run.path / NAME).exists() else None


@figure(
    "estimates of the learning coefficient over step size and inverse temperature, and what was chosen",
    options=CalibrationOptions,
    on_page=on_page,
    place=72,
)
def calibration(run: RunLike, options: CalibrationOptions) -> FigureSpec:
    path = run.path / NAME
    if not path.exists():
        raise UserError(f"{run.name} is not calibrated: epochal calibrate {run.name}")
    found = read_json(path)
    settings = found["settings"]
    cells = [_cell(row, settings) for row in found["map"]]
    values = [float(row["llc"]) for row in cells if isinstance(row["llc"], int | float)]
    hover = {
        "llc": "estimate",
        "standard_error": "standard error",
        "verdict": "chains",
        "diverged": "diverged chains",
    }
    layers = [
        Layer(mark="cell", table="none", x="step", y="n_beta"),
        Layer(mark="cell", table="map", x="step", y="n_beta", colour="llc", hover=hover),
        Layer(mark="point", table="unsettled", x="step", y="n_beta", shape="cross", hover=hover),
        Layer(
            mark="point", table="chosen", x="step", y="n_beta", shape="ring", emphasis="strong", hover=hover
        ),
    ]
    parts = {
        "none": [row for row in cells if row["llc"] is None],
        "map": [row for row in cells if row["llc"] is not None],
        "unsettled": [row for row in cells if row["verdict"] != "equilibrated"],
        "chosen": [row for row in cells if row["chosen"] == "chosen"],
    }
    rates: list[dict[str, Cell]] = [dict(row) for row in found["acceptance"]]
    marks = [{"chosen": settings["step_size"], "wanted": ACCEPTED}]
    steps = [str(row["step"]) for row in sorted(cells, key=lambda row: float(row["step_size"] or 0))]
    betas = [str(row["n_beta"]) for row in sorted(cells, key=lambda row: float(row["beta"] or 0))]
    map_panel = Panel(
        x=Axis(label="step size", scale="category", order=tuple(dict.fromkeys(steps))),
        y=Axis(label="n beta", scale="category", order=tuple(dict.fromkeys(betas))),
        layers=tuple(layer for layer in layers if parts[layer.table]),
        title="estimate",
    )
    rate_panel = Panel(
        x=Axis(label="step size", scale="log"),
        y=Axis(label="acceptance of MALA on all data", domain=(0.0, 1.0)),
        layers=(
            Layer(mark="rule", table="marks", y="wanted", emphasis="faint"),
            Layer(mark="rule", table="marks", x="chosen"),
            Layer(mark="line", table="acceptance", x="step_size", y="acceptance"),
            Layer(mark="point", table="acceptance", x="step_size", y="acceptance",
                  hover={"step_size": "step size", "acceptance": "acceptance"}),
        ),
        title="acceptance",
    )  # fmt: skip
    return FigureSpec(
        name="calibration",
        title="Calibration of the local learning coefficient",
        caption=_caption(found, bool(parts["chosen"]), len(parts["unsettled"]), len(cells)),
        tables={name: columns_table(rows) for name, rows in parts.items() if rows}
        | {"acceptance": columns_table(rates), "marks": columns_table(marks)},
        panels=(map_panel, rate_panel),
        colour=_shades(values),
        per_row=2,
    )


def _shades(values: Sequence[float]) -> Shades:
    """The ramp begins well below the least value: crosses must be seen on every cell."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low > 0 and high > low:
        return Shades(title="estimate", domain=(low / (high / low) ** BELOW, high), scale="log")
    width = high - low or 1.0
    return Shades(title="estimate", domain=(low - BELOW * width, high if high > low else low + 1.0))


def _cell(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, Cell]:
    """One step size at one inverse temperature; what is not known is None."""
    is_chosen = row["step_size"] == settings["step_size"] and row["n_beta"] == settings["n_beta"]
    return {
        "step": f"{row['step_size']:.2g}",
        "n_beta": f"{row['n_beta']:.3g}",
        "step_size": row["step_size"],
        "beta": row["n_beta"],
        "llc": row["llc"],
        "standard_error": row["standard_error"],
        "verdict": "equilibrated" if row["equilibrated"] else "not equilibrated",
        "diverged": row["diverged"],
        "chosen": "chosen" if is_chosen else "",
    }


def _caption(found: dict[str, Any], is_on_map: bool, num_unsettled: int, num_cells: int) -> str:
    settings = found["settings"]
    chosen = f"step size {settings['step_size']:.3g}, n beta {settings['n_beta']:.4g}"
    outside = "it was given" if "step_size" in found.get("given", ()) else "chosen outside it"
    place = (
        f"ring: what was chosen, {chosen}"
        if is_on_map
        else f"what was chosen, {chosen}, lies beside the map ({outside})"
    )
    verdict = "equilibrated" if found["estimate"]["equilibrated"] else "not equilibrated"
    return (
        f"Left: n beta (E[L] - L(w*)) of short chains at member {found['member']}, step {found['step']:,}, "
        f"gamma {settings['gamma']:.3g} of the choice; {place}. Crosses: chains that had not settled "
        f"({num_unsettled} of {num_cells}), whose number is no estimate; grey: all diverged. Right: share of "
        f"steps accepted on all data, beside the {ACCEPTED:g} that is asked for; upright, the chosen step. "
        f"{settings['draws']:,} draws after {settings['burn_in']:,} with these settings are {verdict}."
    )
