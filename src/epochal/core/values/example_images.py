"""Examples of one network as a panel: images, and below them where its evidence lies at some steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epochal.core.values.figure import Axis, Cell, Layer, Panel, Table

GAP, ROOM = 0.12, 0.22
"""Between images, and above each for its words, in widths of an image."""
CAPTION = (
    "Above, images as the mean over channels, with their target and the class that the cue stands for. "
    "Below, the absolute slope of the predicted class's logit in each pixel, over the image's largest, with "
    "the step and the predicted class."
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the probe ``saliency_maps`` gives at one step: K images of H x W, flat, row by row."""

    shape: Sequence[float]
    """K, H, W."""
    brightness: Sequence[float]
    saliency: Sequence[float]
    facts: Sequence[float]
    """Target, code and predicted class, example by example."""

    def fact(self, place: int) -> tuple[int, int, int]:
        target, code, predicted = (int(value) for value in self.facts[3 * place : 3 * place + 3])
        return target, code, predicted


def examples_panel(
    looks: Mapping[int, Look], num: int, fields: Mapping[str, Any], *, prefix: str = "", title: str = ""
) -> tuple[dict[str, Table], Panel]:
    """The first ``num`` images and their saliency at every step of ``looks``, with the tables it draws from.

    ``fields`` say where the cue's patch lies; ``prefix`` begins the tables' names. Colours are `Shades` of
    0 to 1.
    """
    cells: dict[str, list[Cell]] = {name: [] for name in ("left", "right", "bottom", "top", "value")}
    words: dict[str, list[Cell]] = {"x": [], "y": [], "text": []}
    frames: dict[str, list[Cell]] = {"left": [], "right": [], "bottom": [], "top": []}
    first = next(iter(looks.values()))
    _, height, width = (int(length) for length in first.shape)
    patch = _patch(fields, height, width)
    images = [first.brightness, *(look.saliency for look in looks.values())]
    for place in range(num):
        target, code, _ = first.fact(place)
        said = [
            f"{target}, cue {code}",
            *(f"{step:,}: {look.fact(place)[2]}" for step, look in looks.items()),
        ]
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
    names = {kind: f"{prefix}{kind}" for kind in ("cells", "words", "frames")}
    layers = [
        Layer(mark="cell", table=names["cells"], x="left", x2="right", y="bottom", y2="top", colour="value"),
        Layer(mark="text", table=names["words"], x="x", y="y", text="text"),
    ]
    for side in ("bottom", "top") if patch else ():
        layers.append(Layer(mark="interval", table=names["frames"], x="left", x2="right", y=side))
    for side in ("left", "right") if patch else ():
        layers.append(Layer(mark="interval", table=names["frames"], y="bottom", y2="top", x=side))
    reach = max(num * (1 + GAP) - GAP, len(images) * (1 + ROOM))
    panel = Panel(
        x=Axis(label="", domain=(0.0, reach), bare=True),
        y=Axis(label="", domain=(1 + ROOM - reach, 1 + ROOM), bare=True),
        layers=tuple(layers),
        title=title,
        height=420,
        square=True,
    )
    return {names["cells"]: cells, names["words"]: words, names["frames"]: frames}, panel


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


def _patch(fields: Mapping[str, Any], height: int, width: int) -> tuple[float, float, float, float] | None:
    """Left, right, bottom and top of the patch, as shares of the image; None for cues that lie everywhere."""
    if fields.get("cue") != "patch":
        return None
    size = int(fields["patch_size"])
    vertical, _, horizontal = str(fields["patch_place"]).partition("_")
    # In the middle, of an odd rest the smaller part lies above and left.
    low = {"top": height - size, "bottom": 0}.get(vertical, height - size - (height - size) // 2)
    left = {"left": 0, "right": width - size}.get(horizontal, (width - size) // 2)
    return left / width, (left + size) / width, low / height, (low + size) / height
