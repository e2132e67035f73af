"""When each member memorised and generalised: one row per member."""

from typing import Literal

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.report.curve_tables import step_axis
from epochal.report.figure import Options, figure, option
from epochal.report.reading import RunLike, grouping, member_table
from epochal.report.timeline import has_primary_events, timeline_figure


class EventOptions(Options):
    x: Literal["log", "linear"] = option("log", "scale of the steps")
    colour: str = option("auto", "field that gives the colour; auto or none")


def on_page(run: RunLike) -> EventOptions | None:
    return EventOptions() if has_primary_events(run) else None


@figure(
    "when each member memorised and generalised: a row per member, with intervals and what was not reached",
    options=EventOptions,
    on_page=on_page,
    place=20,
)
def events(run: RunLike, options: EventOptions) -> FigureSpec:
    groups = grouping(run, options.colour)
    made = timeline_figure(run, groups, member_table(run, groups), step_axis(run, options.x))
    if made is None:
        raise UserError(f"{run.name} has no memorisation or generalisation event to draw")
    return made
