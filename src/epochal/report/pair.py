"""Whether two events of a population change together: the findings, with margin and arms."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from epochal.analysis import coupling, same_time
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.report.event_times import Timed, arm_labels, common
from epochal.report.reading import RunLike

MARGIN = re.compile(r"(?P<number>\d+(\.\d*)?([eE][-+]?\d+)?|\.\d+)\s*(?P<unit>rec|records?)?$")


def margin_steps(text: str, a: Timed, b: Timed) -> float:
    """``2rec`` as steps: so many record intervals, the median over runs of the wider one about their events.

    Raises:
        UserError: no number above 0, or records that have no interval.
    """
    match = MARGIN.fullmatch(text.strip())
    if not match or float(match["number"]) <= 0:
        raise UserError(f"--margin {text} is neither a number of steps nor records such as 2rec")
    if not match["unit"]:
        return float(match["number"])
    widths = np.maximum(a.record_interval, b.record_interval)
    happened = a.happened | b.happened
    width = float(np.median(widths[happened] if happened.any() else widths)) if len(widths) else 0.0
    if width <= 0:
        raise UserError(f"--margin {text}: one record has no interval; give a number of steps")
    return float(match["number"]) * width


def findings(
    run: RunLike,
    a: Timed,
    b: Timed,
    *,
    margin: str,
    arms: Sequence[str],
    unit: str = "steps",
    alpha: float = 0.05,
) -> tuple[list[Finding], list[str]]:
    """``coupling`` within arms and ``same_time``, and a line for each that cannot be made.

    Always exploratory: the data were there before the question.

    Raises:
        UserError: a margin that is none.
    """
    a, b, missing = common(a, b)
    steps = margin_steps(margin, a, b)
    labels = arm_labels(run, a.members, arms)
    names = (a.name, b.name)
    ids = dict(run.members.select("member", "member_id").iter_rows())
    made, refused = list[Finding](), list[str]()
    if missing:
        refused.append(f"{missing} runs are left out: their records do not tell whether both happened")
    strata = labels if len(set(labels)) > 1 else None
    try:
        made.append(coupling(a.intervals, b.intervals, strata=strata, names=names, alpha=alpha))
    except UserError as error:
        refused.append(f"no finding whether {names[0]} and {names[1]} are coupled: {error}")
    try:
        made.append(
            same_time(
                a.intervals,
                b.intervals,
                margin=steps,
                record_interval=np.maximum(a.record_interval, b.record_interval),
                names=names,
                unit=unit,
                alpha=alpha,
            )
        )
    except UserError as error:
        refused.append(f"no finding whether {names[0]} and {names[1]} happen at the same time: {error}")
    known = tuple(str(ids[m]) for m in a.members)
    return [cited(finding, known, run) for finding in made], refused


def cited(finding: Finding, members: tuple[str, ...], run: RunLike) -> Finding:
    streams = tuple(f for f in run.members.columns if f.startswith("seed") or f.endswith("_seed"))
    commit = run.environment.get("commit")
    return replace(
        finding,
        exploratory=True,
        member_ids=members,
        varied_streams=streams,
        commit=None if commit is None else str(commit),
    )
