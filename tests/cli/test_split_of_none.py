"""`epochal probe` of a split that the data do not have: one line, and nothing is written."""

import pytest

from tests.cli.conftest import TINY, Call, Have


@pytest.mark.parametrize("probe", ["local_complexity", "segment_density", "hessian"])
def test_a_split_that_is_not_there_is_refused_before_anything_is_measured(
    probe: str, call: Call, have: Have
) -> None:
    run = have("algorithmic", *TINY, "model=mlp", "depth=1")
    ended = call("probe", run.name, probe, "split=test")
    assert ended.code == 2 and len(ended.complaint) == 1
    assert f"{probe}.split=test, and these data have no test split: choose" in ended.complaint[0]
    assert not list((run / "probes").glob("*"))
