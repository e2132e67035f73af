"""Tables for the command line: experiments, fields, members. Rows are plain, for print and for JSON."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from epochal.core.values.axes import compact, value_text
from epochal.core.values.errors import UserError
from epochal.core.values.fields import kind_of, source_of
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.spec_errors import allowed_values
from epochal.experiments import catalog
from epochal.experiments.catalog import Experiment
from epochal.report import figures as report_figures
from epochal.report.figure import Figure
from epochal.store.atomic import readable_bytes
from epochal.store.catalog import list_runs
from epochal.store.filter import Filter
from epochal.store.run import Run
from epochal.store.split_sizes import split_sentences
from epochal.tasks.datasets import catalog as datasets

if TYPE_CHECKING:
    from epochal.launch.plan import Plan

MAX_SENTENCES = 6


def experiments() -> list[dict[str, Any]]:
    """One row per experiment and preset."""
    rows = []
    for name in catalog.names():
        found = catalog.find(name)
        rows.append({"experiment": name, "preset": "", "what": found.summary})
        rows += [
            {"experiment": name, "preset": key, "what": value.meaning} for key, value in found.presets.items()
        ]
    return rows


def fields(experiment: Experiment, preset: str | None) -> list[dict[str, Any]]:
    """Every field: its value by default or in the preset, what it takes, kind, meaning, source.

    With a preset, what it changes has its default under ``instead_of``, which is empty for all else.
    """
    if preset is not None and preset not in experiment.presets:
        raise UserError(
            f"preset={preset} is unknown to {experiment.name}{did_you_mean(preset, experiment.presets)}"
        )
    settings = experiment.presets[preset].settings if preset else {}
    rows = []
    for name in experiment.spec_class.field_order():
        field = experiment.spec_class.model_fields[name]
        own = {key.partition(".")[2]: text for key, text in settings.items() if key.startswith(f"{name}.")}
        usual, value = _shown(field.default), _shown(own or settings.get(name, field.default))
        marked = {} if preset is None else {"instead_of": "" if value == usual else usual or "nothing"}
        rows.append(
            {
                "field": name,
                "default" if preset is None else preset: value,
                **marked,
                "takes": allowed_values(name, experiment.spec_class),
                "kind": kind_of(field),
                "meaning": field.description,
                "source": source_of(field),
            }
        )
    return rows


def runs(folder: Path, wanted: Filter) -> list[dict[str, Any]]:
    """One row per wanted run, newest last: name, members, outcome, when it was made, size in bytes."""
    return list_runs(folder, wanted).to_dicts()


def readable_runs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for a reader: the time to the minute, the size in units, an empty preset column left out."""
    has_preset = any(row["preset"] for row in rows)
    shown = []
    for row in rows:
        created = row["created"]
        kept = {
            name: row[name] for name in ("name", "experiment", "preset", "members", "outcome", "max_steps")
        }
        if not has_preset:
            del kept["preset"]
        times = {"created_utc": f"{created:%Y-%m-%d %H:%M}" if created else ""}
        shown.append({**kept, **times, "size": readable_bytes(row["size_bytes"])})
    return shown


def members(run: Run) -> list[dict[str, Any]]:
    """One row per member: what varies, when it memorised and generalised (with interval), outcomes.

    ``learning`` is what became of learning, ``outcome`` how training ended.
    """
    columns = [name for name in run.spec["varied"] if name in run.members.columns]
    rows = []
    for member in run.members.iter_rows(named=True):
        row = {"member": member["member"]} | {name: member[name] for name in columns}
        events = {
            event["name"]: event
            for event in run.events.filter(pl.col("member") == member["member"]).to_dicts()
        }
        for name in ("memorisation", "generalisation"):
            if name in events:
                row[name] = _when(events[name])
                row[f"{name}_99"] = _passage(events.get(f"{name}_99"))
        if {"memorisation", "generalisation"} <= set(events):
            row["delay"] = _delay(events["memorisation"], events["generalisation"])
        if "learning" in events:
            row["learning"] = learning(events["learning"])
        rows.append(row | {"outcome": _outcome(member)})
    return rows


def said_of(run: Run) -> list[str]:
    """What validation means where that is not obvious; the findings of a run, or how many of each verdict."""
    found, meant = run.findings, split_sentences(run.environment)
    if len(found) <= MAX_SENTENCES:
        return [*meant, *(one.sentence for one in found)]
    verdicts = Counter(one.verdict for one in found)
    words = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
    counted = f"{len(found)} findings, all exploratory: {words}; they stand on the page and in findings.json"
    return [*meant, counted]


