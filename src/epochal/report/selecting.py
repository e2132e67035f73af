"""Some members of a population, by their fields."""

from collections.abc import Mapping

import polars as pl

from epochal.core.values.axes import expand
from epochal.core.values.errors import UserError
from epochal.report.reading import FIXED, RunLike, as_text, field_values
from epochal.report.several import Together, parts_of
from epochal.store.filter import comparable


def only(run: RunLike, wanted: Mapping[str, str]) -> RunLike:
    """The members with a wanted value of every field; values as in a request (``0.1,0.3``, ``0:5``).

    Fields in which these no longer differ are left out, so that nothing is drawn or pooled over them.

    Raises:
        UserError: no such field, a value that is none, or no such member.
    """
    if not wanted:
        return run
    keep = pl.Series("keep", [True] * len(run.members))
    for field, text in wanted.items():
        values = field_values(run, field)
        try:
            chosen = {comparable(value) for value in [*expand(text, numeric=True), text]}
        except ValueError as error:
            raise UserError(f"--only {field}={text} {error}") from error
        fits = pl.Series("keep", [comparable(value) in chosen for value in values])
        if not fits.any():
            known = ", ".join(dict.fromkeys(as_text(value) for value in values[:400]))
            raise UserError(f"--only {field}={text}: no member of {run.name} has it; there is {known}")
        keep = keep & fits
    if not keep.any():
        given = " ".join(f"{field}={text}" for field, text in wanted.items())
        raise UserError(f"no member of {run.name} has {given} together; leave one out")
    members = run.members.filter(keep)
    same = [c for c in members.columns if c not in FIXED and members[c].n_unique() == 1]
    shared = {c: members[c][0] for c in same}
    kept = pl.col("member").is_in(members["member"].to_list())
    return Together(
        path=run.path,
        name=run.name,
        metrics=run.metrics.filter(kept),
        members=members.drop(same),
        events=run.events.filter(kept) if len(run.events) else run.events,
        spec={**run.spec, "fields": {**run.spec.get("fields", {}), **shared}} if shared else run.spec,
        environment=run.environment,
        schema=run.schema,
        is_done=run.is_done,
        parts=parts_of(run),
    )
