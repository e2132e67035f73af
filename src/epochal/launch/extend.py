"""More members, or more steps: a new run that adopts what a stored one has and trains only what it lacks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from epochal.core.values.errors import UserError
from epochal.core.values.fields import kind_of
from epochal.core.values.request import Request
from epochal.core.values.settings import undotted, values_of
from epochal.core.values.spec import Spec
from epochal.core.values.spec_errors import describe
from epochal.experiments import catalog
from epochal.launch.branch import branched
from epochal.launch.layout import Layout, choose
from epochal.launch.packs import Pack
from epochal.store.atomic import write_file
from epochal.store.lock import acquire, release
from epochal.store.paths import RunPaths
from epochal.store.run import Run
from epochal.store.snapshots import load_snapshot, packs_at, save_snapshot
from epochal.store.states import State, load_state, save_state


def extended(run: Run, changes: Mapping[str, object], runs: Path) -> Request:
    """The request of a run with more values of a field, or with more steps.

    ``seed=5:10`` adds five seeds to those there are; ``max_steps`` (or ``epochs``) replaces the old value and
    must not be smaller. Fields of where to compute may be set anew too.

    Raises:
        UserError: nothing to add, a field that cannot grow, or a run that this version would train otherwise.
    """
    found = catalog.find(run.spec["experiment"])
    changes = undotted(found.spec_class, changes)
    if not changes:
        raise UserError("nothing to add; give for example seed=5:10 or max_steps=20000")
    settings: dict[str, object] = {
        f"zip{place}" if name == "zip" else name: text
        for place, (name, text) in enumerate(run.spec["settings"])
    }
    for name, given in changes.items():
        settings = _grown(run, found.spec_class, settings, name, given)
    preset = run.spec["preset"]
    request = (
        branched(found, settings, preset, runs)
        if "checkpoint" in settings
        else found.request(settings, preset)
    )
    if lost := set(run.members["member_id"]) - set(request.member_ids):
        raise UserError(
            f"{len(lost)} members of {run.name} are not what this version of epochal would train from its "
            "settings; make a new run instead"
        )
    if request.spec.max_steps < run.spec["max_steps"]:
        raise UserError(
            f"max_steps={request.spec.max_steps} is below {run.name}'s {run.spec['max_steps']}; give more"
        )
    return request


def adoption(run: Run, request: Request) -> Layout:
    """The layout of ``request`` in which the packs of ``run`` go on from their states."""
    number_of = {name: number for number, name in enumerate(request.member_ids)}
    renamed = {
        member: number_of[name] for member, name in run.members.select("member", "member_id").iter_rows()
    }
    old = [
        Pack(number=number, members=tuple(renamed[m] for m in members), executor=executor)
        for number, (members, executor) in enumerate(
            zip(run.spec["packs"], run.spec["executors"], strict=True)
        )
    ]
    new = [number for number in range(len(request.members)) if number not in set(renamed.values())]
    layout = choose(catalog.find(request.experiment), request, among=new, first_number=len(old))

    def fill(paths: RunPaths) -> None:
        lock = acquire(run.paths.lock)  # a run at work would be copied half-way
        try:
            for pack in old:
                _adopt(run, paths, pack, renamed)
        finally:
            release(lock)

    return Layout(
        packs=(*old, *layout.packs),
        executor=layout.executor if layout.packs else run.spec["executor"],
        pack_limit=layout.pack_limit or run.spec["pack_limit"],
        measured=layout.measured,
        notes=(*layout.notes, f"{len(renamed)} members continue what {run.name} has"),
        num_adopted=len(old),
        origin={"adopted": run.name, "run_id": run.spec["run_id"]},
        fill=fill,
    )


def _grown(
    run: Run, spec_class: type[Spec], settings: dict[str, object], name: str, given: object
) -> dict[str, object]:
    """The settings with one field changed."""
    if any(f"{name}=" in str(text) for field, text in settings.items() if field.startswith("zip")):
        raise UserError(
            f"{name} is paired with another field in {run.name}; make a new run with a longer zip"
        )
    values = values_of(spec_class, name, given)
    kind = kind_of(spec_class.model_fields[name])
    if name in ("max_steps", "epochs") or kind == "execute":
        return {**settings, name: given}
    if kind == "observe":
        raise UserError(f"{name} decides what a run records, which cannot change half-way; make a new run")
    stored = run.spec["fields"][name]
    there = stored["axis"] if isinstance(stored, Mapping) and "axis" in stored else [stored]
    try:
        typed = [getattr(spec_class.model_validate({name: value}), name) for value in (*there, *values)]
    except ValidationError as error:
        raise UserError("\n".join(describe(error, spec_class))) from error
    union = list(dict.fromkeys(typed))
    if len(union) == len(there):
        raise UserError(f"{name}={given} adds nothing to {run.name}")
    return {**settings, name: union}


def _adopt(run: Run, paths: RunPaths, pack: Pack, renamed: Mapping[int, int]) -> None:
    """Copies records, snapshots and the newest sound state of a pack, with its members' new numbers."""
    state, _ = load_state(run.paths.resume, pack.number, records=run.paths.records(pack.number))
    if state is None:
        return
    lines = run.paths.records(pack.number).read_bytes()[: state.record_offset].splitlines()
    data = b"".join(_renamed_line(line, renamed) for line in lines)
    target = paths.records(pack.number)
    target.parent.mkdir(exist_ok=True)
    write_file(target, data)
    for step in run.snapshots:
        if step <= state.step and pack.number in packs_at(run.paths.snapshots, step):
            shot = load_snapshot(run.paths.snapshots, pack.number, step)
            members = [renamed[member] for member in shot.members]
            save_snapshot(paths.snapshots, pack.number, step, shot.tensors, members=members, meta=shot.meta)
    _save(paths, pack, state, len(data))


def _save(paths: RunPaths, pack: Pack, state: State, record_offset: int) -> None:
    meta = {**state.meta, "members": list(pack.members)}
    save_state(paths.resume, pack.number, state.step, state.tensors, meta, record_offset=record_offset)


def _renamed_line(line: bytes, renamed: Mapping[int, int]) -> bytes:
    row: dict[str, Any] = json.loads(line)
    row["member"] = renamed[row["member"]]
    return json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"
