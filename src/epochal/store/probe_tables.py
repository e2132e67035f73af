"""What was measured on snapshots after training: ``probes/NAME-HASH.parquet``, and what it is beside it.

Beside it also lies ``NAME-HASH.safetensors`` where the probe keeps more than columns, such as traces.

HASH stands for the probe, its options, its source where it is a user's own, and the semantics version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.atomic import write_file
from epochal.store.documents import read_json, read_parquet, write_json, write_parquet
from epochal.store.paths import RunPaths
from epochal.store.schema import Schema, polars_schema
from epochal.store.sealed import Array, DamagedError, seal, unseal

KEYS: dict[str, str] = {"member": "int64", "step": "int64", "epoch": "float64"}

Kept = Mapping[tuple[int, int], Mapping[str, Array]]
"""Member and step to named arrays."""

LISTING: dict[str, pl.DataType] = {
    "probe": pl.String(),
    "options": pl.String(),
    "rows": pl.Int64(),
    "members": pl.Int64(),
    "steps": pl.Int64(),
    "file": pl.String(),
}


@dataclass(frozen=True, kw_only=True)
class ProbeTable:
    """One table of a run; ``about`` is JSON that says what was measured, ``columns`` its schema."""

    paths: RunPaths
    name: str
    digest: str
    columns: Schema
    about: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.paths.probes / f"{self.name}-{self.digest}.parquet"

    def read(self) -> pl.DataFrame:
        """``member``, ``step``, ``epoch`` and the probe's columns; empty where nothing was measured yet.

        Raises:
            UserError: the table is damaged.
        """
        if not self.path.exists():
            return pl.DataFrame(schema=polars_schema({**KEYS, **self.columns}))
        return read_parquet(self.path)

    @property
    def kept_path(self) -> Path:
        return self.path.with_suffix(".safetensors")

    def read_kept(self) -> dict[tuple[int, int], dict[str, Array]]:
        """What the probe kept besides, float32; empty where it keeps nothing.

        Raises:
            UserError: the file is damaged.
        """
        return read_kept(self.kept_path) if self.kept_path.exists() else {}

    def write_kept(self, kept: Kept) -> None:
        """Replace the file of what was kept: ``MEMBER/STEP/NAME`` to float32.

        Raises:
            UserError: the disk is full; the old file is untouched.
        """
        self.paths.probes.mkdir(exist_ok=True)
        tensors = {
            f"{member}/{step}/{name}": np.asarray(array, dtype=np.float32)
            for (member, step), arrays in sorted(kept.items())
            for name, array in arrays.items()
        }
        write_file(self.kept_path, seal(tensors, {"probe": self.name}, by_row=False))

    @property
    def labels(self) -> dict[str, list[str]]:
        """Array column to what its places stand for, of those that were told."""
        if not self.path.exists():
            return {}
        found: dict[str, list[str]] = read_json(self.path.with_suffix(".json")).get("labels", {})
        return found

    def write(self, table: pl.DataFrame, labels: Mapping[str, Sequence[str]] | None = None) -> None:
        """Replace the table, by member and step; ``labels`` say what the places of arrays stand for.

        Raises:
            UserError: the disk is full; the old table is untouched.
        """
        self.paths.probes.mkdir(exist_ok=True)
        about = {"probe": self.name, **self.about, "columns": self.columns}
        write_json(self.path.with_suffix(".json"), about | ({"labels": labels} if labels else {}))
        write_parquet(self.path, table.sort("member", "step"))


def read_kept(path: Path) -> dict[tuple[int, int], dict[str, Array]]:
    """Member and step to the arrays of a file that `ProbeTable.write_kept` has written.

    Raises:
        UserError: the file is damaged.
    """
    try:
        tensors, _ = unseal(path.read_bytes())
    except DamagedError as error:
        table = path.with_suffix(".parquet").name
        raise UserError(f"{path} is damaged ({error}): remove it and {table}, and measure again") from error
    kept: dict[tuple[int, int], dict[str, Array]] = {}
    for place, array in tensors.items():
        member, step, name = place.split("/", 2)
        kept.setdefault((int(member), int(step)), {})[name] = array
    return kept


def listed(paths: RunPaths) -> pl.DataFrame:
    """One row of `LISTING` per table that is there."""
    rows = []
    for file in sorted(paths.probes.glob("*.parquet")):
        about = read_json(file.with_suffix(".json"))
        table = read_parquet(file, columns=["member", "step"])
        options = json.dumps(about.get("options", {}))
        counts = (table.height, table["member"].n_unique(), table["step"].n_unique())
        rows.append((about.get("probe"), options, *counts, file.name))
    return pl.DataFrame(rows, schema=LISTING, orient="row")


def store_code(paths: RunPaths, name: str, source: bytes) -> None:
    """Keep the source of a probe of a user's own in the run, as ``code/NAME``.

    Raises:
        UserError: the disk is full.
    """
    target = paths.code / name
    if not target.exists():
        paths.code.mkdir(exist_ok=True)
        write_file(target, source)
