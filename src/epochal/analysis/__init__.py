"""Statistics of training curves: NumPy and SciPy, never torch."""

from epochal.analysis.detect import detect
from epochal.analysis.first_passage import first_passage

__all__ = ["detect", "first_passage"]
