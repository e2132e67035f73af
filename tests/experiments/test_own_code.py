"""Own code: what identifies it, when it is executed, and what a run keeps of it."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import epochal
from epochal.core.values.errors import UserError
from epochal.experiments.catalog import find
from epochal.store.catalog import list_runs
from tests.engine.programs import SMALL, built, same_bits, trained

NET = """
from pathlib import Path
from torch import nn
trace = Path("{trace}")
trace.write_text((trace.read_text() if trace.exists() else "") + "x")

class Net(nn.Module):
    def __init__(self, num_inputs, num_classes, width=3):
        super().__init__()
        self.hidden, self.readout = nn.Linear(num_inputs, width), nn.Linear(width, num_classes)

    def forward(self, x):
        return self.readout(self.hidden(x.flatten(1)).relu())
"""
RULE = """
from epochal.rules.backprop import Backprop
class Own:
    def surrogate(self, lesson):
        return Backprop().surrogate(lesson)
"""
PROBE = """
import epochal, torch
class Choice(epochal.Options):
    power: float = 1.0
    sites: tuple[str, ...] = ()

@epochal.probe(columns=("mean_size",), unit="1", low=0.0, high=1e9, null="0", cost="little", source="here")
def mean_size(options: Choice, view: epochal.View):
    return {"mean_size": view.flat.double().abs().pow(options.power).mean()}

@epochal.probe(columns={"size": 1}, unit="1", low=0.0, high=1e9, null="0", cost="one pass", source="here")
def size(options, view):
    seen = view.activations("val").values()
    return {"size": torch.stack([h.double().square().mean().sqrt() for h in seen])}
"""
DATA = """
import numpy as np
def load(path=None):
    g = np.random.default_rng(0 if path is None else int(path))
    labels = g.integers(0, 3, 60)
    images = (labels[:, None, None] * 80 + g.integers(0, 40, (60, 6, 6))).astype(np.uint8)
    return {"train_images": images, "train_labels": labels}
