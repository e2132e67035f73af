"""The document of a plan, which is frozen: whatever can change a verdict, and how two of them differ.

Where a run executes cannot, so it is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from epochal.analysis import alpha_spending
from epochal.core.values.axes import value_text
from epochal.core.values.identity import SEMANTICS
from epochal.core.values.request import Request
from epochal.core.values.study import Study
from epochal.launch.studies.plan import Batch
from epochal.studies import Found


def document(
    found: Found, study: Study, is_quick: bool, full: Mapping[str, Request], batches: Sequence[Batch]
) -> dict[str, Any]:
    looks = study.looks
    levels = alpha_spending(looks.runs, alpha=looks.alpha, kind=looks.spending).level if looks else None
    return {
        "study": found.name,
        "question": study.question,
        "prediction": study.prediction,
        "refutation": study.refutation,
        "quick": is_quick,
        "arms": {
            role: {
                "experiment": arm.experiment,
                "preset": arm.preset,
                "settings": _telling(full[role]),
                "member_ids": list(full[role].member_ids),
                "batches": [
                    {"look": batch.look, "run_id": batch.request.run_id, "runs": len(batch.request.members)}
                    for batch in batches
                    if batch.role == role
                ],
            }
            for role, arm in study.arms.items()
        },
        "detectors": {
            name: {"column": d.column, "kind": d.kind, "options": dict(d.options)}
            | ({"arms": list(d.arms)} if d.arms else {})
            for name, d in study.detectors.items()
        },
        "margins": dict(study.margins),
        "looks": {
            "runs": list(looks.runs), "alpha": looks.alpha, "spending": looks.spending,
            "levels": list(levels or ()),
        } if looks else None,
        "family": study.family,
        "data": data_of(full),
        "source": found.source_hash,
        "semantics": SEMANTICS,
    }  # fmt: skip


def data_of(full: Mapping[str, Request]) -> dict[str, str]:
    """Arm to the identity of its data."""
    return {role: request.run_id for role, request in full.items()}


def differences(frozen: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two documents, each as one phrase: ``margins.ratio 3 -> 2``."""
    old, new = dict(_leaves(frozen)), dict(_leaves(now))
    said = []
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            if name == "source":
                said.append("the study file was edited")
            elif name == "semantics":
                said.append("epochal trains differently now")
            elif "member_ids" not in name and "run_id" not in name:
                said.append(f"{name} {_short(old.get(name))} -> {_short(new.get(name))}")
    return said or (["the plan"] if old != new else [])


def _telling(request: Request) -> dict[str, str]:
    """The settings without those of where it executes; with the states that a checkpoint means."""
    left_out = request.spec.of_kind("execute")
    kept = {name: text for name, text in request.settings if name.partition(".")[0] not in left_out}
    states = getattr(request.spec, "checkpoint_id", "")
    return kept | ({"checkpoint_id": states} if states else {})


def _leaves(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list) and prefix.endswith("batches"):
        yield prefix, [part["runs"] for part in value]
    else:
        yield prefix, value


def _short(value: object) -> str:
    text = "nothing" if value is None else value_text(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
