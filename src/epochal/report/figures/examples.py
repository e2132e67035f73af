"""Example images with the place of the cue, and where a network's evidence lies, early and late."""

from epochal.core.values.errors import UserError
from epochal.core.values.example_images import CAPTION, Look, examples_panel
from epochal.core.values.figure import FigureSpec, Shades
from epochal.report.figure import Options, figure, option
from epochal.report.probed import has_columns, rows_of
from epochal.report.reading import RunLike, fields_of

PROBE = "saliency_maps"
COLUMNS = ("image_brightness", "image_saliency", "image_shape", "image_facts")


class ExampleOptions(Options):
    member: int = option(0, "whose network")
    steps: tuple[str, ...] = option(("first", "last"), "steps of the saliency, as first,1000,last")
    num: int = option(4, "examples; those whose cue disagrees come first")
    table: str = option("", "part of a table's file name, where the probe was measured with several options")


def on_page(run: RunLike) -> ExampleOptions | None:
    return ExampleOptions() if has_columns(run, COLUMNS) else None


@figure(
    "example images with the cue, and where the network's evidence lies before and after training",
    options=ExampleOptions,
    on_page=on_page,
    place=70,
)
def examples(run: RunLike, options: ExampleOptions) -> FigureSpec:
    by_step = rows_of(run, options.member, options.steps, COLUMNS, PROBE, table=options.table, what="images")
    count = int(next(iter(by_step.values()))["image_shape"][0])
    if not 1 <= options.num <= count:
        raise UserError(f"num={options.num} is not 1 to {count}, the examples that were measured")
    looks = {
        step: Look(
            shape=row["image_shape"],
            brightness=row["image_brightness"],
            saliency=row["image_saliency"],
            facts=row["image_facts"],
        )
        for step, row in by_step.items()
    }
    tables, panel = examples_panel(looks, options.num, fields_of(run, options.member))
    return FigureSpec(
        name="examples",
        title="What is shown, and what is read",
        caption=CAPTION + (" Frames: the cue's place." if tables["frames"]["left"] else ""),
        tables=tables,
        panels=(panel,),
        colour=Shades(title="brightness, or share of the largest slope", domain=(0.0, 1.0)),
        per_row=1,
    )
