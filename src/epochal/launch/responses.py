"""Influences and susceptibilities of one member of a run at one snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.options import parse_options
from epochal.launch.member_view import view_of
from epochal.probes.learning_coefficient.along import loss_of
from epochal.probes.learning_coefficient.effort import Progress
from epochal.probes.learning_coefficient.influence import influences_at, susceptibilities_at
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.llc import CoefficientOptions
from epochal.store.calibration import calibrated
from epochal.store.responses import write_responses
from epochal.store.run import Run

RESPONSES_FORMAT = 1
DRAWS = 500
"""Of a chain, where none are given or calibrated."""

MOST_EXAMPLES = 200
"""The first of the training set, where none are named: each costs a forward pass per draw."""


@dataclass(frozen=True, kw_only=True)
class Responses:
    """A row per pair, with ``value`` and ``standard_error``; whether chains had settled; where it is kept."""

    table: pl.DataFrame
    is_settled: bool
    doubts: list[str]
    label: str
    path: Path


def influences_of_run(
    run: Run,
    options: Mapping[str, object],
    *,
    of: Sequence[int] | None,
    on: Sequence[int] | None,
    is_correlation: bool,
    member: int | None = None,
    step: int | None = None,
    progress: Progress,
) -> Responses:
    """Columns ``of``, ``on``: numbers of training examples. Kept as ``influences.parquet``.

    Raises:
        UserError: no such member, snapshot or example, or an option that does not fit.
    """
    settings, given, taken = _settings(run, options)
    view, member, step = view_of(run, member, step, purpose="an influence")
    loss, restrict = loss_of(view), given.restrict
    every = range(min(loss.size, MOST_EXAMPLES))
    found = influences_at(
        loss, view.layout, view.flat, _seeded(settings, view), of=of or every[:5], on=on or every,
        correlation=is_correlation, restrict=restrict, progress=progress,
    )  # fmt: skip
    rows = [
        {"of": i, "on": j, "value": float(v), "standard_error": float(e)}
        for i, values, errors in zip(found.of, found.values, found.standard_errors, strict=True)
        for j, v, e in zip(found.on, values, errors, strict=True)
    ]
    about = {"measure": "correlation" if is_correlation else "covariance", "calibrated": taken}
    return _kept(run, "influences", rows, [("all", found.estimate)], about, member, step)


def susceptibilities_of_run(
    run: Run,
    options: Mapping[str, object],
    *,
    examples: Sequence[int] | None,
    member: int | None = None,
    step: int | None = None,
    progress: Progress,
) -> Responses:
    """Columns ``block``, ``example``. Kept as ``susceptibilities.parquet``; blocks by ``blocks=``, each.

    Raises:
        UserError: as of `influences_of_run`, or no such block.
    """
    settings, given, taken = _settings(run, options)
    if given.restrict:
        raise UserError("restrict does not apply: name blocks, as in epochal susceptibilities RUN blocks=...")
    view, member, step = view_of(run, member, step, purpose="a susceptibility")
    loss = loss_of(view)
    found = susceptibilities_at(
        loss, view.layout, view.flat, _seeded(settings, view), blocks=given.blocks or ("each",),
        examples=examples or range(min(loss.size, MOST_EXAMPLES)), progress=progress,
    )  # fmt: skip
    rows = [
        {"block": block, "example": i, "value": float(v), "standard_error": float(e)}
        for block, values, errors in zip(found.blocks, found.values, found.standard_errors, strict=True)
        for i, v, e in zip(found.examples, values, errors, strict=True)
    ]
    estimates = list(zip([*found.blocks, "all"], found.estimates, strict=True))
    return _kept(run, "susceptibilities", rows, estimates, {"calibrated": taken}, member, step)


def _settings(
    run: Run, options: Mapping[str, object]
) -> tuple[dict[str, Any], CoefficientOptions, dict[str, Any]]:
    """Of the probe llc: given, else calibrated, else usual; and which were calibrated."""
    taken = calibrated(run, options)
    given = parse_options(CoefficientOptions, {"draws": DRAWS} | taken | dict(options), "llc")
    assert isinstance(given, CoefficientOptions)
    return given.model_dump(exclude={"restrict", "blocks", "traces"}), given, taken


def _seeded(settings: dict[str, Any], view: Any) -> Settings:
    return Settings(**settings, seed=int(view.fields["seed"]))


def _kept(
    run: Run, name: str, rows: list[dict[str, Any]], estimates: Sequence[tuple[str, Any]],
    about: dict[str, Any], member: int, step: int,
) -> Responses:  # fmt: skip
    doubts = [f"{block}: {reason}" for block, found in estimates for reason in found.reasons]
    table, label = pl.DataFrame(rows), estimates[-1][1].label
    content = {"format": RESPONSES_FORMAT, "member": member, "step": step, **about, "sampling": label,
               "equilibrated": not doubts, "reasons": doubts}  # fmt: skip
    path = write_responses(run, name, table, content)
    return Responses(table=table, is_settled=not doubts, doubts=doubts, label=label, path=path)
