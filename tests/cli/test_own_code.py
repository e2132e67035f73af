"""new, check and probe on the command line; own code that fails ends in one line and leaves nothing."""

import json
import sys
from pathlib import Path

import pytest

import epochal
from tests.cli.conftest import TINY, Call, Have

IMAGES = ("run", "images", "n_train=40", "batch_size=10", "max_steps=3", "record_every=1", "threads=1")

FILES = {
    "broken.py": "import torch\nclass Net(:\n",
    "imports.py": "import torch\nimport nowhere_to_be_found\n",
    "fails.py": "value = 1 / 0\n",
    "models.py": """
import torch
from torch import nn
class Base(nn.Module):
    def __init__(self, num_inputs, num_classes):
        super().__init__()
        self.fc = nn.Linear(num_inputs, num_classes)
class Needs(nn.Module):
    def __init__(self, hidden, num_classes): ...
class Constructor(nn.Module):
    def __init__(self): raise ValueError("no such thing")
class Mismatch(Base):
    def forward(self, x): return self.fc(x)
class Shape(Base):
    def forward(self, x): return self.fc(x.flatten(1))[:, :3]
class Generator(Base):
    def forward(self, x): return nn.functional.dropout(self.fc(x.flatten(1)), 0.5, self.training)
class Hidden(Base):
    def __init__(self, num_inputs, num_classes):
        super().__init__(num_inputs, num_classes)
        self.all = [torch.ones(num_classes, requires_grad=True)]
    def forward(self, x): return self.fc(x.flatten(1)) * self.all[0]
class Recurrent(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(8, 4, batch_first=True), nn.Linear(4, num_classes)
    def forward(self, x): return self.fc(self.lstm(x[:, 0])[0][:, -1])
def not_a_module(num_classes): return num_classes
""",
    "probes.py": """
import epochal, torch
def plain(options, view): return {}
@epochal.probe(columns=("x",), unit="1", low=0.0, high=1.0, null="0", cost="little", source="here")
def late(options, view):
    return {"x": view.flat[0] if view.step < 2 else torch.stack(1)}
""",
    "rules.py": """
class Empty: pass
class Needs:
    def __init__(self, rate): ...
    def surrogate(self): ...
""",
}

