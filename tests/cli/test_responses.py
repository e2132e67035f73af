"""`epochal influences` and `epochal susceptibilities`: numbers of the Python functions, kept in the run."""

import json

import polars as pl
import pytest

from epochal.api import load
from epochal.launch.member_view import view_of
from epochal.probes.learning_coefficient.along import loss_of
from epochal.probes.learning_coefficient.influence import influences_at
from epochal.probes.learning_coefficient.settings import Settings
from tests.cli.conftest import TINY, Call, Have

SNAPSHOTS = (*TINY, "snapshot_every=10", "model=mlp", "depth=1", "seed=0:2")
SHORT = ("draws=40", "burn_in=10", "chains=2", "n_beta=20", "gamma=30", "step_size=1e-4")


def test_influences_are_those_of_the_losses_along_chains(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    ended = call(
        "influences", run.name, *SHORT, "--of", "1,2", "--on", "0:6", "--member", "1", "--step", "10"
    )
    assert ended.code == 0 and "largest" in ended.out and "kept in" in ended.out
    table = pl.read_parquet(run / "influences.parquet")
    assert table.select("of", "on").rows() == [(i, j) for i in (1, 2) for j in range(6)]
    about = json.loads((run / "influences.json").read_text())
    assert (about["member"], about["step"], about["measure"]) == (1, 10, "correlation")
    assert about["equilibrated"] is (not about["reasons"]) and "n_beta=20" in about["sampling"]
    # An example goes with itself, and pairs are symmetric.
    value = {(i, j): v for i, j, v, _ in table.rows()}
    assert value[1, 1] == pytest.approx(1, abs=1e-6) and value[1, 2] == pytest.approx(value[2, 1])

    view, member, step = view_of(load(run), 1, 10, purpose="a test")
    assert (member, step) == (1, 10)
    settings = Settings(draws=40, burn_in=10, chains=2, n_beta=20.0, gamma=30.0, step_size=1e-4, seed=1)
    found = influences_at(loss_of(view), view.layout, view.flat, settings, of=[1, 2], on=range(6))
    assert table["value"].to_list() == pytest.approx(found.values.flatten().tolist())

    assert call("influences", run.name, *SHORT, "--of", "0", "--on", "0:3", "--covariance").code == 0
    again = pl.read_parquet(run / "influences.parquet")
    assert len(again) == 3 and again["value"][0] > 0 and again["value"][0] != pytest.approx(1, abs=0.01)


def test_susceptibilities_have_a_row_per_block_and_example(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    ended = call("susceptibilities", run.name, *SHORT, "--examples", "0:4", "--json")
    assert ended.code == 0
    rows = json.loads(ended.out)
    table = pl.read_parquet(run / "susceptibilities.parquet")
    assert rows == table.to_dicts() and len(table) == 4 * table["block"].n_unique() and len(table) >= 8
    one = table["block"][0]
    assert call("susceptibilities", run.name, *SHORT, "--examples", "0:4", f"blocks={one}").code == 0
    alone = pl.read_parquet(run / "susceptibilities.parquet")
    assert alone["block"].unique().to_list() == [one]
    assert alone["value"].to_list() == pytest.approx(table.filter(pl.col("block") == one)["value"].to_list())


def test_what_was_calibrated_is_taken(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    assert call("calibrate", run.name, "draws=20", "burn_in=10", "chains=2", "gamma=30").code == 0
    assert call("influences", run.name, "--of", "0", "--on", "0:3").code == 0
    about = json.loads((run / "influences.json").read_text())
    chosen = json.loads((run / "calibration.json").read_text())["settings"]
    assert about["calibrated"]["step_size"] == chosen["step_size"] and "gamma=30" in about["sampling"]


def test_what_cannot_be_asked_is_one_line(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    for words, said in (
        (("influences", "--of", "99"), "example 99 is given; the data has examples 0 .. "),
        (("influences", "--of", "x"), "--of x is not a list of whole numbers"),
        (("influences", "draws"), "draws is no OPTION=VALUE"),
        (("influences", "drows=3"), "drows"),
        (("influences", "--step", "15"), "no snapshot of step 15; the nearest is 10"),
        (("susceptibilities", "blocks=nobody"), "nobody is no parameter or module"),
        (("susceptibilities", "restrict=layer"), "name blocks"),
        (("susceptibilities", "--member", "7"), "no member 7"),
        (("influences", "step_size=1e9", "draws=20", "burn_in=0"), "take a smaller step_size"),
    ):
        ended = call(words[0], run.name, *words[1:])
        assert ended.code == 2 and len(ended.complaint) == 1 and said in ended.complaint[0], ended.err
    assert not list(run.glob("influences.*")) and not list(run.glob("susceptibilities.*"))