def figures() -> list[dict[str, Any]]:
    """One row per figure."""
    found = [report_figures.find(name) for name in report_figures.names()]
    return [
        {"figure": f.name, "shows": f.meaning, "options": ", ".join(f.options.model_fields)} for f in found
    ]


def figure_options(figure: Figure) -> list[dict[str, Any]]:
    """One row per option of a figure."""
    return [
        {
            "option": name,
            "default": _shown(field.default),
            "takes": allowed_values(name, figure.options),
            "meaning": field.description,
        }
        for name, field in figure.options.model_fields.items()
    ]


def data_sets(root: Path | None) -> list[dict[str, Any]]:
    """One row per known image set."""
    rows = []
    for known in datasets.listing():
        size = known.num_bytes
        rows.append(
            {
                "name": known.name,
                "there": "built in"
                if not known.files
                else "yes"
                if datasets.is_there(known.name, root)
                else "no",
                "size": "" if not size else readable_bytes(size),
                "licence": known.licence,
                "what": known.description,
                "source": known.source,
            }
        )
    return rows


def data_files(states: Sequence[datasets.FileState]) -> list[dict[str, Any]]:
    """One row per official file of a set."""
    return [
        {
            "file": state.file.name,
            "state": state.state,
            "path": str(state.path),
            "official": state.file.address,
        }
        for state in states
    ]


def packs(plan: "Plan") -> list[dict[str, Any]]:
    """One row per pack of a plan."""
    return [
        {
            "pack": number,
            "members": pack.members,
            "parameters": pack.parameters,
            "batch_size": pack.batch_size,
            "steps": pack.steps,
            "executor": pack.executor,
            "ms_per_step": round(pack.step_seconds * 1e3, 2),
            "records": pack.num_records,
            "disk": readable_bytes(pack.disk_bytes),
            "minutes": round(pack.seconds / 60, 2),
        }
        for number, pack in enumerate(plan.packs)
    ]


def plan_summary(plan: "Plan") -> str:
    members, packs = sum(pack.members for pack in plan.packs), len(plan.packs)
    beside = f", {plan.side_by_side} at a time" if plan.side_by_side > 1 else ""
    return (
        f"{members} member{'s' * (members > 1)} in {packs} pack{'s' * (packs > 1)}{beside}: "
        f"about {plan.seconds / 60:.1f} minutes, "
        f"{readable_bytes(plan.disk_bytes)} on disk, {readable_bytes(plan.peak_bytes)} of memory; "
        "nothing was trained"
    )


def _shown(value: object) -> str:
    if isinstance(value, list | tuple) and not isinstance(value, str):
        return compact(list(value))
    if isinstance(value, Mapping):
        return " ".join(f"{name}={value_text(entry)}" for name, entry in value.items())
    return value_text(value)


def learning(event: dict[str, Any]) -> str:
    """The outcome of learning without its reason, from the row that holds both."""
    return str(event["reason"]).split(":", 1)[0]


def _when(event: dict[str, Any]) -> str:
    if event["step"] is None:
        # From step 0 on says nothing: too few records, as the event's reason tells.
        return f"after {event['low']:.0f}" if event["low"] else "not seen"
    if event["low"] is None or event["high"] is None:
        return f"{event['step']:.0f}"
    return f"{event['step']:.0f} [{event['low']:.0f}, {event['high']:.0f}]"


def _passage(event: dict[str, Any] | None) -> int | None:
    """The first record at or above 99%, None where there was none."""
    return int(event["high"]) if event and event["found"] and event["high"] is not None else None


def _delay(first: dict[str, Any], second: dict[str, Any]) -> str:
    if first["step"] is None:
        return ""
    if second["step"] is None:
        return f"> {second['low'] - first['step']:.0f}" if second["low"] is not None else ""
    ratio = second["step"] / first["step"] if first["step"] > 0 else math.inf
    return f"{second['step'] - first['step']:.0f} ({ratio:.1f}x)"


def _outcome(member: dict[str, Any]) -> str:
    if member["outcome"] == "diverged":
        return f"diverged at step {member['outcome_step']}: {member['outcome_reason']}"
    return str(member["outcome"]).replace("_", " ")