def wrong(): return {"train_images": np.zeros((4, 2, 2)), "train_labels": np.zeros(4, int)}
def pair(): return np.zeros((4, 2, 2), np.uint8), np.array([0, 1, 0, 1])
def nothing(): return 3
def unpaired(): return {"train_images": np.zeros((4, 2, 2), np.uint8)}
def stranger(): return {"images": 1}
def hungry(size): return size
"""
TINY: dict[str, Any] = {
    "n_train": 40, "batch_size": 10, "max_steps": 4, "record_every": 2, "snapshot_every": 2, "threads": 1,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a file of each kind."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("EPOCHAL_RUNS", str(tmp_path / "runs"))
    (here / "net.py").write_text(NET.format(trace=tmp_path / "trace"))
    for name, text in {"rule": RULE, "probe": PROBE, "data": DATA}.items():
        (here / f"{name}.py").write_text(text)
    return here


def images_request(settings: dict[str, Any]) -> Any:
    return find("images").request(settings)


def ask(**settings: Any) -> Any:
    return images_request({**TINY, **settings})


def test_the_source_identifies_it_and_the_place_does_not(folder: Path) -> None:
    first = ask(model="./net.py:Net")
    (folder / "sub").mkdir()
    shutil.copy(folder / "net.py", folder / "sub" / "other.py")
    assert ask(model="sub/other.py:Net").run_id == first.run_id
    assert ask(model=str(folder / "net.py") + ":Net").member_ids == first.member_ids
    assert ask(model="./net.py:Other").member_ids != first.member_ids
    (folder / "net.py").write_text((folder / "net.py").read_text() + "# edited\n")
    assert ask(model="./net.py:Net").member_ids != first.member_ids
    assert ask().member_ids == ask(rule="backprop").member_ids


def test_the_command_and_the_name_are_readable(folder: Path) -> None:
    request = ask(
        model="./net.py:Net", probes="+./probe.py:mean_size@p2", **{"probe_options.mean_size@p2.power": 2}
    )
    assert "model=./net.py:Net" in request.command
    assert "probes=loss,accuracy,weight_norm,./probe.py:mean_size@p2" in request.command
    assert "probe_options.mean_size@p2.power=2" in request.command
    assert "-model_Net-" in request.name


def test_a_request_for_a_model_executes_nothing(folder: Path, tmp_path: Path) -> None:
    ask(model="./net.py:Net,mlp", rule="./rule.py:Own", probes="+./probe.py:size")
    assert not (tmp_path / "trace").exists()


def test_a_run_keeps_a_copy_and_reading_it_executes_nothing(folder: Path, tmp_path: Path) -> None:
    run = epochal.run("images", model="./net.py:Net", probes="+./probe.py:size", progress=False, **TINY)
    assert (tmp_path / "trace").read_text() == "x", "executed once"
    for name in ("net", "probe"):
        (copy,) = (run.path / "code").glob(f"{name}-*.py")
        assert copy.read_bytes() == (folder / f"{name}.py").read_bytes()
        (folder / f"{name}.py").write_text("raise SystemExit('the original is executed')")
    for module in [name for name in sys_modules() if name.startswith("epochal_own_code_")]:
        del sys_modules()[module]
    again = epochal.load(run.path)
    assert list_runs(run.path.parent).height == 1 and again.members.height == 1
    assert again.metrics.schema["size"] == pl.List(pl.Float64)
    from epochal.report.page import write_report

    write_report(again)
    assert (tmp_path / "trace").read_text() == "x", "loading, listing and reporting execute nothing"
    module = again.model(0)
    assert type(module).__name__ == "Net" and (tmp_path / "trace").read_text() == "xx", "the copy is executed"
    assert module.hidden.weight.shape[0] == 200, "the constructor got the field width, which it names"


def sys_modules() -> dict[str, Any]:
    import sys

    return sys.modules


@pytest.mark.usefixtures("without_pages")
def test_a_copy_that_was_edited_is_refused(folder: Path) -> None:
    run = epochal.run("images", model="./net.py:Net", progress=False, **TINY)
    (copy,) = (run.path / "code").iterdir()
    copy.write_text(copy.read_text() + "#")
    with pytest.raises(UserError, match=r"net-.*\.py is not what it was"):
        epochal.load(run.path).model(0)
    copy.unlink()
    with pytest.raises(UserError, match=r"there is no file .*net-"):
        epochal.load(run.path).model(0)


def test_a_rule_of_ones_own_is_composed_as_backprop_is(folder: Path) -> None:
    for settings in ({}, {"sam_rho": 0.05, "weight_noise": 0.01}):
        common = {**SMALL, "seed": "0:2", **settings}
        mine, _ = trained(built("algorithmic", {**common, "rule": "./rule.py:Own"}))
        ours, _ = trained(built("algorithmic", common))
        assert same_bits(mine.flat, ours.flat)


def test_a_probe_with_two_sets_of_options(folder: Path) -> None:
    run = epochal.run(
        "images",
        probes="-weight_norm,+./probe.py:mean_size,+./probe.py:mean_size@square,+./probe.py:size",
        probe_options={"mean_size@square": {"power": "2"}},
        probe_every={"size": "1ep"},
        seed="0:2",
        progress=False,
        **TINY,
    )
    columns = [
        "train_loss",
        "val_loss",
        "train_accuracy",
        "val_accuracy",
        "mean_size",
        "mean_size@square",
        "size",
    ]
    assert run.metrics.columns == ["member", "step", "epoch", *columns]
    assert run.spec["probes"]["mean_size@square"] == {"power": 2.0, "sites": []}
    assert run.schema["size"]["dtype"] == "list[float64]" and run.schema["mean_size@square"]["unit"] == "1"
    flat = run.snapshot(1, 4)["params"].astype(float)
    last = run.metrics.filter((pl.col("member") == 1) & (pl.col("step") == 4))
    assert last["mean_size"].item() == pytest.approx(abs(flat).mean(), rel=1e-12)
    assert last["mean_size@square"].item() == pytest.approx((flat**2).mean(), rel=1e-12)
    assert last["size"].to_list()[0] is not None and len(last["size"].to_list()[0]) == 2
    assert run.metrics["size"].null_count() == 2, "one epoch is four steps, records come every two"
    assert (run.path / "report.html").exists()


def test_options_at_their_defaults_are_the_same_run(folder: Path) -> None:
    plain = ask(probes="+./probe.py:mean_size")
    spelt = ask(probes="+./probe.py:mean_size", **{"probe_options.mean_size.power": "1.00"})
    other = ask(probes="+./probe.py:mean_size", **{"probe_options.mean_size.power": "2"})
    assert plain.run_id == spelt.run_id != other.run_id
    again = ask(probes="+./probe.py:mean_size", probe_options={"mean_size": {"power": "2.00"}})
    assert again.run_id == other.run_id and again.command == other.command
    assert other.member_ids == plain.member_ids


def test_images_of_ones_own(folder: Path) -> None:
    request = images_request({"data": "./data.py:load", "epochs": 3, "batch_size": 12})
    assert request.spec.max_steps == 3 * 4, "48 of 60 images are left when a fifth is held out"
    assert request.spec.data_checksum and request.spec.data.startswith("load#")
    moved = images_request({"data": "./data.py:load", "data.path": "1", "epochs": 3, "batch_size": 12})
    assert moved.spec.data_checksum != request.spec.data_checksum
    made = find("images").build(request.members)
    assert (made.task.size("train"), made.task.size("val"), made.task.num_classes) == (48, 12, 3)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("wrong", "wrong in ./data.py, train: images are float64, expected uint8"),
        ("nothing", "nothing in ./data.py gives int; expected an ImageSet"),
        ("unpaired", "unpaired in ./data.py gives no train_labels"),
        ("stranger", "stranger in ./data.py gives 'images'; expected"),
        ("hungry", "hungry in ./data.py needs an argument other than path"),
        ("lod", "./data.py has no lod: did you mean 'load'"),
    ],
)
def test_images_that_do_not_fit_are_told(folder: Path, name: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        ask(data=f"./data.py:{name}")
    assert problem in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_tuple_of_arrays_is_a_set(folder: Path) -> None:
    assert images_request({"data": "./data.py:pair"}).spec.data_checksum


def test_a_model_for_tokens_gets_what_the_task_knows(folder: Path) -> None:
    (folder / "tokens.py").write_text("""
import torch
from torch import nn
class Tokens(nn.Module):
    def __init__(self, vocabulary, sequence_length, num_classes, width, depth):
        super().__init__()
        assert (vocabulary, sequence_length, num_classes, width, depth) == (12, 3, 11, 16, 1)
        self.embed = nn.Embedding(vocabulary, width)
        self.readout = nn.Linear(sequence_length * width, num_classes)
    def forward(self, tokens, tap):
        return self.readout(tap("embed", self.embed(tokens)).flatten(1))
""")
    made = built("algorithmic", {**SMALL, "model": "./tokens.py:Tokens", "seed": "0:2"})
    population, _ = trained(made)
    assert population.is_alive.all()
    assert not torch.equal(population.flat, population.initial)
