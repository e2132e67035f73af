"""``analyse`` and ``import`` as a user types them, on logs with planted events."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import epochal
from tests.cli.conftest import Call

RECORDS = np.arange(0, 3001, 50)


def planted(
    path: Path, times: list[float], *, percent: bool = False, lag: float = 0.0, extra: str = ""
) -> Path:
    """A long CSV: accuracy rises at ``times`` (nan: never), a penalty falls ``lag`` later."""
    random = np.random.default_rng(1)
    lines = ["step,seed,val_acc,irm"]
    for seed, time in enumerate(times):
        for step in RECORDS:
            rise, fall = (
                0.0 if np.isnan(time) else 1 / (1 + np.exp((t - step) / 40)) for t in (time, time + lag)
            )
            accuracy = random.binomial(2000, 0.2 + 0.7 * rise) / 2000
            penalty = np.exp(2 - 3 * fall + 0.02 * random.standard_normal())
            lines.append(f"{step},{seed},{accuracy * (100 if percent else 1):.4f},{penalty:.5f}")
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


TIMES = [900.0, 1100.0, 1250.0, 1400.0, 1600.0, 1850.0, np.nan]


@pytest.mark.parametrize("percent", [False, True])
def test_planted_events_and_their_coupling_are_found(call: Call, tmp_path: Path, percent: bool) -> None:
    path = planted(tmp_path / "log.csv", TIMES, percent=percent, lag=10)
    ended = call("analyse", str(path), "--align", "irm", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert ("percent" in found["taken"][0]) is percent and found["margin"] == 100
    for name, lag in (("val_acc", 0), ("irm", 10)):
        events = [row for row in found["events"] if row["name"] == name]
        for event, time in zip(events, TIMES, strict=True):
            if np.isnan(time):
                assert event["censored"] == "right" and event["low"] == 3000 and event["reason"]
            else:
                assert abs(event["step"] - time - lag) < 25 and event["low"] < event["step"] < event["high"]
    coupled, same = found["findings"]
    assert coupled["verdict"] == "supported" and coupled["p"] < 0.01 and coupled["num_runs"] == 7
    assert same["verdict"] == "supported" and same["margin"] == 100 and 0 < same["estimate"] < 25
    assert all(f["exploratory"] and f["sentence"].endswith("Exploratory.") for f in found["findings"])
    assert len(coupled["member_ids"]) == 7 and "val_acc did not happen in 1" in coupled["note"]


def test_a_lag_beyond_the_margin_is_no_same_time(call: Call, tmp_path: Path) -> None:
    path = planted(tmp_path / "log.csv", TIMES[:-1], lag=600)
    found = json.loads(call("analyse", str(path), "--align", "irm", "--margin", "200", "--json").out)
    coupled, same = found["findings"]
    assert coupled["verdict"] == "supported" and same["verdict"] == "refuted" and same["margin"] == 200


def test_what_is_written_is_complete(call: Call, tmp_path: Path) -> None:
    path = planted(tmp_path / "log.csv", TIMES, extra="3050,6,0.2")
    ended = call("analyse", str(path), "--align", "irm", "-o", str(tmp_path / "out"))
    assert ended.code == 0 and "the torn last line" in ended.out and "Exploratory." in ended.out
    page = (tmp_path / "out" / "analysis.html").read_text()
    assert (
        page.count("<svg") == 4
        and "exploratory" in page
        and "http://" not in page.replace("http://www.w3", "")
    )
    assert pl.read_csv(tmp_path / "out" / "events.csv").height == 14
    for name in ("aligned", "lags", "survival", "power"):
        assert (tmp_path / "out" / "figures" / f"{name}.pdf").exists()


def test_formats_agree(call: Call, tmp_path: Path) -> None:
    path = planted(tmp_path / "log.csv", TIMES[:3])
    frame = pl.read_csv(path)
    frame.write_parquet(tmp_path / "log.parquet")
    frame.write_ndjson(tmp_path / "log.jsonl")
    for seed in range(3):
        folder = tmp_path / f"seed_{seed}"
        folder.mkdir()
        frame.filter(pl.col("seed") == seed).drop("seed").write_csv(folder / "log.csv")
    several = [str(tmp_path / f"seed_{seed}" / "log.csv") for seed in range(3)]
    answers = [
        [(row["step"], row["run"]) for row in json.loads(call("analyse", *words, "--json").out)["events"]]
        for words in ([str(path)], [str(tmp_path / "log.parquet")], [str(tmp_path / "log.jsonl")], several)
    ]
    assert answers[0] == answers[1] == answers[2] == answers[3] and answers[0][1][1] == "seed 1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["LOG", "--value", "val_ac"], "--value val_ac: "),
        (["LOG", "--align", "irn"], "did you mean 'irm'"),
        (["LOG", "--align", "irm", "--margin", "soon"], "--margin soon is neither"),
        (["LOG", "--kind", "odd"], "--kind odd is not one of accuracy, positive, real"),
        (["LOG", "--trials", "0"], "--trials 0 must be"),
        (["missing.csv"], "missing.csv does not exist"),
        (["no-such-run"], "no run 'no-such-run'"),
    ],
)
def test_wrong_words_are_one_line(call: Call, tmp_path: Path, words: list[str], message: str) -> None:
    path = planted(tmp_path / "log.csv", [1000.0])
    ended = call("analyse", *(str(path) if word == "LOG" else word for word in words))
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]


def lightning(folder: Path) -> Path:
    """Two arms of three seeds in MIML's layout, each version generalising at a planted step."""
    random = np.random.default_rng(2)
    for version, (decay, seed) in enumerate((d, s) for d in (0.1, 1.0) for s in range(3)):
        place = folder / f"version_{version}"
        place.mkdir(parents=True)
        (place / "hparams.yaml").write_text(
            f"random_seed: {seed}\nweight_decay: {decay}\nlogdir: /x/{version}\nmax_steps: 3000\n"
        )
        lines = ["full_train_acc,train_accuracy,val_accuracy,val_loss,len_val_ds,epoch,step"]
        for step in range(0, 3000, 60):
            train, val = (1 / (1 + np.exp((at - step) / 40)) for at in (400, 1800 - 700 * decay + 40 * seed))
            seen = [random.binomial(4000, p) / 40 for p in (train, train, val)]
            lines.append(f",{seen[1]},,,,{step // 3},{step}")
            lines.append(f"{seen[0]},,{seen[2]},{3 - 2 * val},4000,{step // 3},{step + 1}")
        (place / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_an_imported_run_is_a_run(call: Call, runs: Path, tmp_path: Path) -> None:
    folder = lightning(tmp_path / "lightning_logs")
    ended = call("import", "lightning", str(folder))
    assert (ended.code, ended.err) == (0, "") and "step + 1" in ended.out and "percent" in ended.out
    (path,) = runs.glob("imported-*")
    run = epochal.load(path)
    assert run.is_done and run.spec["experiment"] == "imported" and run.environment["hardware"] is None
    assert run.members["random_seed"].to_list() == [0, 1, 2] * 2
    assert run.members["weight_decay"].to_list() == [0.1] * 3 + [1.0] * 3
    first = run.metrics.filter(pl.col("member") == 0)
    # Row by row what the file says, in fractions, at completed updates.
    logged = pl.read_csv(folder / "version_0" / "metrics.csv")
    for mine, theirs, scale in (
        ("train_accuracy", "full_train_acc", 100), ("batch_accuracy", "train_accuracy", 100),
        ("val_accuracy", "val_accuracy", 100), ("val_loss", "val_loss", 1),
    ):  # fmt: skip
        kept = logged.drop_nulls(theirs)
        own = first.drop_nulls(mine)
        assert own["step"].to_list() == (kept["step"] + 1).to_list()
        assert own[mine].to_list() == pytest.approx((kept[theirs] / scale).to_list())
    events = run.events.filter(pl.col("name") == "generalisation")["step"].to_list()
    assert events == pytest.approx([1730 - 0, 1770, 1810, 1100, 1140, 1180], abs=25)
    (row,) = json.loads(call("ls", "experiment=imported", "--json").out)
    assert (row["members"], row["outcome"], row["max_steps"]) == (6, "6 finished", 3000)
    for words in (
        ["show", path.name],
        ["report", path.name],
        ["figure", "accuracy", path.name, "-o", str(tmp_path)],
    ):
        assert call(*words).code == 0
    ended = call("analyse", path.name, "--align", "memorisation", "--json")
    assert ended.code == 0 and len(json.loads(ended.out)["events"]) == 12
    for words in (["extend", path.name, "seed=9"], ["verify", path.name], ["probe", path.name, "margin"]):
        ended = call(*words)
        assert ended.code == 2 and "was imported" in ended.complaint[0]


def test_importing_again_is_the_same_run_wherever_it_lies(call: Call, runs: Path, tmp_path: Path) -> None:
    for place in ("here", "there"):
        ended = call("import", "lightning", str(lightning(tmp_path / place / "lightning_logs")))
        assert ended.code == 0 and ("imported before" in ended.out) is (place == "there")
    assert len(list(runs.glob("imported-*"))) == 1
    (tmp_path / "here" / "lightning_logs" / "version_0" / "hparams.yaml").write_text("random_seed: 7\n")
    assert call("import", "lightning", str(tmp_path / "here" / "lightning_logs")).code == 0
    assert len(list(runs.glob("imported-*"))) == 2


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("lightening", "step,val_acc\n1,0.1\n", "did you mean 'lightning'"),
        ("lightning", "step,val_acc\n1,0.1\n", "is a log of kind table, not lightning"),
        ("csv", "epoch,val_acc\n1,0.1\n", "counts epochs only"),
        ("csv", "step,val_acc\n0.5,0.1\n", "no whole numbers"),
    ],
)
def test_what_cannot_be_imported(
    call: Call, runs: Path, tmp_path: Path, kind: str, text: str, message: str
) -> None:
    (tmp_path / "log.csv").write_text(text)
    ended = call("import", kind, str(tmp_path / "log.csv"))
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]
    assert not runs.exists()
