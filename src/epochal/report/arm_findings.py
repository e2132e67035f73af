"""Whether an event comes earlier in one arm of a population than in another, the same seed in both a pair."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from epochal.analysis import compare_arms
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.report.event_times import Timed, arm_labels, only
from epochal.report.pair import cited
from epochal.report.reading import RunLike, as_text, is_replicate, varied_fields

MAX_PAIRED = 4
"""Arms that are compared all with all; more are each compared with the first."""
MAX_COMPARED = 8


def compared(
    run: RunLike, times: Timed, fields: Sequence[str], *, unit: str = "steps"
) -> tuple[list[Finding], list[str]]:
    """The difference of two arms in when an event happens, and a line for what cannot be compared.

    Up to 4 arms are compared all with all, up to 8 each with the first in the order of the members; which
    are compared thus follows from the run and from no result. Always exploratory, and not corrected yet.
    """
    times = only(times, [m for m, known in zip(times.members, times.is_known, strict=True) if known])
    by_arm = members_by_arm(run, times.members, fields)
    if len(by_arm) < 2:
        return [], []
    if len(by_arm) > MAX_COMPARED:
        line = (
            f"{len(by_arm)} arms ({' × '.join(fields)}) are not compared, at most {MAX_COMPARED} are: make a "
            "run of those that matter, or better a study"
        )
        return [], [line]
    names = list(by_arm)
    pairs = list(combinations(names, 2)) if len(names) <= MAX_PAIRED else [(names[0], n) for n in names[1:]]
    seeds = dict(zip(times.members, seed_labels(run, times.members), strict=True))
    made, unsaid = list[Finding](), dict[str, list[str]]()
    for first, second in pairs:
        try:
            made.append(_difference(run, times, by_arm, (first, second), fields, seeds, unit))
        except UserError as error:
            unsaid.setdefault(str(error), []).append(f"{first} and {second}")
    return made, [f"{times.name} of {', '.join(which)} not compared: {why}" for why, which in unsaid.items()]


def members_by_arm(run: RunLike, members: Sequence[int], fields: Sequence[str]) -> dict[str, list[int]]:
    """Members of each arm, arms in the order in which they were asked for."""
    grouped: dict[str, list[int]] = {}
    for member, label in zip(members, arm_labels(run, members, fields), strict=True):
        grouped.setdefault(label, []).append(member)
    return grouped


def seed_labels(run: RunLike, members: Sequence[int]) -> list[str]:
    """What pairs members of different arms: all the seeds in which members differ."""
    seeds = [field for field in varied_fields(run) if is_replicate(field) and field != "log"]
    rows = {row["member"]: row for row in run.members.iter_rows(named=True)}
    return [" · ".join(as_text(rows[m][field]) for field in seeds) for m in members]


def _difference(
    run: RunLike,
    times: Timed,
    by_arm: dict[str, list[int]],
    pair: tuple[str, str],
    fields: Sequence[str],
    seeds: dict[int, str],
    unit: str,
) -> Finding:
    arms = [only(times, by_arm[name]) for name in pair]
    # A member that diverged will not have the event, however long it is followed.
    ends = [np.where(np.isfinite(arm.diverged), np.inf, arm.followed) for arm in arms]
    horizon = float(min(end.min() for end in ends))
    if not np.isfinite(horizon):
        raise UserError("every run of both diverged")
    steps = [np.where(arm.high <= horizon, arm.step, np.nan) for arm in arms]
    field = f"{fields[0]} " if len(fields) == 1 else ""
    found = compare_arms(
        steps[0],
        steps[1],
        horizon=horizon,
        seeds_1=[seeds[m] for m in arms[0].members],
        seeds_2=[seeds[m] for m in arms[1].members],
        unit=unit,
    )
    words = times.name if times.name == times.column else times.name.replace("_", " ")
    found = replace(
        found,
        claim=f"{words} comes at another time under {field}{pair[1]} than under {field}{pair[0]}",
        note=f"above 0: later under {field}{pair[1]}; {found.note}",
    )
    return cited(found, tuple(member_ids(run, [*arms[0].members, *arms[1].members])), run)


def member_ids(run: RunLike, members: Sequence[int]) -> list[str]:
    ids = dict(run.members.select("member", "member_id").iter_rows())
    return [str(ids[m]) for m in members]
