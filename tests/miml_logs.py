"""Logs as MIML-grokking writes them by Lightning, with planted steps to 99%."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HPARAMS: Mapping[str, object] = {
    "random_seed": -1,
    "gpu": 0,
    "ckpt_epoch": "'0'",
    "model": "Transformer",
    "batchsize": 0,
    "max_epochs": "null",
    "max_steps": 100000,
    "n_layers": 2,
    "n_heads": 4,
    "d_model": 128,
    "dropout": 0.1,
    "weight_noise": 0.0,
    "non_linearity": "relu",
    "max_context_len": 50,
    "math_operator": "+",
    "operand_length": "null",
    "num_operand": 2,
    "A_fraction": 1,
    "train_data_pct": 50,
    "warmup_steps": 10,
    "anneal_lr_steps": 100000,
    "anneal_lr": "false",
    "max_lr": 0.001,
    "weight_decay": 0.1,
    "weight_decay_kind": "to_zero",
    "noise_factor": 0,
    "save_activations": "false",
    "save_outputs": "false",
    "logdir": "logs",
    "datadir": "data",
    "optimizer": "AdamW",
}
COLUMNS = (
    "batches_per_epoch",
    "epoch",
    "full_train_acc",
    "full_train_loss",
    "fwd_time_in_epoch",
    "learning_rate",
    "len_train_ds",
    "len_val_ds",
    "paramnorm_embedding.weight",
    "step",
    "time_per_epoch",
    "train_accuracy",
    "train_loss",
    "train_perplexity",
    "val_accuracy",
    "val_loss",
    "val_perplexity",
)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Where the curves of a log reach 99% (None: never), how high they get, and where they end.

    ``final`` is the percentage at which a run ends that has lost again what it had learned.
    """

    train: int | None
    val: int | None
    last: int = 1000
    best_train: float = 100.0
    best_val: float = 100.0
    final: float | None = None
    num_train: int = 4704
    num_val: int = 4705
    hparams: Mapping[str, object] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


TREE: dict[str, Planted] = {
    "1AdamW_lr0.001_dropout0.1/Transformer_20%": Planted(
        train=227, val=None, best_val=1.0, num_train=1882, num_val=7527, hparams={"train_data_pct": 20}
    ),
    "1AdamW_lr0.001_dropout0.1/Transformer_50%": Planted(train=300, val=800),
    "1AdamW_lr0.001_dropout0.1/Transformer_80%": Planted(
        train=320, val=500, num_train=7527, num_val=1882, hparams={"train_data_pct": 80}
    ),
    "3Adam+full_batch/Adam_fullbatch_50%": Planted(
        train=104, val=None, best_val=13.0, hparams={"optimizer": "Adam", "batchsize": -1, "weight_decay": 0}
    ),
    "5SGD_lr0.01/70": Planted(
        train=400,
        val=None,
        best_val=26.0,
        num_train=6586,
        num_val=2823,
        hparams={"optimizer": "SGD_with_Nesterov_momentum", "max_lr": 0.01, "train_data_pct": 70},
    ),
    "vary_weight_decay/1": Planted(train=190, val=284, final=40.0, hparams={"weight_decay": 1.0}),
    "Different_p/SGD_p=23": Planted(
        train=190,
        val=None,
        best_val=5.2,
        num_train=317,
        num_val=212,
        hparams={"model": "MLP", "optimizer": "SGD", "train_data_pct": 60},
    ),
    "Different_A_fraction/SGD_p=151_30%": Planted(
        train=190,
        val=None,
        best_val=60.0,
        num_train=4077,
        num_val=2718,
        hparams={"model": "MLP", "optimizer": "SGD", "train_data_pct": 60, "A_fraction": 0.3},
    ),
    "Transformer_p=31/K=3/alpha=25": Planted(
        train=219, val=254, num_train=7448, num_val=22343, hparams={"num_operand": 3, "train_data_pct": 25}
    ),
    "Transformer_p=31/K=4/alpha=8_new": Planted(
        train=201, val=201, num_train=74843, num_val=664938, missing=("num_operand", "train_data_pct")
    ),
    "addition_LSTM_decay0.01/version_1": Planted(
        train=372, val=None, best_val=94.6, missing=("model", "optimizer", "weight_decay", "A_fraction")
    ),
}
"""A log of every kind that there is, by its folder."""


def write_log(path: Path, planted: Planted) -> Path:
    """``metrics.csv`` with rows of training and of validation, and ``hparams.yaml`` beside it.

    Steps are indices from 0 of the last update, epochs are counted twice, accuracies are percent; a row
    per 1% of steps in training and per 2% in validation. Train accuracy (dropout is on) lags a little behind
    that of the whole training set.
    """
    given = {**HPARAMS, **planted.hparams}
    hint = given["batchsize"]
    batch = planted.num_train if hint == -1 else min(512, math.ceil(planted.num_train / 2))
    batches = math.ceil(planted.num_train / batch)
    sizes = {
        "batches_per_epoch": batches,
        "len_train_ds": planted.num_train,
        "len_val_ds": planted.num_val,
    }
    rows: list[dict[str, object]] = []
    for step in _steps(batches - 1, 1.01, planted.last, planted.train):
        accuracy = _at(step, planted.train, planted.best_train)
        rows.append(
            {
                "epoch": step // batches * 2,
                "step": step,
                **sizes,
                "learning_rate": 0.001,
                "time_per_epoch": 0.1,
                "fwd_time_in_epoch": 0.05,
                "train_accuracy": accuracy,
                "train_loss": _loss(accuracy),
                "train_perplexity": math.exp(_loss(accuracy)),
            }
        )
    for step in _steps(1, 1.02, planted.last, planted.val):
        accuracy = _at(step, planted.val, planted.best_val)
        if planted.final is not None and step > 0.9 * planted.last:
            accuracy = planted.final
        full = _at(step, planted.train, planted.best_train, ahead=1.3)
        rows.append(
            {
                "epoch": step // batches * 2,
                "step": step,
                "val_accuracy": accuracy,
                "val_loss": 3 * _loss(accuracy),
                "val_perplexity": math.exp(3 * _loss(accuracy)),
                "full_train_acc": full,
                "full_train_loss": _loss(full),
                "paramnorm_embedding.weight": 1 / (1 + step / 1e4),
            }
        )
    rows.sort(key=lambda row: int(str(row["step"])))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    told = {name: value for name, value in given.items() if name not in planted.missing}
    lines = (f"{name}: {value}\n" for name, value in told.items())
    path.with_name(path.name.replace("metrics", "hparams").replace(".csv", ".yaml")).write_text(
        "".join(lines)
    )
    return path


def _steps(first: int, ratio: float, last: int, reached: int | None) -> list[int]:
    steps = {first, last} | ({reached} if reached is not None else set())
    at = first
    while at < last:
        steps.add(at)
        at = max(at + 1, int(at * ratio))
    return sorted(step for step in steps if step <= last)


def _at(step: int, reached: int | None, best: float, ahead: float = 1.0) -> float:
    """A rise in the logarithm of the step, in percent, that is 99.01% of its height where it is planted."""
    if reached is None:
        return best / (1 + math.exp(-1.2 * math.log((step + 1) / 3000)))
    return 100.0 / (1 + math.exp(-(4.605 + 8 * math.log(ahead * (step + 1) / (reached + 1)))))


def _loss(accuracy: float) -> float:
    return max(1e-6, -math.log(max(accuracy, 0.1) / 100.001))
