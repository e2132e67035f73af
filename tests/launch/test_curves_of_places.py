"""An array column gives a study one curve per place; other columns give none."""

import math

import polars as pl

from epochal.launch.studies.runs import curves_of_places


def test_each_place_of_an_array_is_a_curve_of_the_records_that_have_it() -> None:
    records = pl.DataFrame(
        {"step": [0, 5, 10], "norm": [[1.0, 2.0], None, [3.0, None]], "loss": [1.0, 2.0, 3.0]}
    )
    curves = dict(curves_of_places(records, "norm"))
    assert list(curves) == ["norm.0", "norm.1"]
    assert list(curves["norm.0"].steps) == [0, 10] and list(curves["norm.0"].values) == [1.0, 3.0]
    assert curves["norm.1"].values[0] == 2.0 and math.isnan(curves["norm.1"].values[1])
    assert dict(curves_of_places(records, "loss")) == {}