BAD = [
    ("model=./nowhere.py:Net", "there is no file ./nowhere.py"),
    ("model=./models.py", "names nothing in a file; write model=./models.py:NAME"),
    ("model=./models.py:Need", "./models.py has no Need: did you mean 'Needs'"),
    ("model=./broken.py:Net", "line 2 of ./broken.py is not Python"),
    (
        "model=./imports.py:Net",
        "./imports.py line 2: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ),
    ("model=./fails.py:Net", "./fails.py line 1: ZeroDivisionError"),
    ("model=./models.py:Needs", "needs hidden; what it can get is num_inputs, num_classes, image_shape"),
    ("model=./models.py:Constructor", "line 11: ValueError: no such thing"),
    ("model=./models.py:Mismatch", "line 13: RuntimeError: mat1 and mat2 shapes"),
    ("model=./models.py:Shape", "gives (2, 3) for inputs (2, 1, 8, 8); expected logits (2, 10)"),
    ("model=./models.py:Generator", "use nn.Dropout in a model"),
    ("model=./models.py:Hidden", "nn.ParameterList"),
    ("model=./models.py:not_a_module", "makes int; model takes what makes an nn.Module"),
    ("model=mpl", "did you mean 'mlp'"),
    ("rule=./rules.py:Empty", "it has no method surrogate"),
    ("rule=./rules.py:Needs", "needs rate; a rule is made without arguments"),
    ("probes=+./probes.py:plain", "plain in ./probes.py is no probe"),
    ("probes=./probes.py:late", "own code fails: ./probes.py line 6: TypeError"),
    ("probes=+loss,accuracy", "mixes a list with changes"),
    ("probes=-lss", "probes=-lss takes away what is not there: did you mean 'loss'"),
    ("probes=loss,loss", "probes names loss twice; a label tells them apart"),
    ("probe_options.weight_norm.power=2", "probe_options.weight_norm.power=2: weight_norm has no options"),
    ("probe_options.los.power=2", "did you mean 'loss'"),
    ("probe_every.los=2", "probe_every.los schedules a probe that"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name, text in FILES.items():
        (here / name).write_text(text)
    return here


@pytest.mark.parametrize(("word", "message"), BAD)
def test_one_line_exit_code_2_nothing_left(
    call: Call, runs: Path, folder: Path, word: str, message: str
) -> None:
    ended = call(*IMAGES, word)
    assert ended.code == 2, ended.out
    assert len(ended.complaint) == 1 and message in ended.complaint[0]
    assert "Traceback" not in ended.err
    assert not runs.exists() or not list(runs.glob("[!.]*/spec.json")) or word == "probes=./probes.py:late"


@pytest.mark.usefixtures("without_pages")
def test_what_vmap_cannot_batch_is_told_and_trains_in_turn(call: Call, folder: Path) -> None:
    asked = call(*IMAGES, "model=./models.py:Recurrent", "seed=0:2", "executor=vmap")
    assert asked.code == 2 and "executor=loop" in asked.complaint[0]
    ended = call(*IMAGES, "model=./models.py:Recurrent", "seed=0:2")
    assert ended.code == 0 and "cannot be batched over members" in ended.err


@pytest.mark.parametrize(
    ("kind", "named", "field"), [("probe", "mine", "probes=+"), ("rule", "Mine", "rule=")]
)
def test_a_new_file_passes_its_checks_and_runs(
    call: Call, folder: Path, kind: str, named: str, field: str
) -> None:
    written = call("new", kind, "mine")
    assert written.code == 0 and f"epochal check ./mine.py:{named}" in written.out
    checked = call("check", f"./mine.py:{named}")
    assert checked.code == 0 and "FAIL" not in checked.out and "5 of 5 checks hold" in checked.out
    assert call("run", "algorithmic", *TINY, f"{field}./mine.py:{named}").code == 0
    text = (folder / "mine.py").read_text()
    (folder / "mine.py").write_text("mine")
    assert call("new", kind, "mine").code == 2 and (folder / "mine.py").read_text() == "mine"
    assert call("new", kind, "mine", "--force").code == 0 and (folder / "mine.py").read_text() == text


def test_a_check_that_fails_is_told_with_exit_code_1(call: Call, folder: Path) -> None:
    call("new", "probe", "mine")
    text = (folder / "mine.py").read_text()
    (folder / "mine.py").write_text(text.replace('{"mine": 0.25}', '{"mine": 0.75}'))
    ended = call("check", "./mine.py:mine")
    assert ended.code == 1 and "FAIL  its truths hold" in ended.out
    assert "mine is 0.25, its truth says 0.75" in ended.out and "4 of 5 checks hold" in ended.out
    rows = json.loads(call("check", "./mine.py:mine", "--json").out)
    assert [row["passed"] for row in rows] == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("new", "prob", "x"), "did you mean 'probe'"),
        (("new", "probe", "my-probe"), "'my-probe' cannot name a probe in Python"),
        (("new", "probe", "class"), "'class' cannot name a probe"),
        (("check", "./models.py"), "./models.py names nothing in a file; write ./FILE.py:NAME"),
        (("check", "loss"), "loss names nothing in a file; write ./FILE.py:NAME"),
        (("check", "./models.py:Shape"), "is a model; `epochal run images model=./models.py:Shape --plan`"),
        (("check", "./probes.py:plain"), "is neither a probe"),
    ],
)
def test_new_and_check_say_what_they_take(
    call: Call, folder: Path, words: tuple[str, ...], message: str
) -> None:
    ended = call(*words)
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]


def test_measuring_from_the_command_line(call: Call, have: Have, folder: Path) -> None:
    call("new", "probe", "mine")
    path = have("algorithmic", *TINY, "seed=0:2", "snapshot_every=10")
    words = ("probe", path.name, "./mine.py:mine", "weight_norm", "mine.threshold=0.1")
    ended = call(*words, "--members", "0:1", "--steps", "10,20")
    assert ended.code == 0 and ended.out.count("table   ") == 2 and "(2 rows)" in ended.out
    rows = json.loads(call(*words, "--json").out)
    assert len(rows) == 2 * 6 and {row["probe"] for row in rows} == {"mine", "weight_norm"}
    run = epochal.load(path)
    recorded = run.metrics.filter(run.metrics["step"].is_in([0, 10, 20])).sort("member", "step")
    measured = [row["weight norm"] if "weight norm" in row else row.get("weight_norm") for row in rows[6:]]
    assert measured == recorded["weight_norm"].to_list()
    assert '{"threshold": 0.1}' in run.probes["options"].to_list()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("weight_norm", "x=1"), "weight_norm.x=1: weight_norm has no options"),
        (("x=1",), "name at least one probe"),
        (("loss", "accuracy", "x=1"), "x=1 could be of loss or accuracy: write loss.x=1"),
        (("loss", "los.x=1"), "is an option of los, which is not measured"),
        (("loss", "loss"), "probes are named twice"),
        (("loss", "--steps", "7"), "has no snapshot of step 7; the nearest are"),
        (("loss", "--members", "one"), "--members one is not a list of whole numbers"),
        (("lss",), "did you mean 'loss'"),
    ],
)
def test_probe_says_what_it_takes(call: Call, have: Have, words: tuple[str, ...], message: str) -> None:
    path = have("algorithmic", *TINY)
    ended = call("probe", path.name, *words)
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]


def test_help_of_the_new_commands_needs_no_torch() -> None:
    import subprocess

    for command in ("new", "check", "probe"):
        script = f"""
import sys, epochal.cli
try:
    epochal.cli.main(["{command}", "--help"])
except SystemExit:
    print("torch" in sys.modules)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False"
