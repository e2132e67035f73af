"""Measures stored snapshots with a probe, as training would have, and keeps the table in the run."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.core.values.errors import UserError
from epochal.core.values.identity import SEMANTICS, digest
from epochal.core.values.options import parse_options
from epochal.core.values.probe_list import name_of, problem_of, split_entry
from epochal.core.values.source import copy_name, hashed, is_own, parts_of, read_source
from epochal.engine.observe import measure, split_orders
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.view import LiveView
from epochal.experiments.own_code import explained
from epochal.experiments.probes import load_probe
from epochal.experiments.restore import member_spec, program_of
from epochal.launch.execute import declared
from epochal.launch.numerics import steady
from epochal.launch.stored_population import StoredPack
from epochal.launch.trajectory import Values, along_members
from epochal.store.calibration import calibrated
from epochal.store.probe_tables import KEYS, Kept, ProbeTable, store_code
from epochal.store.run import Run
from epochal.store.schema import polars_schema
from epochal.store.snapshots import members_at, packs_at

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A probe with its options, and the table it fills."""

    probe: ConfiguredProbe
    table: ProbeTable
    calibrated: Mapping[str, object] = field(default_factory=dict)
    """Options that nobody gave and that calibration.json has."""


def measurement(run: Run, name: str, options: Mapping[str, object], prefix: str = "") -> Measurement:
    """A probe by ``NAME``, ``NAME@LABEL`` or ``FILE.py:NAME``; the source of one's own is kept in the run.

    A probe of one's own that the run itself records is found by its name, in the run's copy.

    Raises:
        UserError: there is no such probe, or an option does not fit; ``prefix`` stands before its name.
    """
    entry, code = _entry(run, name)
    token, label = split_entry(entry)
    found = load_probe(token, code)
    taken = calibrated(run, options) if found.name == "llc" else {}
    probe = found.configured(parse_options(found.options, taken | dict(options), found.name, prefix), label)
    probe = probe.following(run.spec.get("fields") or {})
    source = parts_of(token)[1] if is_own(token) else ""
    if source:
        copy = copy_name(code[source], source)
        store_code(run.paths, copy, read_source(code[source], source))
    about = {
        "options": probe.options.model_dump(mode="json"),
        "source": source,
        "semantics": SEMANTICS,
    }
    table = ProbeTable(
        paths=run.paths,
        name=probe.name,
        digest=digest({"probe": probe.name, **about})[:8],
        columns=declared([probe], across=True),
        about=about,
    )
    return Measurement(probe=probe, table=table, calibrated=taken)


def measure_snapshots(
    run: Run,
    wanted: Measurement,
    *,
    members: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    progress: Progress = lambda done, of: None,
) -> pl.DataFrame:
    """The table of these members and steps (by default all that have a snapshot).

    What is in the table already is not measured again. A pack is measured whole, with the values that
    training would have recorded, bit for bit; a part of it agrees to rounding, and so do probes that measure
    several snapshots of a member together. Members that had diverged have no row. Interrupted, it keeps what
    it has.

    Raises:
        UserError: no such member, no snapshot at a step, or a damaged one.
    """
    every = list(range(len(run.members)))
    members = _checked(run, "member", every if members is None else members, every)
    steps = _checked(run, "snapshot of step", run.snapshots if steps is None else steps, run.snapshots)
    old, fresh, labels = wanted.table.read(), [], wanted.table.labels
    there = set(old.select("member", "step").iter_rows())
    kept = wanted.table.read_kept() if wanted.probe.kept else {}
    is_along = wanted.probe.probe.along is not None
    measured = along_members if is_along else _whole_packs
    work = list(_work(run, members, steps, there))
    missing = [sum((member, step) not in there for member in group) for _, group, step in work]
    done, total = 0, sum(missing) if is_along else len(work)
    try:
        with steady(run.spec["fields"].get("threads")):
            for pack, group, due in _grouped(work):
                program = program_of(run, group, executor=run.spec["executors"][pack])
                start = initial_population(program)
                labels = labels or _labels(program, start, wanted.probe)
                stored = StoredPack(run=run, program=program, start=start, number=pack, members=group)
                for values in measured(wanted.probe, stored, due, there):
                    fresh.append(_table(wanted.probe, program, values))
                    kept |= _besides(wanted.probe, values)
                    done += 1
                    progress(done, total)
    finally:
        if fresh:
            old = pl.concat([old, *fresh]).unique(["member", "step"], keep="last")
            old = with_changes(old, wanted.probe, kept)
            if wanted.probe.kept:
                wanted.table.write_kept(kept)
            wanted.table.write(old, labels)
    is_asked = pl.col("member").is_in(members) & pl.col("step").is_in(steps)
    return old.filter(is_asked).sort("member", "step")


