"""Readers of other programs' logs: on bytes made by hand in the true format, and on files of the programs."""

import importlib
import importlib.util
import math
import struct
import zlib
from pathlib import Path

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.store.foreign.columns import Reading
from epochal.store.foreign.hparams import read_hparams
from epochal.store.foreign.population import population
from epochal.store.foreign.sources import read_logs
from epochal.store.foreign.tables import read_csv, read_jsonl
from epochal.store.foreign.tfrecord import crc32c, masked_crc32c


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def scalar_event(step: int, tag: str, value: bytes) -> bytes:
    """An Event of tensorflow: wall_time, step, summary { value { tag, value } }."""
    summary = message(1, message(1, tag.encode()) + value)
    return struct.pack("<Bd", 0x09, 1.5) + b"\x10" + varint(step) + message(5, summary)


def framed(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return (
        length
        + struct.pack("<I", masked_crc32c(length))
        + payload
        + struct.pack("<I", masked_crc32c(payload))
    )


SIMPLE = struct.pack("<Bf", 0x15, 0.25)
TENSOR = message(8, b"\x08\x02" + message(4, struct.pack("<d", 0.1)))  # DT_DOUBLE, tensor_content
PACKED = message(8, b"\x08\x01" + message(5, struct.pack("<f", 0.5)))  # DT_FLOAT, float_val
TEXT = message(8, b"\x08\x07" + message(8, b"words"))  # DT_STRING


def test_crc32c_has_the_values_of_the_standard() -> None:
    """RFC 3720, B.4; and the check value of the catalogue of CRCs."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43


def test_event_files_made_by_hand_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    events = [
        struct.pack("<Bd", 0x09, 1.0) + message(3, b"brain.Event:2"),
        scalar_event(300, "acc", SIMPLE),
        scalar_event(300, "loss", TENSOR),
        scalar_event(600, "acc", PACKED),
        scalar_event(600, "note", TEXT),
    ]
    path.write_bytes(b"".join(map(framed, events)))
    [log] = read_logs(path)
    assert log.frame.sort("step").to_dict(as_series=False) == {
        "step": [300, 600], "acc": [0.25, 0.5], "loss": [0.1, None],
    }  # fmt: skip
    whole = path.read_bytes()
    path.write_bytes(whole + framed(scalar_event(900, "acc", SIMPLE))[:-6])
    [torn] = read_logs(tmp_path)
    assert torn.frame["step"].to_list() == [300, 600] and "torn record" in torn.notes[0]
    broken = bytearray(whole)
    broken[-10] ^= 1
    path.write_bytes(broken)
    with pytest.raises(UserError, match=r"damaged at byte \d+ \(a record"):
        read_logs(path)


def test_files_of_tensorboard_itself_are_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard, whose own writer makes the files")
    # By name: the checks of types run where it is installed and where it is not.
    event, summary, files = map(
        importlib.import_module,
        (
            "tensorboard.compat.proto.event_pb2",
            "tensorboard.compat.proto.summary_pb2",
            "tensorboard.summary.writer.event_file_writer",
        ),
    )
    writer = files.EventFileWriter(str(tmp_path / "seed3"))
    for step in range(0, 1000, 10):
        value = summary.Summary.Value(tag="val/acc", simple_value=step / 1000)
        writer.add_event(event.Event(step=step, wall_time=1.0, summary=summary.Summary(value=[value])))
    writer.close()
    [log] = read_logs(tmp_path)
    assert log.frame["step"].to_list() == list(range(0, 1000, 10))
    assert log.frame["val/acc"].to_list() == pytest.approx([s / 1000 for s in range(0, 1000, 10)], abs=1e-7)


def test_offline_runs_of_wandb_made_by_hand_are_read(tmp_path: Path) -> None:
    """LevelDB's log format: a record that crosses the end of a block of 32 kB is cut into pieces."""

    def item(key: str, value: str) -> bytes:
        return message(1, message(2, key.encode()) + message(16, value.encode()))

    rows = [message(2, item("_step", str(i)) + item("val_acc", f"{i / 100}")) for i in range(100)]
    long = item("_step", "0.5") + item("val_acc", "0.005") + item("note", f'"{"x" * 40_000}"')
    payloads = [
        message(17, message(4, item("lr", "0.1"))),
        message(4, b"x" * 20_000),
        rows[0] + message(2, long),
        *rows[1:],
    ]
    data = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
    for whole in payloads:
        payload, first = whole, True
        while True:
            room = 32768 - len(data) % 32768
            if room < 7:
                data += bytes(room)
                continue
            part, payload = payload[: room - 7], payload[room - 7 :]
            kind = (1 if first else 4) if not payload else (2 if first else 3)
            data += struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            first = False
            if not payload:
                break
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(data)
    [log] = read_logs(path)
    assert log.frame["val_acc"].to_list() == [0, 0.005, *(i / 100 for i in range(1, 100))] and log.fields == {
        "lr": 0.1
    }
    path.write_bytes(data[:-3])
    assert len(read_logs(path)[0].frame) == 100 and "torn" in read_logs(path)[0].notes[0]


@pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="pip install 'epochal[wandb]' to run this"
)
def test_offline_runs_of_wandb_itself_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(dir=str(tmp_path), project="p", config={"seed": 3, "opt": {"lr": 0.5}})
    for step in range(40):
        run.log({"val_acc": step / 40, "global_step": 10 * step})
    run.finish()
    wandb.teardown()
    [log] = read_logs(tmp_path / "wandb")
    assert log.frame["val_acc"].to_list() == [s / 40 for s in range(40)]
    assert log.frame["global_step"].to_list() == [10 * s for s in range(40)]
    assert log.fields["seed"] == 3 and log.fields["opt.lr"] == 0.5


