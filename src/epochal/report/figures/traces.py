"""What the chains of a learning coefficient did, draw by draw, at some of a member's snapshots."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.coefficient_rows import PROBE
from epochal.report.figure import Options, figure
from epochal.report.reading import RunLike
from epochal.store.paths import RunPaths
from epochal.store.probe_tables import read_kept

KEPT = "llc_traces"
MOST_POINTS = 400
"""Per chain: with more draws, means of neighbouring ones are drawn."""

Trace = NDArray[np.floating]


class TraceOptions(Options):
    """Whose chains."""

    member: int = Field(default=0, ge=0, description="the member")
    panels: int = Field(default=4, ge=1, le=24, description="snapshots, spread evenly over those measured")
    table: str = Field(default="", description="part of a table's name, where several have traces")


@figure(
    "traces of the chains behind the local learning coefficient: do they agree, do they drift?",
    options=TraceOptions,
)
def traces(run: RunLike, options: TraceOptions) -> FigureSpec:
    kept = _kept(run, options.table)
    steps = sorted(step for member, step in kept if member == options.member)
    if not steps:
        members = ", ".join(sorted({str(member) for member, _ in kept}, key=int))
        raise UserError(f"{run.name} has traces of member {members}, none of member {options.member}")
    places = np.unique(np.linspace(0, len(steps) - 1, min(options.panels, len(steps))).round().astype(int))
    shown = [steps[place] for place in places]
    tables, panels, block, chains = {}, [], 1, 0
    for step in shown:
        values = np.atleast_2d(kept[options.member, step][KEPT])
        block = max(1, -(-values.shape[1] // MOST_POINTS))
        chains = max(chains, len(values))
        tables[f"step_{step}"] = _table(values, block)
        line = Layer(mark="line", table=f"step_{step}", x="draw", y="value", by="chain", colour="chain")
        panels.append(
            Panel(
                x=Axis(label="draw after burn-in"), y=Axis(label="n_beta (L - L*)"), layers=(line,),
                title=f"step {step:,}", height=200,
            )
        )  # fmt: skip
    means = f" Each point is the mean of {block} draws." if block > 1 else ""
    return FigureSpec(
        name="traces",
        title="Traces of the chains",
        caption=f"Member {options.member}: excess loss times n_beta, whose mean over draws and chains is the "
        f"estimate of the learning coefficient. Settled chains lie on each other and do not drift.{means}",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="chain", values=tuple(str(chain) for chain in range(chains))),
        per_row=min(2, len(panels)),
    )


def _kept(run: RunLike, table: str) -> dict[tuple[int, int], dict[str, Trace]]:
    """Member and step to what was kept of them, from the one file that has traces."""
    folder = RunPaths(run.path).probes
    found: dict[Path, dict[tuple[int, int], dict[str, Trace]]] = {}
    for file in sorted(folder.glob(f"{PROBE}*.safetensors")):
        kept = {at: arrays for at, arrays in read_kept(file).items() if KEPT in arrays}
        if kept and table in file.name:
            found[file] = kept
    if not found:
        raise UserError(
            f"{run.name} has no traces{f' in a table {table}' if table else ''}: measure its snapshots with "
            f"`epochal probe {run.name} {PROBE}`"
        )
    if len(found) > 1:
        names = ", ".join(file.stem for file in found)
        raise UserError(f"{run.name} has traces in {len(found)} tables; choose one with table=: {names}")
    return next(iter(found.values()))


def _table(values: Trace, block: int) -> dict[str, list[Cell]]:
    """Means of ``block`` neighbouring draws of ``values [chains, draws]``, chain by chain."""
    rows: dict[str, list[Cell]] = {"chain": [], "draw": [], "value": []}
    starts = range(0, values.shape[1], block)
    for chain, draws in enumerate(values):
        rows["chain"] += [str(chain)] * len(starts)
        rows["draw"] += [start + (min(block, len(draws) - start) + 1) / 2 for start in starts]
        rows["value"] += [float(draws[start : start + block].mean()) for start in starts]
    return rows
