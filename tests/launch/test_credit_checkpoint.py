"""A checkpoint file from elsewhere gives what a stored run of the same network gives; others are refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.experiments.restore import program_of, restore
from epochal.launch.credit.checkpoint import judge_checkpoint, read_checkpoint
from epochal.launch.credit.null import judge
from epochal.store.run import Run
from tests.launch.test_credit_null import SMALL

THEIRS = {
    "embed": "embed", "norm": "out_ln", "readout": "head",
    "block.{}.norm": "blocks.{}.ln", "block.{}.first": "blocks.{}.fc1", "block.{}.second": "blocks.{}.fc2",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return epochal.run(
        "images",
        runs=tmp_path_factory.mktemp("runs"),
        rule="dfa",
        residual="true,false",
        seed=3,
        split_seed=0,
        **SMALL,
    )


def file_of(run: Run, path: Path, member: int = 0, **changes: Any) -> Path:
    """As the scripts write it, under names of their kind."""
    module = restore(run, member)
    state = {}
    for name, value in module.state_dict().items():
        for ours, theirs in THEIRS.items():
            for block in range(2):
                if name.rpartition(".")[0] == ours.format(block):
                    state[f"{theirs.format(block)}.{name.rpartition('.')[2]}"] = value
    memory = initial_population(program_of(run, (member,), executor="loop")).memory
    feedback = [memory[f"block.{block}"][0] for block in range(2)]
    torch.save({"state_dict": state, "Bs": feedback, "test_acc": 0.5, **changes}, path)
    return path


@pytest.mark.parametrize(("member", "residual"), [(0, True), (1, False)])
def test_the_file_of_a_network_gives_what_its_run_gives(
    run: Run, tmp_path: Path, member: int, residual: bool
) -> None:
    # Digits have no test split: both see the examples that split_seed=0 holds out.
    checkpoint = read_checkpoint(file_of(run, tmp_path / "net.pt", member), residual=residual)
    found = judge_checkpoint(checkpoint, "digits", None, samples=40, draws=99)
    module = restore(run, member)
    inputs = torch.randn(3, 64)
    assert torch.equal(checkpoint.network(inputs), module(inputs))
    step = run.last_snapshot(member)
    assert found.published.training == pytest.approx(
        judge(run, member, draws=99).published[step].training, abs=1e-6
    )


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)
    return str(error.value)


class Hostile:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.pt"
    torch.save({"state_dict": Hostile(), "Bs": [], "test_acc": 0.0}, path)
    assert "without executing" in refusal(path)
    path.write_bytes(pickle.dumps(Hostile()))
    assert "without executing" in refusal(path)
    assert capsys.readouterr().out == ""


def test_other_files_are_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    assert "without executing" in refusal(tmp_path / "text.pt")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    assert "has no state_dict; it has weights" in refusal(tmp_path / "other.pt")
    one = [torch.randn(12, 10)]
    assert "1 Bs for 2 blocks" in refusal(file_of(run, tmp_path / "few.pt", Bs=one))
    thin = [torch.randn(11, 10)] * 2
    assert "of width 11" in refusal(file_of(run, tmp_path / "thin.pt", Bs=thin))
    assert "shapes none" in refusal(file_of(run, tmp_path / "no.pt", Bs=[]))
    mlp = {"layers.0.weight": torch.zeros(3, 2)}
    assert "is no residual MLP" in refusal(file_of(run, tmp_path / "mlp.pt", state_dict=mlp))


def test_images_of_another_size_are_refused(run: Run, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(file_of(run, tmp_path / "net.pt"))
    other = tmp_path / "other.npz"
    write_images(other)
    with pytest.raises(UserError, match="takes 64 numbers per image"):
        judge_checkpoint(checkpoint, "npz", str(other))


def write_images(path: Path) -> None:
    images, labels = np.zeros((4, 5, 5), np.uint8), np.array([0, 1, 0, 1])
    images[::2] = 200
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
