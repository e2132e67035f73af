"""What one file or folder of another program holds, before anybody says what its columns mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

Value = str | bool | int | float | None


@dataclass(frozen=True, kw_only=True)
class Log:
    """A table with the columns that the program wrote, a row per record, null where nothing was written.

    Columns hold numbers or text. ``fields`` are hyperparameters that stand beside the table. ``step_column``
    and ``run_column`` are set where the format fixes them; ``step_offset`` is what turns steps into completed
    updates. ``notes`` say what was left out. ``is_told``: the fields are all that the run is made of, so that
    neither its path nor its columns are searched for more.
    """

    path: Path
    program: str
    frame: pl.DataFrame
    fields: Mapping[str, Value] = field(default_factory=dict)
    step_column: str | None = None
    step_offset: int = 0
    run_column: str | None = None
    notes: tuple[str, ...] = ()
    is_told: bool = False
