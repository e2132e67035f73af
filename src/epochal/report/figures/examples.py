"""Example images with the place of the cue, and where a network's evidence lies, early and late."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, FigureSpec, Layer, Panel, Shades
from epochal.report.figure import Options, figure, option
from epochal.report.figures.circle import chosen_steps
from epochal.report.probed import has_columns, rows_with
from epochal.report.reading import RunLike, fields_of

PROBE = "saliency_maps"
COLUMNS = ("image_brightness", "image_saliency", "image_shape", "image_facts")
GAP, ROOM = 0.12, 0.22
"""Between images, and above each for its words, in widths of an image."""


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
    rows = rows_with(run, COLUMNS, PROBE, options.table)
    own = rows.filter(pl.col("member") == options.member)
    if not len(own):
        there = rows["member"].unique(maintain_order=True).to_list()
        raise UserError(f"{run.name} has no images of member {options.member}; take one of {there}"[:200])
    steps = chosen_steps(options.steps, own["step"].to_list())
    by_step = {step: own.filter(pl.col("step") == step).row(0, named=True) for step in steps}
    first = by_step[steps[0]]
    count, height, width = (int(length) for length in first["image_shape"])
    if not 1 <= options.num <= count:
        raise UserError(f"num={options.num} is not 1 to {count}, the examples that were measured")
    cells: dict[str, list[Cell]] = {name: [] for name in ("left", "right", "bottom", "top", "value")}
    words: dict[str, list[Cell]] = {"x": [], "y": [], "text": []}
    frames: dict[str, list[Cell]] = {"left": [], "right": [], "bottom": [], "top": []}
    patch = _patch(fields_of(run, options.member), height, width)
    images = [first["image_brightness"], *(by_step[step]["image_saliency"] for step in steps)]
    for place in range(options.num):
        target, code, _ = _facts(first, place)
        said = [f"{target}, cue {code}", *(f"{step:,}: {_facts(by_step[step], place)[2]}" for step in steps)]
        for line, (flat, text) in enumerate(zip(images, said, strict=True)):
            left, bottom = place * (1 + GAP), -line * (1 + ROOM)
            own = flat[place * height * width : (place + 1) * height * width]
            _draw(cells, own, height, width, left, bottom)
            said_at: list[Cell] = [left, bottom + 1 + ROOM / 2.5, text]
            for column, cell in zip(words.values(), said_at, strict=True):
                column.append(cell)
            if patch:
                ends = (left + patch[0], left + patch[1], bottom + patch[2], bottom + patch[3])
                for column, end in zip(frames.values(), ends, strict=True):
                    column.append(end)
    wide, high = options.num * (1 + GAP) - GAP, len(images) * (1 + ROOM)
    reach = max(wide, high)
    layers = [
        Layer(mark="cell", table="cells", x="left", x2="right", y="bottom", y2="top", colour="value"),
        Layer(mark="text", table="words", x="x", y="y", text="text"),
    ]
    for side in ("bottom", "top") if patch else ():
        layers.append(Layer(mark="interval", table="frames", x="left", x2="right", y=side))
    for side in ("left", "right") if patch else ():
        layers.append(Layer(mark="interval", table="frames", y="bottom", y2="top", x=side))
    return FigureSpec(
        name="examples",
        title="What is shown, and what is read",
        caption="Above, images as the mean over channels, with their target and the class that the cue "
        "stands for. Below, the absolute slope of the predicted class's logit in each pixel, over the "
        "image's largest, with the step and the predicted class."
        + (" Frames: the cue's place." if patch else ""),
        tables={"cells": cells, "words": words, "frames": frames},
        panels=(
            Panel(
                x=Axis(label="", domain=(0.0, reach), bare=True),
                y=Axis(label="", domain=(1 + ROOM - reach, 1 + ROOM), bare=True),
                layers=tuple(layers),
                height=420,
                square=True,
            ),
        ),
        colour=Shades(title="brightness, or share of the largest slope", domain=(0.0, 1.0)),
        per_row=1,
    )


def _draw(
    cells: Mapping[str, list[Cell]],
    flat: Sequence[float],
    height: int,
    width: int,
    left: float,
    bottom: float,
) -> None:
    """A rectangle per pixel of an image that is 1 wide and 1 high; its first row is at the top."""
    for place, value in enumerate(flat):
        row, column = divmod(place, width)
        top = bottom + 1 - row / height
        sides = (left + column / width, left + (column + 1) / width, top - 1 / height, top, float(value))
        for name, side in zip(cells, sides, strict=True):
            cells[name].append(side)


def _facts(row: Mapping[str, Sequence[float]], place: int) -> tuple[int, int, int]:
    """Target, code and predicted class of an example."""
    target, code, predicted = (int(value) for value in row["image_facts"][3 * place : 3 * place + 3])
    return target, code, predicted


def _patch(fields: Mapping[str, Any], height: int, width: int) -> tuple[float, float, float, float] | None:
    """Left, right, bottom and top of the patch, as shares of the image; None for cues that lie everywhere."""
    if fields["cue"] != "patch":
        return None
    size = int(fields["patch_size"])
    vertical, _, horizontal = str(fields["patch_place"]).partition("_")
    # In the middle, of an odd rest the smaller part lies above and left.
    low = {"top": height - size, "bottom": 0}.get(vertical, height - size - (height - size) // 2)
    left = {"left": 0, "right": width - size}.get(horizontal, (width - size) // 2)
    return left / width, (left + size) / width, low / height, (low + size) / height
