"""What a report reads of a run: its members' names, and which fields tell them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Colour
from epochal.core.values.nearest import did_you_mean

FIXED = ("member", "member_id", "outcome", "outcome_step", "outcome_reason")
"""Columns of the members' table that are not varied fields."""
KEYS = ("member", "step", "epoch")
"""Columns of the metrics that are not measures."""
MAX_HUES = 8
MAX_FACETS = 6
MAX_PANELS = 16
"""Of a field that was asked for."""
MAX_GROUPS = 60


class RunLike(Protocol):
    """The part of ``epochal.store.run.Run`` that reports need."""

    @property
    def path(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def metrics(self) -> pl.DataFrame: ...
    @property
    def members(self) -> pl.DataFrame: ...
    @property
    def events(self) -> pl.DataFrame: ...
    @property
    def spec(self) -> Mapping[str, Any]: ...
    @property
    def environment(self) -> Mapping[str, Any]: ...
    @property
    def schema(self) -> Mapping[str, Any]: ...
    @property
    def is_done(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which varied field gives the colour, which the panels, and which are pooled; seeds are replicates."""

    colour: str | None = None
    facet: str | None = None
    pooled: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """Values of the colour field as text, in order."""
    facets: tuple[str, ...] = ()
    is_ordered: bool = False

    @property
    def scale(self) -> Colour | None:
        return Colour(title=self.colour, values=self.values, ordered=self.is_ordered) if self.colour else None


def varied_fields(run: RunLike) -> list[str]:
    """Fields in which the members differ, in the order of the members' table."""
    return [column for column in run.members.columns if column not in FIXED]


def is_replicate(field: str) -> bool:
    """Whether members that differ in this field only are repetitions of one experiment.

    ``log`` names the file of a run from elsewhere, of which nothing else is known.
    """
    return field == "log" or field.startswith("seed") or field.endswith("_seed")


def grouping(run: RunLike, colour: str = "auto", panels: str = "auto") -> Grouping:
    """Colour for the field with most values, panels for a second one, where the eye can tell them apart.

    ``colour`` and ``panels`` may name the field, or be ``none``.

    Raises:
        UserError: members do not differ in that field, or it has too many values.
    """
    if panels == colour and panels not in ("auto", "none"):
        raise UserError(f"colour={colour} and panels={panels} are one field; take none for one of them")
    facet = panels if panels in ("auto", "none") else _panel_field(run, panels)
    if colour not in ("auto", "none"):
        return _coloured_by(run, check_field(run, colour), facet)
    distinct = {f: _distinct(run.members[f]) for f in varied_fields(run) if not is_replicate(f)}
    distinct |= {facet: _distinct(run.members[facet])} if facet not in ("auto", "none") else {}
    fields = [f for f, values in distinct.items() if len(values) > 1]
    by_size = sorted((f for f in fields if f != facet), key=lambda f: -len(distinct[f]))
    can_colour = [f for f in by_size if len(distinct[f]) <= (MAX_GROUPS if _is_number(run, f) else MAX_HUES)]
    field = can_colour[0] if can_colour and colour == "auto" else None
    return _grouped(run, distinct, field, facet)


def _panel_field(run: RunLike, field: str) -> str:
    num = len(_distinct(run.members[check_field(run, field)]))
    if num > MAX_PANELS:
        raise UserError(f"panels={field} has {num} values, more than {MAX_PANELS}; keep some with --only")
    return field


def _coloured_by(run: RunLike, field: str, facet: str) -> Grouping:
    given = (field, facet)
    distinct = {f: _distinct(run.members[f]) for f in varied_fields(run) if f in given or not is_replicate(f)}
    most = MAX_GROUPS if _is_number(run, field) else MAX_HUES
    if len(distinct[field]) > most:
        raise UserError(
            f"colour={field} has {len(distinct[field])} values, more than {most}; take another field"
        )
    return _grouped(run, distinct, field, facet)


def _grouped(run: RunLike, distinct: Mapping[str, list[str]], colour: str | None, panels: str) -> Grouping:
    fields = [f for f, values in distinct.items() if len(values) > 1]
    by_size = sorted(fields, key=lambda f: -len(distinct[f]))
    rest = [f for f in by_size if f != colour]
    can_facet = [f for f in rest if len(distinct[f]) <= MAX_FACETS and _crosses(run, colour, f)]
    facet = can_facet[0] if can_facet and colour and panels == "auto" else None
    facet = panels if panels not in ("auto", "none") else facet
    return Grouping(
        colour=colour,
        facet=facet,
        pooled=tuple(f for f in fields if f not in (colour, facet)),
        values=tuple(distinct[colour]) if colour else (),
        facets=tuple(distinct[facet]) if facet else (),
        is_ordered=bool(colour) and _is_number(run, colour or ""),
    )


def member_table(run: RunLike, groups: Grouping | None = None) -> pl.DataFrame:
    """One row per member: ``member``, ``label``, ``colour`` and ``facet`` as text."""
    groups, fields = groups or grouping(run), varied_fields(run)
    rows = [
        {
            "member": row["member"],
            "label": setting_words(row, fields) or f"member {row['member']}",
            "colour": as_text(row[groups.colour]) if groups.colour else "",
            "facet": as_text(row[groups.facet]) if groups.facet else "",
        }
        for row in run.members.iter_rows(named=True)
    ]
    schema = dict.fromkeys(("member", "label", "colour", "facet"), pl.String()) | {"member": pl.Int64()}
    return pl.DataFrame(rows, schema=schema)


def setting_words(values: Mapping[str, object], fields: Sequence[str], *, between: str = " · ") -> str:
    """Fields with their values, as every figure and table names them: ``weight_decay 0.1 · seed 3``.

    A field has the name that is typed, on axes and in legends, too: what is read can be asked for, and names
    carry their units. Measured columns and events are no fields and stand in words.
    """
    return between.join(f"{field} {as_text(values[field])}" for field in fields)


def as_text(value: object) -> str:
    """A field's value as a reader would type it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_text(v)}" for name, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value)) or "none"
    return "none" if value is None else str(value)


def field_values(run: RunLike, field: str, *, of: pl.DataFrame | None = None) -> list[Any]:
    """A field's value in every member, or in the rows ``of`` the members' table, where they differ or not.

    Raises:
        UserError: the run has no such field; those in which members differ are named.
    """
    rows = run.members if of is None else of
    if field in varied_fields(run):
        return rows[field].to_list()
    shared = run.spec.get("fields", {})
    if field not in shared:
        check_field(run, field)
    return [shared[field]] * len(rows)


def fields_of(run: RunLike, member: int) -> dict[str, Any]:
    """Every field of a member, with the value that it has where members differ."""
    row = run.members.filter(pl.col("member") == member)
    return {name: field_values(run, name, of=row)[0] for name in run.spec["fields"]}


def label_of(run: RunLike, member: int) -> str:
    row = run.members.filter(pl.col("member") == member).row(0, named=True)
    return setting_words(row, varied_fields(run)) or f"member {member}"


def measured_columns(run: RunLike) -> list[str]:
    """Numeric columns of the metrics with at least one value; keys and clocks are left out."""
    metrics = run.metrics
    numeric = [c for c, dtype in metrics.schema.items() if dtype.is_numeric() and c not in KEYS]
    return [c for c in numeric if metrics[c].null_count() < len(metrics) and not c.startswith("wall_")]


def check_field(run: RunLike, field: str) -> str:
    """A field in which the members differ.

    Raises:
        UserError: they do not; the fields in which they do are named.
    """
    fields = varied_fields(run)
    if field not in fields:
        known = f"its members differ in {', '.join(fields)}" if fields else "it has one member"
        raise UserError(f"{field} does not vary in {run.name}: {known}")
    return field


def check_columns(run: RunLike, columns: Sequence[str]) -> list[str]:
    """Columns of the metrics that were measured.

    Raises:
        UserError: one was not; the nearest are offered.
    """
    known = measured_columns(run)
    for column in columns:
        if column not in known:
            raise UserError(f"{run.name} has no column {column}{did_you_mean(column, known)}")
    return list(columns)


def _distinct(column: pl.Series) -> list[str]:
    values = column.unique(maintain_order=True).to_list()
    if column.dtype.is_numeric():
        values.sort(key=lambda v: (v is None, v or 0))
    return list(dict.fromkeys(as_text(v) for v in values))


def _is_number(run: RunLike, field: str) -> bool:
    return run.members.schema[field].is_numeric()


def _crosses(run: RunLike, colour: str | None, field: str) -> bool:
    """False where the colour already tells this field's value, as in a zip."""
    return colour is None or len(run.members.select(colour, field).unique()) > run.members[colour].n_unique()
