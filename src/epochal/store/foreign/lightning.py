"""Lightning's CSV logs: ``metrics.csv`` with interleaved rows, ``hparams.yaml`` beside it."""

from dataclasses import replace
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.store.foreign.hparams import read_hparams
from epochal.store.foreign.log import Log
from epochal.store.foreign.tables import read_csv

METRICS, HPARAMS = "metrics.csv", "hparams.yaml"


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
    beside = path.with_name(HPARAMS)
    return replace(
        log,
        program="Lightning",
        fields=read_hparams(beside) if beside.exists() else {},
        step_column="step",
        step_offset=1,
    )


def is_lightning(path: Path) -> bool:
    """Whether a file is a Lightning log: its name, and the columns or the file that belong to one."""
    if path.name != METRICS or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = [name.strip().strip('"') for name in file.readline().split(",")]
    return "step" in header and ("epoch" in header or path.with_name(HPARAMS).exists())


def lightning_files(folder: Path) -> list[Path]:
    """Every ``metrics.csv`` in or below a folder, ``version_2`` before ``version_10``."""
    return sorted((p for p in folder.rglob(METRICS) if p.is_file()), key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = []
    for part in path.parts:
        stem, _, number = part.rpartition("_")
        parts.append((0, int(number), stem) if number.isdigit() else (1, 0, part))
    return [(0, n, s) if k == 0 else (1, 0, s) for k, n, s in parts]
