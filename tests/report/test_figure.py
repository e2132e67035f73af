"""A figure that can be made can be drawn."""

from dataclasses import replace
from typing import Any

import pytest

from epochal.core.values.figure import Axis, Colour, FigureSpec, Layer, Panel

LINE = Layer(mark="line", table="t", x="step", y="value", by="member", colour="arm")


def figure(**changes: Any) -> FigureSpec:
    table = {"step": [0, 1], "value": [0.5, None], "member": [0, 0], "arm": ["a", "a"]}
    panel = Panel(x=Axis(label="step"), y=Axis(label="value"), layers=(changes.pop("layer", LINE),))
    colour = Colour(title="arm", values=("a", "b"))
    parts: dict[str, Any] = {
        "name": "f",
        "tables": {"t": table},
        "panels": (panel,),
        "colour": colour,
    } | changes
    return FigureSpec(title="t", caption="c", **parts)


def test_a_whole_figure_is_accepted() -> None:
    assert figure().panels[0].layers[0].columns() == ["step", "value", "member", "arm"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../f"}, "no file name"),
        (
            {"tables": {"t": {"step": [0, 1], "value": [0.0], "member": [0, 0], "arm": ["a"] * 2}}},
            "differ in length",
        ),
        ({"tables": {"t": {"a.b": [0]}}}, "no identifier"),
        ({"layer": replace(LINE, table="u")}, "no table 'u'"),
        ({"layer": replace(LINE, y="loss")}, "no column 'loss'"),
        ({"layer": replace(LINE, hover={"who": "member"})}, "no column 'who'"),
        ({"colour": Colour(title="arm", values=("b",))}, "'a' has no place"),
        ({"colour": None}, "'a' has no place"),
    ],
)
def test_what_could_not_be_drawn_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figure(**changes)
