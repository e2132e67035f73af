"""Lightning's CSV logs: ``metrics.csv`` with interleaved rows, ``hparams.yaml`` beside it."""

import re
from dataclasses import replace
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.store.foreign.hparams import read_hparams
from epochal.store.foreign.log import Log
from epochal.store.foreign.tables import read_csv

METRICS = re.compile(r"metrics(?P<copy> \(\d+\))?\.csv")
"""Downloads of one name into one folder are numbered: ``metrics (1).csv`` is a run of its own."""
HPARAMS = "hparams.yaml"


def read_lightning(path: Path) -> Log:
    """One ``metrics.csv``: rows of training and of validation are still apart, numbers as they were logged.

    Lightning's ``step`` is the index, from 0, of the last completed update: completed updates are one more.
    Hyperparameters are read where ``hparams.yaml`` lies beside the file.

    Raises:
        UserError: as ``read_csv``, and for a file without a column ``step``.
    """
    log = read_csv(path)
    if "step" not in log.frame.columns:
        raise UserError(
            f"{path} has no column step, which a Lightning log has; analyse it as CSV with --step"
        )
    beside = _hparams(path)
    return replace(
        log,
        program="Lightning",
        fields=read_hparams(beside) if beside.exists() else {},
        step_column="step",
        step_offset=1,
    )


def is_lightning(path: Path) -> bool:
    """Whether a file is a Lightning log: its name, and the columns or the file that belong to one."""
    if not METRICS.fullmatch(path.name) or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = [name.strip().strip('"') for name in file.readline().split(",")]
    return "step" in header and ("epoch" in header or _hparams(path).exists())


def lightning_files(folder: Path) -> list[Path]:
    """Every ``metrics.csv`` in or below a folder, ``version_2`` before ``version_10``."""
    found = (p for p in folder.rglob("metrics*.csv") if METRICS.fullmatch(p.name) and p.is_file())
    return sorted(found, key=_natural)


def _hparams(path: Path) -> Path:
    """``hparams (1).yaml`` of ``metrics (1).csv`` where there is one, else what lies there for all."""
    match = METRICS.fullmatch(path.name)
    numbered = path.with_name(f"hparams{(match and match['copy']) or ''}.yaml")
    return numbered if numbered.exists() else path.with_name(HPARAMS)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = []
    for part in path.parts:
        stem, _, number = part.rpartition("_")
        parts.append((0, int(number), stem) if number.isdigit() else (1, 0, part))
    return [(0, n, s) if k == 0 else (1, 0, s) for k, n, s in parts]
