"""What was judged is kept in the run, beside what probes measured: a row per network and checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.identity import SEMANTICS, digest
from epochal.launch.credit.null import Judged
from epochal.store.probe_tables import KEYS, ProbeTable
from epochal.store.run import Run
from epochal.store.schema import polars_schema

NAME = "credit_null"
UNITS = {
    "credit_cosine": "cosine",
    "credit_null_mean": "cosine",
    "credit_null_sd": "cosine",
    "credit_z": "null sd",
    "credit_p": "probability",
    "credit_adjusted_p": "probability",
    "credit_isometric_reference": "cosine",
}


def keep(run: Run, judged: Sequence[Judged], options: Mapping[str, Any]) -> Path:
    """Writes ``probes/credit_null-HASH.parquet``; adjusted p are of the members' checkpoints in it.

    Another set of members or checkpoints is another table, since p-values are adjusted over checkpoints.
    """
    checkpoints = sorted({(one.member, site.checkpoint) for one in judged for site in one.joint.sites})
    about = {"options": {**options, "checkpoints": checkpoints}, "source": "", "semantics": SEMANTICS}
    columns = {
        name: {"dtype": "list[float64]", "unit": unit, "null": None, "source": "epochal.analysis.nulls"}
        for name, unit in UNITS.items()
    }
    table = ProbeTable(
        paths=run.paths,
        name=NAME,
        digest=digest({"probe": NAME, **about})[:8],
        columns=columns,
        about=about,
    )
    epoch = dict(run.metrics.select("step", "epoch").iter_rows())
    rows = []
    for one in judged:
        for step in sorted({site.checkpoint for site in one.joint.sites}):
            sites = [site for site in one.joint.sites if site.checkpoint == step]
            nulls = [site.null for site in sites]
            rows.append(
                {
                    "member": one.member,
                    "step": step,
                    "epoch": epoch.get(step),
                    "credit_cosine": [null.statistic for null in nulls],
                    "credit_null_mean": [null.null_mean for null in nulls],
                    "credit_null_sd": [null.null_sd for null in nulls],
                    "credit_z": [null.z for null in nulls],
                    "credit_p": [null.p for null in nulls],
                    "credit_adjusted_p": [site.adjusted_p for site in sites],
                    "credit_isometric_reference": [null.isometric_reference for null in nulls],
                }
            )
    first = judged[0].joint.sites
    labels = {name: list(dict.fromkeys(site.name for site in first)) for name in UNITS}
    table.write(pl.DataFrame(rows, schema=polars_schema({**KEYS, **columns})), labels)
    return table.path
