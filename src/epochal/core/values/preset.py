"""A named set of settings, with what it means and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings that replace a spec's defaults; whatever a user sets replaces them in turn."""

    meaning: str
    settings: Mapping[str, object]
    source: str = ""
