"""Does robust accuracy rise long after clean accuracy saturates, and does training against attacks end it?"""

import math

import numpy as np

from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import StudyRuns
from epochal.studies.robust_grokking.arms import COURSES, PAIRS
from epochal.studies.robust_grokking.claims import above, later
from epochal.studies.robust_grokking.curves import Rise, rise_after


def rises(runs: StudyRuns, role: str) -> list[Rise]:
    """Of each network of an arm; modular arithmetic has no attack: there, of validation accuracy."""
    course = COURSES[role]
    share, least = runs.margin("saturation"), runs.margin("rise")
    return [rise_after(run, course.first, course.then, share=share, least=least) for run in runs[role].runs]


def delayed(runs: StudyRuns, role: str) -> list[Finding]:
    """How much it rises after saturation, and how late half of that is reached."""
    found, (first, then) = rises(runs, role), COURSES[role].words
    least, times = runs.margin("rise"), runs.margin("delay")
    heights = np.array([rise.height for rise in found if math.isfinite(rise.height)])
    shown = sum(rise.is_shown for rise in found)
    known = [rise for rise in found if math.isfinite(rise.height)]
    said = f"a rise of {least:g} is shown in {shown} of {len(found)}"
    if known:
        at, low, last = (
            float(np.median([getattr(rise, name) for rise in known]))
            for name in ("at_saturation", "lowest", "last")
        )
        said += f"; medians: {at:.3g} at saturation, {low:.3g} at its lowest after it, {last:.3g} at the end"
    size = above(
        runs, heights, least, margin=least, unit="", roles=(role,),
        claim=f"{role}: after {first} saturates, {then} rises by more than {least:g}",
        null=f"it rises by {least:g} or less", note=said,
    )  # fmt: skip
    when = later(
        runs, [ratio(rise) for rise in found], times, roles=(role,),
        claim=f"{role}: half of the rise of {then} comes at least {times:g} times later than {first} "
        "saturates",
        note=f"a rise of {least:g} is not shown in {len(found) - shown}: none, or beyond the last record"
        if shown < len(found) else "",
    )  # fmt: skip
    return [size, when]


def ratio(rise: Rise) -> tuple[float, float]:
    """What the records leave open; without a rise it may still come: 0 to infinity."""
    if not rise.is_shown:
        return 0.0, math.inf
    return rise.half[0] / rise.saturated[1], (
        rise.half[1] / rise.saturated[0] if rise.saturated[0] > 0 else math.inf
    )


def against_training(runs: StudyRuns) -> list[Finding]:
    """Under attacks in training robust accuracy should rise with clean accuracy, and less after it."""
    made = []
    for plain, trained in PAIRS:
        if plain not in runs.arms or trained not in runs.arms:
            continue
        if runs[plain].seeds != runs[trained].seeds:
            raise UserError(f"arm {trained} has other seeds than {plain}: rises are compared seed by seed")
        left, right = rises(runs, plain), rises(runs, trained)
        less = np.array([a.height - b.height for a, b in zip(left, right, strict=True)])
        ends = [np.median([rise.last for rise in side]) for side in (left, right)]
        made.append(
            above(
                runs,
                less[np.isfinite(less)],
                0.0,
                unit="",
                roles=(plain, trained),
                claim=f"{trained}: robust accuracy rises less after saturation than in {plain}",
                null="it rises as much or more",
                note=f"it ends at {ends[1]:.3g} (median), in {plain} at {ends[0]:.3g}",
            )
        )
    return made
