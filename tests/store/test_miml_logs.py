"""MIML-grokking's logs, with planted steps: fields, counters, copies."""

from pathlib import Path

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.launch.importing import import_found
from epochal.store.foreign.columns import Reading
from epochal.store.foreign.copies import without_copies
from epochal.store.foreign.found import Found
from epochal.store.foreign.lightning import lightning_files
from epochal.store.foreign.miml import in_our_terms, is_miml, modulus_of
from epochal.store.foreign.population import population
from epochal.store.foreign.sources import read_logs
from tests.miml_logs import TREE, Planted, write_log


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("miml")
    for folder, planted in TREE.items():
        write_log(root / folder / "metrics.csv", planted)
    return root


def brought(tree: Path, *, halve_epochs: bool = True, offset: int | None = None) -> Found:
    logs = [in_our_terms(log, halve_epochs=halve_epochs) for log in read_logs(tree)]
    return population(logs, Reading(offset=offset))[0]


def member_of(found: Found, folder: str) -> dict[str, object]:
    return found.members.row(by_predicate=pl.col("log") == folder, named=True)


def first_step(found: Found, folder: str, column: str) -> int | None:
    own = found.metrics.filter(pl.col("member") == member_of(found, folder)["member"])
    steps = own.filter(pl.col(column) >= 0.99)["step"]
    return int(steps.min()) if len(steps) else None  # type: ignore[arg-type]


def test_fields_come_from_hyperparameters_and_sizes(tree: Path) -> None:
    found = brought(tree)
    wanted: dict[str, dict[str, object]] = {
        "1AdamW_lr0.001_dropout0.1/Transformer_20%": {
            "model": "transformer",
            "optimizer": "adamw",
            "modulus": 97,
            "num_operands": 2,
            "operand_fraction": 1.0,
            "train_fraction": 0.2,
            "learning_rate": 0.001,
            "weight_decay": 0.1,
            "batch_size": "512",
        },
        "3Adam+full_batch/Adam_fullbatch_50%": {
            "optimizer": "adam",
            "weight_decay": 0.0,
            "batch_size": "full",
        },
        "5SGD_lr0.01/70": {"optimizer": "sgd", "learning_rate": 0.01, "train_fraction": 0.7},
        "Different_p/SGD_p=23": {"model": "mlp", "modulus": 23, "batch_size": "159", "train_fraction": 0.6},
        "Different_A_fraction/SGD_p=151_30%": {"modulus": 151, "operand_fraction": 0.3},
        "Transformer_p=31/K=3/alpha=25": {"modulus": 31, "num_operands": 3, "train_fraction": 0.25},
        # Told by its path: K, the share, and the modulus, since equations of other lengths are among its.
        "Transformer_p=31/K=4/alpha=8_new": {"modulus": 31, "num_operands": 4, "train_fraction": 0.08},
        "addition_LSTM_decay0.01/version_1": {"model": "lstm", "weight_decay": 0.01, "optimizer": "adamw"},
    }
    for folder, fields in wanted.items():
        member = member_of(found, folder)
        assert {name: member[name] for name in fields} == fields
    assert any("739781 equations fit no modulus with K = 4; it is its path's" in note for note in found.taken)
    assert not {"p", "K", "alpha", "math_operator"} & set(found.members.columns)


def test_steps_are_completed_updates_and_epochs_are_halved(tree: Path) -> None:
    found, logged = brought(tree), brought(tree, halve_epochs=False, offset=0)
    for folder, planted in TREE.items():
        for column, step in (("train_accuracy", planted.train), ("val_accuracy", planted.val)):
            assert first_step(found, folder, column) == (None if step is None else step + 1)
            assert first_step(logged, folder, column) == step
    # 10 batches an epoch: the update with index 999 is the last of epoch 99.
    folder = "1AdamW_lr0.001_dropout0.1/Transformer_50%"
    member = member_of(found, folder)["member"]
    own = found.metrics.filter((pl.col("member") == member) & pl.col("train_accuracy").is_not_null())
    assert (own["epoch"] == (own["step"] - 1) // 10).all()
    twice = logged.metrics.filter((pl.col("member") == member) & pl.col("train_accuracy").is_not_null())
    assert (twice["epoch"] == twice["step"] // 10 * 2).all()
    assert found.metrics["val_accuracy"].max() == pytest.approx(1.0, abs=1e-3)


def test_the_modulus_is_the_only_one_with_that_many_equations() -> None:
    for p in (2, 23, 31, 47, 97, 151, 199):
        for operands in (2, 3, 4, 5):
            for share in (1.0, 0.1, 0.3, 0.5):
                first = p if share == 1 else max(1, int(share * p))
                every = [
                    q
                    for q in range(2, 260)
                    if (q if share == 1 else max(1, int(share * q))) * q ** (operands - 1)
                    == first * p ** (operands - 1)
                ]
                assert modulus_of(first * p ** (operands - 1), operands, share) in every
    assert modulus_of(97 * 97 + 1, 2, 1.0) is None


def test_reading_tells_how_many_logs_of_a_folder_are_done(tree: Path) -> None:
    told: list[tuple[int, int]] = []
    read_logs(tree, lambda done, of: told.append((done, of)))
    assert told == [(number, len(TREE)) for number in range(len(TREE))]


def test_importing_tells_of_records_and_events(tree: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found, _ = population([in_our_terms(log, halve_epochs=True) for log in read_logs(tree)[:2]], Reading())
    import_found(found, tmp_path, label="logs", program="Lightning", tell=lambda *words: told.append(words))
    assert told[0] == ("records", 0, len(found.metrics))
    assert [what for what, _, _ in told] == sorted((what for what, _, _ in told), reverse=True)
    assert {of for what, _, of in told if what == "events"} == {len(found.members)}


def test_numbered_downloads_are_runs_and_copies_are_not(tmp_path: Path) -> None:
    first = write_log(tmp_path / "70" / "metrics.csv", Planted(train=100, val=500))
    write_log(tmp_path / "70" / "metrics (2).csv", Planted(train=110, val=600, hparams={"max_lr": 0.01}))
    (tmp_path / "80").mkdir()
    for name in ("metrics.csv", "hparams.yaml"):
        (tmp_path / "80" / name).write_bytes(first.with_name(name).read_bytes())
    (tmp_path / "70" / "metrics_old.csv").write_text("not,a,log\n")
    assert len(lightning_files(tmp_path)) == 3
    logs = without_copies(read_logs(tmp_path))
    assert len(logs) == 2 and sum("one log is a copy of others" in n for log in logs for n in log.notes) == 1
    found, _ = population([in_our_terms(log) for log in logs], Reading())
    assert sorted(found.members["learning_rate"]) == [0.001, 0.01]


def test_other_lightning_logs_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,val_acc\n0,0,0.1\n1,9,0.9\n")
    (tmp_path / "hparams.yaml").write_text("max_lr: 0.1\n")
    (log,) = read_logs(tmp_path)
    assert not is_miml(log) and log.fields == {"max_lr": 0.1}


def test_a_tree_without_logs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no log that is known"):
        read_logs(tmp_path)
