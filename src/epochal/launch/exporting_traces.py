"""Writes the traces that ``epochal probe RUN llc`` kept as one file for ArviZ."""

from pathlib import Path

import numpy as np

from epochal.analysis.chains.inference_data import inference_data, write_netcdf
from epochal.core.values.errors import UserError
from epochal.store.probe_tables import read_kept
from epochal.store.run import Run

TRACES = "llc_traces"


def export_traces(run: Run, path: Path, *, table: str = "") -> Path:
    """``n_beta (L_t - L(w*))`` as ``llc [chain, draw, member, step]`` of the group ``posterior``.

    ``table`` is a part of the name of the file of traces, where there are several. Members and steps that
    were not measured are NaN, as are chains from where they diverged.

    Raises:
        UserError: no traces, or several tables that fit; or ArviZ is not installed.
    """
    files = [file for file in sorted(run.paths.probes.glob("llc*.safetensors")) if table in file.name]
    if not files:
        fits = f" with {table} in their name" if table else ""
        raise UserError(f"{run.name} has no traces{fits}: measure them with epochal probe {run.name} llc")
    if len(files) > 1:
        raise UserError(
            f"{run.name} has {len(files)} tables of traces: give --table, a part of one of "
            f"{', '.join(file.name for file in files)}"
        )
    kept = read_kept(files[0])
    (name,) = {name for arrays in kept.values() for name in arrays if name.partition("@")[0] == TRACES}
    members, steps = (sorted({place[axis] for place in kept}) for axis in (0, 1))
    shape = next(iter(kept.values()))[name].shape
    draws = np.full((*shape, len(members), len(steps)), np.nan, dtype=np.float32)
    for (member, step), arrays in kept.items():
        draws[:, :, members.index(member), steps.index(step)] = arrays[name]
    about = {"run": run.name, "table": files[0].name, "unit": "n_beta (L_t - L(w*))"}
    data = inference_data(
        {"llc": draws}, {"llc": ["member", "step"]}, {"member": members, "step": steps}, about
    )
    write_netcdf(data, path)
    return path
