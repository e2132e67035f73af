"""Images with their patch, and where the evidence lies before the shortcut is broken through and after."""

import math
from collections.abc import Iterator

from epochal.core.values.example_images import CAPTION, Look, examples_panel
from epochal.core.values.figure import FigureSpec, Panel, Shades, Table
from epochal.core.values.study_runs import MemberRun, StudyRuns
from epochal.studies.causal_grokking.claims import of_arm, subjects
from epochal.studies.causal_grokking.events import Moments, memorised_at

NUM = 4
PARTS = {
    "shape": "image_shape",
    "brightness": "image_brightness",
    "saliency": "image_saliency",
    "facts": "image_facts",
}


def examples_figures(runs: StudyRuns) -> Iterator[FigureSpec]:
    """One network per arm: the first that breaks through, else the first; none where no images were kept."""
    tables: dict[str, Table] = {}
    panels: list[Panel] = []
    for role in subjects(runs):
        pairs = list(zip(runs[role].runs, of_arm(runs, role, ()), strict=True))
        run, seen = next((pair for pair in pairs if pair[1].broken.found), pairs[0])
        if not (steps := before_and_after(run, seen)):
            continue
        said = "breaks through the shortcut" if seen.broken.found else "does not break through"
        made, panel = examples_panel(
            {step: look_at(run, step) for step in steps},
            min(NUM, int(run.curves["image_shape.0"].values[0])),
            run.fields,
            prefix=f"{role}_",
            title=f"{role}, seed {run.seed}: {said}",
        )
        tables |= made
        panels.append(panel)
    if panels:
        yield FigureSpec(
            name="examples",
            title="What is shown, and what is read before and after",
            caption=CAPTION + " Frames: the cue's place. Above in saliency: before the shortcut is broken "
            "through, or when it had just memorised where it is not; below: the last record.",
            tables=tables,
            panels=tuple(panels),
            colour=Shades(title="brightness, or share of the largest slope", domain=(0.0, 1.0)),
            per_row=2,
        )


def before_and_after(run: MemberRun, seen: Moments) -> list[int]:
    """Two measured steps: the last before accuracy where the cue disagrees begins to rise, and the last."""
    if "image_shape.0" not in run.curves:
        return []
    measured = [int(step) for step in run.curves["image_shape.0"].steps if step > 0]
    event = seen.broken
    if event.found:
        until = event.onset if math.isfinite(event.onset) else event.low
        early = [step for step in measured if step <= until] or measured[:1]
        return list(dict.fromkeys((early[-1], measured[-1])))
    late = [step for step in measured if step >= memorised_at(run)] or measured
    return list(dict.fromkeys((late[0], measured[-1])))


def look_at(run: MemberRun, step: int) -> Look:
    """The images and slopes of a step, from the curves of their pixels."""
    parts = {part: _places(run, column, step) for part, column in PARTS.items()}
    return Look(**parts)


def _places(run: MemberRun, column: str, step: int) -> list[float]:
    values: list[float] = []
    while (curve := run.curves.get(f"{column}.{len(values)}")) is not None:
        values.append(float(curve.values[list(curve.steps).index(step)]))
    return values
