"""A study resolved: settings and overrides of every arm, checked, as requests for runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from epochal.core.values.axes import value_text
from epochal.core.values.errors import UserError
from epochal.core.values.fields import kind_of
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.request import Request
from epochal.core.values.settings import is_none, undotted
from epochal.core.values.study import Arm, Detector, Study
from epochal.experiments.catalog import Experiment, find
from epochal.launch.studies.document import data_of, document
from epochal.launch.studies.missing_data import lines_of, with_data
from epochal.launch.studies.plan import Batch, StudyPlan
from epochal.studies import Found

MARGINS = "margins"


def resolve(
    found: Found,
    *,
    is_quick: bool = False,
    overrides: Mapping[str, object] | None = None,
    words: Sequence[str] = (),
    runs: Path = Path("runs"),
) -> StudyPlan:
    """The plan of a study, in its quick form or in full, with overrides.

    ``FIELD`` overrides the field in every arm whose experiment has it, ``ROLE.FIELD`` in one arm,
    ``margins.NAME`` a margin. Nothing is written. ``words`` are what was typed, to be typed again. An arm
    with ``checkpoint=RUN@step`` takes over the fields of that run in the folder ``runs``.

    Raises:
        UserError: all that is wrong with an arm or an override.
    """
    study, overrides = _in_form(found.study, is_quick), dict(overrides or {})
    experiments = {role: find(arm.experiment) for role, arm in study.arms.items()}
    declared = {role: _settings(experiments[role], arm, is_quick) for role, arm in study.arms.items()}
    overridden, margins = _overridden(study, experiments, declared, overrides)
    changed, missing = with_data(study.arms, overridden, declared)
    as_declared, _ = with_data(study.arms, declared, declared)
    study = _without(study, missing)
    full = {
        role: _request(role, experiments[role], arm, changed[role], runs) for role, arm in study.arms.items()
    }
    _refuse_equal_arms(full)
    departures = ["the quick form"] if is_quick else []
    named = [name for name in overrides if not _is_execution(name, study, experiments)]
    if any(margins[name] != study.margins[name] for name in margins) or (
        overridden != declared
        and (
            as_declared.keys() != changed.keys()
            or data_of(full) != data_of(_requests(study, experiments, as_declared, runs))
        )
    ):
        departures.append(
            "overridden: " + ", ".join(f"{name}={value_text(overrides[name])}" for name in named)
        )
    if not is_quick:
        _refuse_shared_members(found.study, full, runs)
    study = replace(study, margins=margins, looks=_looks(study, full, may_differ=is_quick or bool(overrides)))
    batches = tuple(_batches(study, experiments, full, changed, runs))
    return StudyPlan(
        name=found.name,
        found=found,
        study=study,
        is_quick=is_quick,
        batches=batches,
        document=document(found, study, is_quick, full, batches),
        departures=tuple(departures),
        words=tuple(words) or (found.name,),
        left_out=lines_of(missing),
    )


def _in_form(study: Study, is_quick: bool) -> Study:
    """The study with the arms that this form has.

    Raises:
        UserError: it has none.
    """
    arms = {role: arm for role, arm in study.arms.items() if arm.is_in(is_quick=is_quick)}
    if not arms:
        form, other = ("quick", "full") if is_quick else ("full", "quick")
        raise UserError(f"the study has no {form} form: all its arms have form='{other}'")
    return replace(study, arms=arms, detectors=_for_arms(study.detectors, arms))


def _without(study: Study, missing: Mapping[str, str]) -> Study:
    """The study with the arms that have their data.

    Raises:
        UserError: none has.
    """
    arms = {role: arm for role, arm in study.arms.items() if role not in missing}
    if not arms:
        raise UserError(f"no arm of the study has its data: {lines_of(missing)[0]}")
    return replace(study, arms=arms, detectors=_for_arms(study.detectors, arms))


def _for_arms(detectors: Mapping[str, Detector], arms: Mapping[str, Arm]) -> dict[str, Detector]:
    """Detectors that some of these arms need, each with those arms alone."""
    kept = {name: tuple(role for role in arms if d.reads(role)) for name, d in detectors.items()}
    return {name: replace(d, arms=kept[name]) if d.arms else d for name, d in detectors.items() if kept[name]}


def _settings(experiment: Experiment, arm: Arm, is_quick: bool) -> dict[str, object]:
    settings = undotted(experiment.spec_class, arm.settings)
    return {**settings, **undotted(experiment.spec_class, arm.quick)} if is_quick else settings


def _overridden(
    study: Study,
    experiments: Mapping[str, Experiment],
    declared: Mapping[str, dict[str, object]],
    overrides: Mapping[str, object],
) -> tuple[dict[str, dict[str, object]], dict[str, float]]:
    """Settings by role, and margins, with the overrides in place."""
    settings = {role: dict(given) for role, given in declared.items()}
    margins = dict(study.margins)
    for name, value in overrides.items():
        owner, _, rest = name.partition(".")
        if owner == MARGINS:
            margins[_known(rest, margins)] = _number(name, value)
            continue
        roles = [owner] if owner in settings and rest else list(settings)
        field = rest if owner in settings and rest else name
        taking = [role for role in roles if _has_field(experiments[role], field)]
        if not taking:
            fields = {f for role in roles for f in experiments[role].spec_class.model_fields}
            known = fields | {f"{MARGINS}.{m}" for m in margins}
            raise UserError(f"{name} is no field of the study's arms{did_you_mean(name, known)}")
        for role in taking:
            settings[role] |= undotted(experiments[role].spec_class, {field: value})
    return settings, margins


def _known(name: str, margins: Mapping[str, float]) -> str:
    if name not in margins:
        raise UserError(f"the study has no margin {name or '(none named)'}{did_you_mean(name, margins)}")
    return name


def _number(name: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise UserError(f"{name}={value} is no finite number; write for example {name}=3")
    return number


def _has_field(experiment: Experiment, name: str) -> bool:
    fields = experiment.spec_class.model_fields
    return any(part in fields for part in (name, name.partition(".")[0], name.replace(".", "_")))


def _is_execution(name: str, study: Study, experiments: Mapping[str, Experiment]) -> bool:
    owner, _, rest = name.partition(".")
    field = rest if owner in study.arms and rest else name
    return any(
        field in e.spec_class.model_fields and kind_of(e.spec_class.model_fields[field]) == "execute"
        for e in experiments.values()
    )


def _requests(
    study: Study,
    experiments: Mapping[str, Experiment],
    settings: Mapping[str, Mapping[str, object]],
    runs: Path,
) -> dict[str, Request]:
    return {
        role: _request(role, experiments[role], arm, settings[role], runs) for role, arm in study.arms.items()
    }


def _request(
    role: str, experiment: Experiment, arm: Arm, settings: Mapping[str, object], runs: Path
) -> Request:
    """All members of an arm.

    Raises:
        UserError: a field is wrong, or members differ in more than one seed.
    """
    try:
        if is_none(settings.get("checkpoint")):
            request = experiment.request(settings, arm.preset)
        else:
            from epochal.launch.branch import branched  # torch, which a list of studies must not wait for

            request = branched(experiment, settings, arm.preset, runs)
    except UserError as error:
        raise UserError("\n".join(f"arm {role}: {line}" for line in str(error).splitlines())) from error
    if other := [name for name in request.varied if not _is_seed(name)]:
        raise UserError(
            f"arm {role} varies {', '.join(other)}: an arm holds one condition, so that unlike runs are "
            "never pooled; give each value an arm of its own"
        )
    if len(request.varied) > 1:
        raise UserError(
            f"arm {role} varies {' and '.join(request.varied)}: vary one seed field, others fixed"
        )
    return request


def _is_seed(field: str) -> bool:
    return field == "seed" or field.endswith("_seed")


def _looks(study: Study, full: Mapping[str, Request], *, may_differ: bool) -> Any:
    """The declared looks; None where the arms were given another number of runs."""
    looks = study.looks
    if looks is None:
        return None
    for role, request in full.items():
        if len(request.members) != looks.runs[-1]:
            if may_differ:
                return None
            raise UserError(
                f"the last look is at {looks.runs[-1]} runs, but arm {role} has {len(request.members)}; "
                "make them equal"
            )
    return looks


def _refuse_shared_members(study: Study, full: Mapping[str, Request], runs: Path) -> None:
    """Whoever tries the quick form out must not see data of the full one."""
    mine = {member_id for request in full.values() for member_id in request.member_ids}
    arms = {
        role: arm
        for role, arm in study.arms.items()
        if arm.is_in(is_quick=True) and (arm.quick or arm.form == "quick")
    }
    declared = {role: _settings(find(arm.experiment), arm, True) for role, arm in arms.items()}
    for role, settings in with_data(arms, declared, declared)[0].items():
        arm = arms[role]
        quick = _request(role, find(arm.experiment), arm, settings, runs)
        if shared := len(mine & set(quick.member_ids)):
            raise UserError(
                f"arm {role}: {shared} networks of its quick form are those of the full form; give quick "
                "other seeds, or trying it out makes the study exploratory"
            )


def _refuse_equal_arms(full: Mapping[str, Request]) -> None:
    """Two arms that are the same runs, however they are spelt."""
    first: dict[str, str] = {}
    for role, run_id in data_of(full).items():
        if run_id in first:
            raise UserError(
                f"two arms of the study are the same runs ({first[run_id]} and {role}); leave one out"
            )
        first[run_id] = role


def _batches(
    study: Study,
    experiments: Mapping[str, Experiment],
    full: Mapping[str, Request],
    settings: Mapping[str, Mapping[str, object]],
    runs: Path,
) -> Iterator[Batch]:
    if study.looks is None:
        for role, request in full.items():
            yield Batch(role=role, look=1, experiment=experiments[role], request=request)
        return
    before = 0
    for number, upto in enumerate(study.looks.runs, start=1):
        for role, request in full.items():
            field = request.varied[0] if request.varied else "seed"
            seeds = [getattr(member, field) for member in request.members[before:upto]]
            part = {**settings[role], field: seeds}
            made = _request(role, experiments[role], study.arms[role], part, runs)
            yield Batch(role=role, look=number, experiment=experiments[role], request=made)
        before = upto
