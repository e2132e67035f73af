"""Logs of other programs as one population, with the tables that a run has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Found:
    """What figures and analyses read: the tables of a run, made of logs. ``taken`` says what was taken for
    what."""

    path: Path
    name: str
    metrics: pl.DataFrame
    members: pl.DataFrame
    events: pl.DataFrame
    spec: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=dict)
    is_done: bool = True
    taken: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    unit: str = "steps"
