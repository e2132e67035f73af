"""Logs of MIML-grokking, whose hyperparameters and counters are known: what they are in epochal's terms."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from epochal.store.foreign.log import Log, Value

SIZES = ("len_train_ds", "len_val_ds")
OPTIMIZERS = {"adamw": "adamw", "adam": "adam", "sgd": "sgd", "rmsprop": "rmsprop"}
MODELS = {"transformer": "transformer", "lstm": "lstm", "mlp": "mlp"}
NAMED = {
    "p": re.compile(r"(?<![A-Za-z])p=(\d+)"),
    "K": re.compile(r"(?<![A-Za-z])K=(\d+)"),
    "percent": re.compile(r"alpha=(\d+(?:\.\d+)?)|(?<![\d.])(\d+(?:\.\d+)?)%"),
    "rate": re.compile(r"lr[_=]?(\d[\d.]*(?:e-?\d+)?)", re.IGNORECASE),
    "decay": re.compile(r"(?:wd|decay)[_=]?(\d[\d.]*)", re.IGNORECASE),
    "dropout": re.compile(r"(?<!no_)dropout[_=]?(\d[\d.]*)", re.IGNORECASE),
}
DEFAULTS: Mapping[str, float] = {"rate": 1e-3, "decay": 0.1, "dropout": 0.1, "percent": 50.0, "K": 2}
LARGEST_BATCH = 512


def is_miml(log: Log) -> bool:
    """Whether it counts its examples and epochs as MIML-grokking does, alone among those who log by
    Lightning."""
    return log.program == "Lightning" and {*SIZES, "batches_per_epoch"} <= set(log.frame.columns)


def in_our_terms(log: Log, *, halve_epochs: bool = True) -> Log:
    """The log with epochal's fields, from its hyperparameters, or from the names of its folders where these
    say less.

    The modulus is recovered: with K operands, the first of them limited to ``int(A_fraction p)`` numbers, all
    splits together have ``int(A_fraction p) p^(K-1)`` equations. Where no modulus gives that number
    (equations of other lengths were mixed in, or validation data left out) it is the path's, or null.

    Every second of its epochs is empty, because its iterator ends only where it is read once too often;
    ``halve_epochs`` counts the others. The logged rate goes by ``scheduled_learning_rate``.
    """
    told, path = dict(log.fields), _said(log.path)
    sizes = [_constant(log.frame, name) for name in SIZES]
    num_train, num_all = sizes[0], None if None in sizes else int(sum(filter(None, sizes)))
    operands = int(_number(told, "num_operand", path.get("K", DEFAULTS["K"])))
    share = _number(told, "A_fraction", 1.0)
    percent = _number(told, "train_data_pct", path.get("percent", DEFAULTS["percent"]))
    modulus = modulus_of(num_all, operands, share) if num_all else None
    is_found = modulus is not None
    modulus = modulus if is_found else (int(path["p"]) if "p" in path else None)
    fields: dict[str, Value] = {
        "model": _word(told.get("model"), MODELS, log.path) or "transformer",
        "modulus": modulus,
        "num_operands": operands,
        "operand_fraction": share,
        "train_fraction": round(percent / 100, 6),
        "optimizer": _word(told.get("optimizer"), OPTIMIZERS, log.path) or "adamw",
        "learning_rate": _number(told, "max_lr", path.get("rate", DEFAULTS["rate"])),
        "weight_decay": _number(told, "weight_decay", path.get("decay", DEFAULTS["decay"])),
        "dropout": _number(told, "dropout", path.get("dropout", DEFAULTS["dropout"])),
        "batch_size": _batch_size(told, num_train, log.path),
        "weight_noise": _number(told, "weight_noise", 0.0),
    }
    seed = told.get("random_seed", -1)
    if isinstance(seed, int) and seed >= 0:
        fields["seed"] = seed
    notes = list(log.notes)
    if num_all and not is_found:
        whence = "its path's" if modulus else "not known"
        notes.append(f"{log.path}: {num_all} equations fit no modulus with K = {operands}; it is {whence}")
    frame = log.frame.rename({"learning_rate": "scheduled_learning_rate"}, strict=False)
    if halve_epochs and "epoch" in frame.columns:
        frame = frame.with_columns((pl.col("epoch") / 2).floor())
    return replace(log, frame=frame, fields=fields, notes=tuple(notes), is_told=True)


def modulus_of(num_equations: int, operands: int, share: float) -> int | None:
    """The p with ``max(1, int(share p)) p^(operands - 1)`` equations, all p where share is 1; None without
    one.

    That number grows with p, so at most a few neighbours have to be tried.
    """
    near = round((num_equations / share) ** (1 / operands)) if 0 < share <= 1 else 0
    for p in range(max(2, near - 2), near + 12):
        first = p if share == 1 else max(1, int(share * p))
        if first * p ** (operands - 1) == num_equations:
            return p
    return None


def _said(path: Path) -> dict[str, float]:
    """Numbers in the names of the folders, the innermost first, where none of the hyperparameters tells
    them."""
    found: dict[str, float] = {}
    for part in reversed(path.parent.parts[-4:]):
        for name, pattern in NAMED.items():
            match = pattern.search(part)
            if match and name not in found:
                found[name] = float(next(filter(None, match.groups())))
        if part.startswith("no_dropout"):
            found.setdefault("dropout", 0.0)
        if re.fullmatch(r"\d{1,2}", part) and int(part) >= 1:
            found.setdefault("percent", float(part))
    return found


def _word(given: Value, known: Mapping[str, str], path: Path) -> str | None:
    """What the hyperparameters name, else what the innermost folder does that names one."""
    for text in (str(given or ""), *reversed(path.parent.parts[-4:])):
        words = re.split(r"[^a-z]+", text.lower())
        if found := next((known[word] for word in words if word in known), None):
            return found
    return None


def _batch_size(told: Mapping[str, Value], num_train: int | None, path: Path) -> Value:
    """A number, or ``full``: 0 stands for half of the training data, at most 512."""
    is_full = bool(re.search(r"full_?batch", "/".join(path.parent.parts[-4:]), re.IGNORECASE))
    hint = _number(told, "batchsize", -1 if is_full else 0)
    if hint == -1:
        return "full"
    if hint == 0:
        return None if num_train is None else min(LARGEST_BATCH, math.ceil(num_train / 2))
    if hint < 1:
        return None if num_train is None else math.ceil(num_train * hint)
    return int(hint)


def _number(told: Mapping[str, Value], name: str, otherwise: float) -> float:
    value = told.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _constant(frame: pl.DataFrame, name: str) -> int | None:
    values = frame[name].drop_nulls().unique().to_list()
    return int(values[0]) if len(values) == 1 else None
