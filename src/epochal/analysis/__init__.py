"""Statistics of training curves and of several runs: NumPy, SciPy and statsmodels, never torch."""

from epochal.analysis.curves.changes import detect_all
from epochal.analysis.curves.detect import detect
from epochal.analysis.curves.first_passage import first_passage
from epochal.analysis.curves.grokking import grokking
from epochal.analysis.curves.many import detect_many
from epochal.analysis.runs.arms import compare_arms
from epochal.analysis.runs.bootstrap import bca_interval
from epochal.analysis.runs.coupling import coupling, couplings
from epochal.analysis.runs.coupling_power import coupling_power
from epochal.analysis.runs.leads import Course, leads
from epochal.analysis.runs.looks import alpha_spending, at_look
from epochal.analysis.runs.multiplicity import adjust, benjamini_hochberg, holm, max_t
from epochal.analysis.runs.same_time import same_time, same_time_power
from epochal.analysis.runs.scaling import scaling_exponent
from epochal.analysis.runs.survival import aalen_johansen, kaplan_meier, restricted_mean

__all__ = [
    "Course",
    "aalen_johansen",
    "adjust",
    "alpha_spending",
    "at_look",
    "bca_interval",
    "benjamini_hochberg",
    "compare_arms",
    "coupling",
    "coupling_power",
    "couplings",
    "detect",
    "detect_all",
    "detect_many",
    "first_passage",
    "grokking",
    "holm",
    "kaplan_meier",
    "leads",
    "max_t",
    "restricted_mean",
    "same_time",
    "same_time_power",
    "scaling_exponent",
]