def test_charts_that_wandb_exports_are_unfolded(tmp_path: Path) -> None:
    (tmp_path / "chart.csv").write_text(
        '"Step","a-1 - val_acc","a-1 - val_acc__MIN","a-1 - val_acc__MAX","b-2 - val_acc","b-2 - val_acc__MIN'
        '","b-2 - val_acc__MAX"\n0,0.1,0.1,0.1,"","",""\n10,0.2,0.2,0.2,0.3,0.3,0.3\n'
    )
    found, value = population(read_logs(tmp_path / "chart.csv"), Reading())
    assert value == "val_acc" and found.members["log"].to_list() == ["a-1", "b-2"]
    assert found.metrics.select("member", "step", "val_acc").rows() == [
        (0, 0, 0.1),
        (0, 10, 0.2),
        (1, 10, 0.3),
    ]


def test_lightning_rows_are_joined_and_steps_count_updates(tmp_path: Path) -> None:
    """MIML's layout: percent, training and validation in rows of their own, the index of the last update."""
    for version, seed in ((10, 1), (2, 0)):
        folder = tmp_path / f"version_{version}"
        folder.mkdir()
        (folder / "hparams.yaml").write_text(
            f"random_seed: {seed}\nmax_lr: 1e-3\nanneal_lr: false\nname: 'x y'\nbetas:\n- 0.9\n"
            "f: !!python/name:os.system ''\nmodel:\n  width: 128\n"
        )
        (folder / "metrics.csv").write_text(
            "train_accuracy,val_accuracy,epoch,step\n1.5,,0,0\n,0.7,0,1\n99.5,,1,9\n,0.9,1,9\n"
        )
    assert read_hparams(tmp_path / "version_2" / "hparams.yaml") == {
        "random_seed": 0, "max_lr": 0.001, "anneal_lr": False, "name": "x y", "model.width": 128,
    }  # fmt: skip
    found, _ = population(read_logs(tmp_path), Reading())
    assert found.members["random_seed"].to_list() == [0, 1]
    first = found.metrics.filter(pl.col("member") == 0)
    assert first["step"].to_list() == [1, 2, 10]
    # The validation accuracy never leaves 1%, but its unit is that of the training accuracy beside it.
    assert first["val_accuracy"].to_list() == pytest.approx([None, 0.007, 0.009])
    assert first["train_accuracy"].to_list() == pytest.approx([0.015, None, 0.995])
    assert "percent" in found.taken[0] and "step + 1" in found.taken[0]


@pytest.mark.parametrize("percent", [None, True, False])
def test_units_are_seen_or_taken_as_said(tmp_path: Path, percent: bool | None) -> None:
    (tmp_path / "a.csv").write_text("step,val_acc,loss\n0,0.2,150\n10,0.9,120\n")
    found, _ = population(read_logs(tmp_path / "a.csv"), Reading(value="val_acc", percent=percent))
    assert found.metrics["val_acc"].to_list() == pytest.approx([0.002, 0.009] if percent else [0.2, 0.9])
    assert found.metrics["loss"].to_list() == [150, 120]


