"""Bad input gets one clear line, exit code 2, and leaves nothing behind."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.engine.train import Moment, train
from epochal.store import atomic
from epochal.store.run import load
from tests.cli.conftest import TINY, Call, Have

RUN = ("run", "algorithmic")

BAD: list[tuple[tuple[str, ...], str]] = [
    (("run", "algoritmic"), "unknown experiment algoritmic: did you mean 'algorithmic'?"),
    ((*RUN, "widht=8"), "unknown field widht: did you mean 'width'"),
    ((*RUN, "train_fraction=40"), "train_fraction is a number > 0 and < 1: did you mean 0.4?"),
    ((*RUN, "heads=3", "width=8"), "heads=3 does not divide width=8: choose a divisor, such as 2"),
    (
        (*RUN, "operation=/", "modulus=15"),
        "modulus=15 is 3 x 5; operation=/ needs a prime, such as modulus=17",
    ),
    ((*RUN, "modulus=3", "train_fraction=0.99"), "leaves the validation set empty"),
    ((*RUN, "modulus=3", "train_fraction=0.01"), "leaves the training set empty"),
    ((*RUN, "modulus=7", "batch_size=500"), "batch_size=500 exceeds the 24 training examples"),
    (
        (*RUN, "operation=%"),
        "operation=% holds '%', which is part of no formula; operation=a^2+3b is a formula",
    ),
    ((*RUN, "operation=sotr"), "did you mean 'sort'?"),
    ((*RUN, "operation=a+b+c", "num_operands=2"), "operation=a+b+c has 3: leave num_operands out"),
    ((*RUN, "operation=a/0"), "operation=a/0 divides by 0, which is 0 modulo 97"),
    ((*RUN, "operation=mix1", "modulus=15"), "operation=mix1 needs a prime, such as modulus=17"),
    ((*RUN, "num_operands=5"), "equations, more than 2097152: give n_train"),
    ((*RUN, "num_operands=5", "n_train=9"), "equations, more than 2097152: give n_val"),
    ((*RUN, "num_operands=64"), "lower num_operands or the modulus"),
    ((*RUN, "n_train=9", "train_fraction=0.3"), "train_fraction=0.3 and n_train=9: give one of them"),
    ((*RUN, "modulus=3", "n_train=9"), "n_train can be at most 8"),
    ((*RUN, "modulus=3", "n_val=6"), "more than the 5 equations that train_fraction=0.5 leaves"),
    ((*RUN, "operation=parity"), "relevant_operands=3 exceeds the 2 operands of operation=parity"),
    (
        (*RUN, "operation=s5", "modulus=11"),
        "modulus=11 means nothing beside operation=s5, whose operands are 120 permutations: leave it out",
    ),
    ((*RUN, "relevant_operands=2"), "relevant_operands=2 means nothing beside operation=+"),
    ((*RUN, "operation=sort", "readout=mean"), "readout=mean gives one answer"),
    (
        (*RUN, "operation=3a^2+b", "vocabulary=openai", "tokens=infix"),
        "operation=3a^2+b has no token in vocabulary=openai",
    ),
    ((*RUN, "probes=loss,rank"), "unknown probe rank"),
    ((*RUN, "preset=dmeo"), "preset=dmeo is unknown to algorithmic: did you mean 'demo'?"),
    ((*RUN, "seed"), "'seed' is not FIELD=VALUE"),
    ((*RUN, "seed=1", "seed=2"), "seed is set twice"),
    ((*RUN, "--seed", "3"), "no option --seed; fields are written seed=VALUE, without dashes"),
    ((*RUN, "device=cuda:77"), "device=cuda:77 is not there: torch sees"),
    (("run",), "Missing argument"),
    (("tarin",), "No such command 'tarin'"),
    (("show", "nothing-like-it"), "no run 'nothing-like-it'"),
    (("show", "algorithmic", "dmeo"), "did you mean 'demo'?"),
    (("report", "nothing"), "no run 'nothing'"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_one_line_exit_code_2_nothing_left(
    call: Call, runs: Path, words: tuple[str, ...], message: str
) -> None:
    ended = call(*words)
    assert ended.code == 2
    assert len(ended.complaint) == 1 and message in ended.complaint[0]
    assert "Traceback" not in ended.err
    assert not runs.exists() or not list(runs.glob("[!.]*"))


def test_all_wrong_fields_in_one_short_list(call: Call) -> None:
    ended = call("run", "algorithmic", "widht=8", "learning_rate=fast", "beta2=98")
    assert ended.code == 2 and len(ended.complaint) == 1
    ended = call("run", "algorithmic", "learning_rate=fast", "beta2=98")
    assert [line.partition("=")[0] for line in ended.complaint] == ["learning_rate", "beta2"]


def test_a_run_of_another_format_is_refused(call: Call, have: Have) -> None:
    path = have("algorithmic", *TINY)
    spec = json.loads((path / "spec.json").read_text())
    (path / "spec.json").write_text(json.dumps(spec | {"format": 7}))
    for words in (["show", path.name], ["report", path.name]):
        ended = call(*words)
        assert ended.code == 2 and len(ended.complaint) == 1
        assert "has format 7, this version of epochal reads 1" in ended.complaint[0]


@pytest.mark.usefixtures("without_pages")
def test_a_full_disk_loses_nothing(call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = atomic.write_all

    def full(descriptor: int, data: bytes) -> None:
        if os.fstat(descriptor).st_size > 600:
            os.write(descriptor, data[:10])
            raise OSError(28, "No space left on device")
        whole(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr("epochal.store.records.write_all", full)
        ended = call("run", "algorithmic", *TINY)
    assert ended.code == 2 and len(ended.complaint) == 1
    assert "the disk is full" in ended.complaint[0] and "give the same command again" in ended.complaint[0]
    (path,) = runs.glob("[!.]*")
    assert all(
        line.endswith(b"}\n")
        for line in (path / "metrics/pack-0.jsonl").read_bytes().splitlines(keepends=True)
    )
    assert call("run", "algorithmic", *TINY).code == 0
    assert load(path).metrics["step"].to_list() == [0, 5, 10, 15, 20]


@pytest.mark.usefixtures("without_pages")
def test_a_torn_record_and_a_corrupt_state_are_survived_and_told(
    call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = call("run", "algorithmic", *TINY, "checkpoint_minutes=1e-9", "seed=4")
    assert reference.code == 0
    (path,) = runs.glob("[!.]*")
    expected = load(path).metrics
    (path / "DONE").unlink()
    (path / "metrics.parquet").unlink()
    newest = sorted((path / "resume").iterdir())[-1]
    data = bytearray(newest.read_bytes())
    data[-5] ^= 1
    newest.write_bytes(data)
    with (path / "metrics/pack-0.jsonl").open("ab") as file:
        file.write(b'{"member": 0, "st')
    ended = call("run", "algorithmic", *TINY, "checkpoint_minutes=1e-9", "seed=4")
    assert ended.code == 0
    assert "damaged" in ended.err and "step 19" in ended.err
    assert load(path).metrics.equals(expected)


class Stopping:
    """Sends signals to this process at a moment of training."""

    def __init__(self, at: int, number: int, times: int) -> None:
        self.at, self.number, self.times = at, number, times
        self.train = train

    def __call__(self, program: Program, population: Population, *, is_fresh: bool) -> Iterator[Moment]:
        for moment in self.train(program, population, is_fresh=is_fresh):
            if moment.step == self.at:
                for _ in range(self.times):
                    os.kill(os.getpid(), self.number)
            yield moment


@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupts_end_cleanly_and_say_how_to_resume(
    call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch, number: int, times: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("epochal.launch.training.train", Stopping(12, number, times))
        ended = call("run", "algorithmic", *TINY, "seed=0:2")
    assert ended.code == 130 and len(ended.complaint) == 1
    assert "Traceback" not in ended.err and "to resume" in ended.complaint[0]
    (path,) = runs.glob("[!.]*")
    if times == 1:
        assert "step 12 of 20" in ended.complaint[0] and "epochal run algorithmic" in ended.complaint[0]
        assert "interrupted at step 12" in call("ls").out
    resumed = call("run", "algorithmic", *TINY, "seed=0:2")
    assert resumed.code == 0
    assert ("continues after step 12" in resumed.err) == (times == 1)
    assert load(path).metrics.filter(load(path).metrics["member"] == 1)["step"].to_list() == [
        0,
        5,
        10,
        15,
        20,
    ]


@pytest.mark.usefixtures("without_pages")
def test_a_run_that_began_with_fewer_columns_goes_on_with_those(
    call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("epochal.launch.training.train", Stopping(12, signal.SIGINT, 1))
        call("run", "algorithmic", *TINY, "seed=0:2")
    (path,) = runs.glob("[!.]*")
    schema = json.loads((path / "schema.json").read_text())
    del schema["columns"]["val_loss"]
    (path / "schema.json").write_text(json.dumps(schema))
    resumed = call("run", "algorithmic", *TINY, "seed=0:2")
    assert resumed.code == 0 and "val_loss: measured since a later version" in resumed.err
    assert "val_loss" not in load(path).metrics.columns and load(path).metrics["step"].max() == 20


def test_memory_that_is_not_there_is_told_and_leaves_nothing(
    call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(program: object) -> object:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:75] . DefaultCPUAllocator: can't allocate memory: 9 TB"
        )

    monkeypatch.setattr("epochal.launch.training.initial_population", hungry)
    ended = call("run", "algorithmic", *TINY)
    assert ended.code == 2 and len(ended.complaint) == 1
    assert "not enough memory" in ended.complaint[0] and "lower width" in ended.complaint[0]
    assert not list(runs.glob("[!.]*"))
