"""A run as its reader sees it: tables, settings and snapshots, of a finished run or of one at work."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, finding_of
from epochal.store.documents import read_json, read_parquet, read_spec
from epochal.store.paths import RunPaths
from epochal.store.probe_tables import listed
from epochal.store.records import read_records
from epochal.store.run_findings import read_findings
from epochal.store.sealed import Array
from epochal.store.snapshots import has_member, load_member_snapshot, snapshot_steps
from epochal.store.tables import EVENT_SCHEMA

Modeller = Callable[["Run", int, int | None], Any]
"""Makes a network of a run, a member and a step; given from outside, since the store knows no torch."""

Exporter = Callable[["Run", int, int | None, Path], Path]
"""Writes such a network to a file."""

Painter = Callable[["Run"], Any]
"""Draws the figures of a run; given from outside, since the store draws nothing."""

Prober = Callable[..., pl.DataFrame]
"""Measures snapshots: a run, a probe's name, its options, then ``members``, ``steps``, ``progress``."""


def load(
    path: Path | str,
    *,
    modeller: Modeller | None = None,
    exporter: Exporter | None = None,
    painter: Painter | None = None,
    prober: Prober | None = None,
) -> "Run":
    """The run in the directory ``path``. Reads ``spec.json``; the rest is read when asked for, and kept.

    Takes no lock and executes nothing of the run's. `find_run` turns part of a name into a path.

    Raises:
        UserError: not a run, or of a format that this version does not read.
    """
    path = Path(path)
    return Run(
        path=path,
        spec=read_spec(path),
        modeller=modeller,
        exporter=exporter,
        painter=painter,
        prober=prober,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a run directory says. A table of a run at work is as it was when first asked for."""

    path: Path
    spec: dict[str, Any]
    modeller: Modeller | None = None
    exporter: Exporter | None = None
    painter: Painter | None = None
    prober: Prober | None = None

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.path)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @cached_property
    def environment(self) -> dict[str, Any]:
        return read_json(self.paths.environment)

    @cached_property
    def schema(self) -> dict[str, dict[str, Any]]:
        """Column of the metrics to its ``dtype`` and what else was declared (unit, null, source)."""
        columns: dict[str, dict[str, Any]] = read_json(self.paths.schema)["columns"]
        return columns

    @property
    def is_done(self) -> bool:
        return self.paths.done.exists()

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """``member``, ``step``, ``epoch``, one column per probe; by member and step; null: not measured."""
        if self.is_done and self.paths.metrics.exists():
            return read_parquet(self.paths.metrics)
        records = read_records(self.paths.all_records(), self.schema)
        return records.sort("member", "step", maintain_order=True)

    @cached_property
    def members(self) -> pl.DataFrame:
        """``member``, ``member_id``, the varied fields, ``outcome``, ``outcome_step``, ``outcome_reason``."""
        return read_parquet(self.paths.members)

    @cached_property
    def events(self) -> pl.DataFrame:
        """Rows of `EVENT_SCHEMA`; empty where nobody has looked for events."""
        if not self.paths.events.exists():
            return pl.DataFrame(schema=EVENT_SCHEMA)
        return read_parquet(self.paths.events)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What its page claims, all of it exploratory, p adjusted over all of them."""
        return tuple(map(finding_of, read_findings(self.path).findings))

    @property
    def snapshots(self) -> list[int]:
        """Steps with a snapshot, ascending."""
        return snapshot_steps(self.paths.snapshots)

    def snapshot(self, member: int, step: int) -> dict[str, Array]:
        """The flat rows of one member at ``step``: ``params`` ``[P]`` and whatever the engine stored with it.

        Raises:
            UserError: there is none at that step (with the nearest steps), or it is damaged.
        """
        return load_member_snapshot(self.paths.snapshots, member, step)

    def last_snapshot(self, member: int) -> int:
        """The last step with a snapshot of this member: one that stopped early has left the later ones.

        Raises:
            UserError: there is none.
        """
        for step in reversed(self.snapshots):
            if has_member(self.paths.snapshots, member, step):
                return step
        raise UserError(f"{self.name} has no snapshot of member {member} yet")

    @property
    def probes(self) -> pl.DataFrame:
        """What was measured after training, a row per table: probe, options, rows, members, steps, file."""
        return listed(self.paths)

    def probe(
        self,
        name: str,
        *,
        members: Iterable[int] | None = None,
        steps: Iterable[int] | None = None,
        progress: bool = True,
        **options: Any,
    ) -> pl.DataFrame:
        """Measures snapshots (by default all) and keeps the table; what is in it is not measured again.

        ``name`` is a probe, ``NAME@LABEL``, or ``./FILE.py:NAME`` of your own. The columns are ``member``,
        ``step``, ``epoch`` and the probe's.

        Raises:
            UserError: no such probe, option, member or snapshot; or the run was opened by `epochal.store`
                itself: open it with `epochal.load`.
        """
        if self.prober is None:
            raise UserError("this run was opened without a way to measure it; open it with epochal.load")
        return self.prober(self, name, options, members=members, steps=steps, progress=progress)

    def model(self, member: int, step: int | None = None) -> Any:
        """The network of a member at a step with a snapshot (the last by default), as an ``nn.Module``.

        Raises:
            UserError: no such member or snapshot; or the run was opened by `epochal.store` itself, which
                cannot build networks: open it with `epochal.load`.
        """
        if self.modeller is None:
            raise UserError("this run was opened without a way to build networks; open it with epochal.load")
        return self.modeller(self, member, step)

    def export(self, member: int, step: int | None, path: Path | str) -> Path:
        """Write what `model` gives as a state dict that ``torch.load(path, weights_only=True)`` reads.

        Raises:
            UserError: as `model`, or ``path`` lies in no folder.
        """
        if self.exporter is None:
            raise UserError("this run was opened without a way to build networks; open it with epochal.load")
        return self.exporter(self, member, step, Path(path))

    def figures(self) -> Any:
        """The figures of the report, by number or name; a notebook shows them.

        Raises:
            UserError: the run was opened by `epochal.store` itself: open it with `epochal.load`.
        """
        if self.painter is None:
            raise UserError("this run was opened without a way to draw; open it with epochal.load")
        return self.painter(self)

    def _repr_html_(self) -> str:
        from epochal.store.card import card

        return card(self)