def test_long_tables_and_arms(tmp_path: Path) -> None:
    rows = [
        f"{seed},{decay},{step},{metric},{0.1 * seed + decay / 10 + step / 1000}"
        for seed in (0, 1) for decay in (0.1, 1) for step in (0, 10) for metric in ("val_acc", "irm")
    ]  # fmt: skip
    (tmp_path / "long.csv").write_text("seed,weight_decay,step,metric,value\n" + "\n".join(rows) + "\n")
    found, _ = population(read_logs(tmp_path / "long.csv"), Reading(others=("irm",)))
    assert len(found.members) == 4 and found.arms == ("weight_decay",)
    assert sorted(found.members.select("weight_decay", "seed").rows()) == [(0.1, 0), (0.1, 1), (1, 0), (1, 1)]
    assert "arm = weight_decay" in found.taken[0]
    row = found.members.filter((pl.col("seed") == 1) & (pl.col("weight_decay") == 1))["member"][0]
    own = found.metrics.filter(pl.col("member") == row)
    assert own["irm"].to_list() == pytest.approx([0.2, 0.21]) and own["step"].to_list() == [0, 10]


def test_a_run_that_ends_in_nan_has_diverged(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"step": 0, "val_loss": 1.0}\n{"step": 5, "val_loss": NaN}\n{"step": 9, "val_loss": "Infinity"}\n'
    )
    found, _ = population(read_logs(tmp_path / "a.jsonl"), Reading())
    assert found.members.select("outcome", "outcome_step").rows() == [("diverged", 5)]
    assert math.isinf(found.metrics["val_loss"][2])


def test_a_torn_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,val_acc,loss\n0,0.1,2\n1,0.2,1\n2,0.")
    log = read_csv(tmp_path / "a.csv")
    assert len(log.frame) == 2 and log.notes == ("a.csv: the torn last line 4 was left out",)
    (tmp_path / "a.jsonl").write_text('{"step": 0, "acc": 0.1}\n{"step": 1, "a')
    log = read_jsonl(tmp_path / "a.jsonl")
    assert len(log.frame) == 1 and "line 2" in log.notes[0]


@pytest.mark.parametrize(
    ("name", "text", "reading", "message"),
    [
        ("a.csv", "", Reading(), "is empty"),
        ("a.csv", "step,val_acc\n", Reading(), "has a header and no rows"),
        ("a.csv", "0,0.1\n1,0.2\n", Reading(), "begins with numbers"),
        ("a.csv", "step,val_acc\n0,0.1,7\n1,0.2\n", Reading(), "line 2 has 3 cells, its header 2"),
        ("a.csv", "step,val_acc\n0\n1,0.2\n", Reading(), "line 2 has 1 cells"),
        ("a.csv", "step,val_acc\n0,0.1\n1,high\n", Reading(value="val_acc"), "row 2: val_acc is 'high', no"),
        ("a.csv", "step,val_acc\nx,0.1\n1,0.2\n", Reading(), "row 1: step is 'x'"),
        ("a.csv", "time_of_day,val_acc\n0,0.1\n", Reading(), "no column that looks like a step"),
        ("a.csv", "step,val_acc\n0,0.1\n", Reading(value="val_ac"), "did you mean 'val_acc'"),
        ("a.csv", "step,val_acc\n0,0.1\n", Reading(others=("irn",)), "--align irn"),
        ("a.csv", "step,val_acc\n0,0.1\n", Reading(arms=("decay",)), "--arm decay: no log has it"),
        ("a.csv", "step,val_acc\n0,0.1\n5,0.2\n0,0.3\n", Reading(), "step 0 more than once with"),
        ("a.csv", "step,val_acc\n0,0.1\n5,250\n", Reading(), "val_acc reaches 250, above 100"),
        ("a.csv", "step,val_acc\n-3,0.1\n", Reading(), "steps are at least 0"),
        ("a.csv", "step,step\n1,1\n", Reading(), "has the column 'step' twice"),
        ("a.jsonl", '{"step": 1}\nnot json\n{"step": 2}\n', Reading(), "line 2 is no JSON"),
        ("a.jsonl", "[1, 2]", Reading(), "is no JSON object"),
        ("a.parquet", "no parquet", Reading(), "is no Parquet file"),
        ("a.docx", "x", Reading(), "ends in .docx, which is not known"),
        ("run.wandb", "no such thing", Reading(), "is no offline run of W&B"),
        ("x.tfevents.1", "0123456789abcdef", Reading(), "is damaged at byte 0"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path: Path, name: str, text: str, reading: Reading, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        population(read_logs(tmp_path / name), reading)
    assert message in str(error.value) and "\n" not in str(error.value)
