"""What tells logs apart: the parts of their paths that differ, and what those parts say."""

import re
from collections.abc import Sequence
from pathlib import Path

from epochal.store.foreign.log import Value

PAIR = re.compile(r"(?P<name>[A-Za-z][A-Za-z_]*)=(?P<value>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[A-Za-z]+)")
SEED = re.compile(r"(?:^|[^A-Za-z])seed[_=\-]?(?P<value>\d+)", re.IGNORECASE)
ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".wandb")


def labels(paths: Sequence[Path]) -> list[str]:
    """A short name for each path: what remains without the folders and the file name that all share."""
    if len(paths) == 1:
        return [_stem(paths[0].resolve().name)]
    parts = [path.resolve().parts for path in paths]
    front = _num_equal(parts)
    back = _num_equal([p[front:][::-1] for p in parts])
    short = ["/".join(p[front : len(p) - back] or p[-1:]) for p in parts]
    return short if len(set(short)) < len(short) else [_stem(name) for name in short]


def fields_of(label: str) -> dict[str, Value]:
    """Hyperparameters that a path names: ``wd=0.1``, ``seed3``, ``seed=3``."""
    found: dict[str, Value] = {match["name"]: _value(match["value"]) for match in PAIR.finditer(label)}
    if seed := SEED.search(label):
        found["seed"] = int(seed["value"])
    return found


def _num_equal(parts: Sequence[Sequence[str]]) -> int:
    """How many leading elements all have in common."""
    places = zip(*parts, strict=False)
    return next((i for i, same in enumerate(places) if len(set(same)) > 1), min(map(len, parts)))


def _stem(name: str) -> str:
    return next((name.removesuffix(end) for end in ENDINGS if name.lower().endswith(end)), name)


def _value(text: str) -> Value:
    text = text.rstrip(".")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
