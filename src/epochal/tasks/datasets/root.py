"""The folder that data sets lie in."""

import os
from pathlib import Path

VARIABLE = "EPOCHAL_DATA"


def data_root(root: str | Path | None = None) -> Path:
    """``root`` where given, else what the variable ``EPOCHAL_DATA`` names, else ``data`` in this folder."""
    return Path(root or os.environ.get(VARIABLE) or "data").expanduser()