def _entry(run: Run, name: str) -> tuple[str, dict[str, str]]:
    """The entry of a list of probes that a name means, and where own code lies."""
    settings, code = hashed({"probes": name})
    entry = str(settings["probes"])
    probe, label = split_entry(entry)
    if not is_own(probe):
        copies = member_spec(run, 0).code
        recorded = [split_entry(mine)[0] for mine in run.spec["fields"]["probes"]]
        own = [mine for mine in recorded if is_own(mine) and name_of(mine) == probe]
        if own:
            entry, code = "@".join([own[0], *([label] if label else [])]), copies
    if problem := problem_of([entry]):
        raise UserError(problem.removeprefix("probes has "))
    return entry, code


def _checked(run: Run, what: str, given: Sequence[int], known: Sequence[int]) -> list[int]:
    missing = [number for number in given if number not in known]
    if missing:
        near = sorted(sorted(known, key=lambda number: abs(number - missing[0]))[:5])
        have = f"the nearest are {', '.join(map(str, near))}" if near else "there are none yet"
        raise UserError(f"{run.name} has no {what} {missing[0]}; {have}")
    return list(dict.fromkeys(given))


Work = tuple[int, tuple[int, ...], int]
"""A pack, the members of it to measure, a step."""


def _work(
    run: Run, members: Sequence[int], steps: Sequence[int], there: set[tuple[int, int]]
) -> Iterator[Work]:
    asked, stored = set(members), {step: packs_at(run.paths.snapshots, step) for step in steps}
    for pack, group in enumerate(run.spec["packs"]):
        for step in steps:
            if pack not in stored[step]:
                continue
            held = members_at(run.paths.snapshots, pack, step)  # without those that stopped earlier
            wanted = tuple(member for member in group if member in asked and member in held)
            if any((member, step) not in there for member in wanted):
                # All that are asked for, so that what is measured twice over has the same bits.
                yield pack, wanted, step


def _grouped(work: Sequence[Work]) -> Iterator[tuple[int, tuple[int, ...], list[int]]]:
    """Work on the same members together: their program is built once."""
    groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for pack, group, step in work:
        groups.setdefault((pack, group), []).append(step)
    yield from ((pack, group, steps) for (pack, group), steps in groups.items())


def _whole_packs(
    probe: ConfiguredProbe,
    pack: StoredPack,
    steps: Sequence[int],
    there: Set[tuple[int, int]],
) -> Iterator[Values]:
    """One snapshot after the other, of all members: also of those that are there, for the same bits."""
    orders = split_orders(pack.program)
    for step in steps:
        population, diverged = pack.at(step)
        with explained():
            columns = measure(pack.program, population, [probe], orders=orders, with_kept=True)
        alive = [place for place, member in enumerate(pack.members) if member not in diverged]
        yield Values(
            members=[pack.members[place] for place in alive],
            step=step,
            columns={name: array[alive] for name, array in columns.items()},
        )


def _table(probe: ConfiguredProbe, program: Program, values: Values) -> pl.DataFrame:
    """Its columns between snapshots are null."""
    size = len(values.members)
    table: dict[str, Any] = {
        "member": values.members,
        "step": [values.step] * size,
        "epoch": [values.step / program.steps_per_epoch] * size,
    }
    table |= {column.name: values.columns[column.name].tolist() for column in probe.columns}
    table |= {column.name: [None] * size for column in probe.across_columns}
    return pl.DataFrame(table, schema=polars_schema({**KEYS, **declared([probe], across=True)}))


def _besides(probe: ConfiguredProbe, values: Values) -> dict[tuple[int, int], dict[str, NDArray[np.float32]]]:
    """What is kept beside the table."""
    return {
        (member, values.step): {name: values.columns[name][place].astype(np.float32) for name in probe.kept}
        for place, member in enumerate(values.members)
    }


def with_changes(table: pl.DataFrame, probe: ConfiguredProbe, kept: Kept) -> pl.DataFrame:
    """With the columns between each snapshot of a member and the one before it in the table."""
    names = [column.name for column in probe.across_columns]
    if not names:
        return table
    table = table.sort("member", "step")
    found: dict[str, list[Any]] = {name: [] for name in names}
    before: tuple[int, int] | None = None
    for here in table.select("member", "step").iter_rows():
        is_pair = before is not None and before[0] == here[0] and before in kept and here in kept
        values = probe.across(kept[before], kept[here]) if is_pair and before else {}
        for name in names:
            found[name].append(np.asarray(values[name]).tolist() if name in values else None)
        before = here
    return table.with_columns(pl.Series(name, found[name], dtype=table.schema[name]) for name in names)


def _labels(program: Program, start: Population, probe: ConfiguredProbe) -> dict[str, list[str]]:
    """Those of the first member: names and shapes are the same for all."""
    if probe.probe.labels is None:
        return {}
    with explained(), torch.no_grad():
        return probe.labels(LiveView.of(program, start, 0))
