"""A study as a value: what is asked, what is predicted, what would refute it, and the design that decides.

All of it is declared before the data. `launch/studies/conduct.py` resolves, freezes and conducts it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.result_table import ResultTable
from epochal.core.values.study_runs import StudyRuns

Kind = Literal["accuracy", "positive", "real", "passage"]
Spending = Literal["obrien-fleming", "pocock"]
Form = Literal["both", "full", "quick"]
Analyse = Callable[[StudyRuns], Iterable[Finding | FigureSpec | ResultTable]]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One condition: an experiment, its preset and settings, the seed among them (``"seed": "100:110"``).

    Members differ in their seed only; another condition is another arm. ``quick`` replaces settings in the
    quick form and gives it seeds of its own, so that trying it out shows no data of the full form.
    ``form`` says which form has the arm: one whose networks take hours has no quick form, and another one,
    with small networks, may stand for it there.

    ``data`` names image sets that not every machine has: sets that epochal knows, or files ``NAME.npz`` in
    the folder of data sets. The arm trains on the first that is there. Where none is, it is left out and the
    study says so, hence ``analyse`` must do without it.
    """

    experiment: str
    preset: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    quick: Mapping[str, object] = field(default_factory=dict)
    form: Form = "both"
    data: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.data and {"data", "data_path", "data.path"} & {*self.settings, *self.quick}:
            raise UserError(
                f"an arm has data={', '.join(self.data)} and a field data or data.path among its settings: "
                "give one of them"
            )

    def is_in(self, *, is_quick: bool) -> bool:
        """Whether the quick form, or the full one, has this arm."""
        return self.form in ("both", "quick" if is_quick else "full")


@dataclass(frozen=True, kw_only=True)
class Detector:
    """How the time of an event is read off the curve of ``column``.

    ``kind`` is that of `epochal.analysis.detect`, or ``"passage"`` for `epochal.analysis.first_passage`;
    ``options`` are theirs (``min_height``, ``threshold``, ``sustained``, ...). ``arms`` are those that record
    the column; empty means all.
    """

    column: str
    kind: Kind
    options: Mapping[str, object] = field(default_factory=dict)
    arms: tuple[str, ...] = ()

    def reads(self, role: str) -> bool:
        """Whether it is used on the runs of this arm."""
        return not self.arms or role in self.arms

    def __post_init__(self) -> None:
        if self.kind == "passage" and "threshold" not in self.options:
            raise UserError(f"a passage of {self.column} needs its threshold: options={{'threshold': 0.99}}")


@dataclass(frozen=True, kw_only=True)
class DeclaredLooks:
    """At how many runs per arm, counted from the first, the data are looked at; ``alpha`` is spent over all.

    Early looks of ``"obrien-fleming"`` ask for very small p; ``"pocock"`` asks for about the same at each.
    """

    runs: tuple[int, ...]
    alpha: float = 0.05
    spending: Spending = "obrien-fleming"

    def __post_init__(self) -> None:
        if (
            not self.runs
            or self.runs[0] < 1
            or any(later <= earlier for earlier, later in pairwise(self.runs))
        ):
            raise UserError(
                f"looks at {list(self.runs)} runs: give increasing numbers of runs, such as 8, 16"
            )
        if not 0 < self.alpha < 0.5:
            raise UserError(f"alpha={self.alpha} of the looks is outside (0, 0.5): 0.05 is usual")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question with the whole design that answers it.

    ``refutation`` says what outcome would refute the prediction. ``analyse`` turns the runs into findings
    (and figures and tables) and reads detectors and margins from them, never from elsewhere. ``looks`` is
    None where the data are looked at once, when all are there. ``family`` corrects the findings of a study
    together: Holm's method, or ``"adjusted"`` where ``analyse`` has done so itself
    (`epochal.analysis.couplings`).

    Raises ``UserError`` where something is missing.
    """

    question: str
    prediction: str
    refutation: str
    arms: Mapping[str, Arm]
    detectors: Mapping[str, Detector]
    margins: Mapping[str, float] = field(default_factory=dict)
    looks: DeclaredLooks | None = None
    family: Literal["holm", "adjusted"] = "holm"
    analyse: Analyse

    def __post_init__(self) -> None:
        for name in ("question", "prediction", "refutation"):
            if not getattr(self, name).strip():
                raise UserError(f"the study has no {name}: write one sentence, before the data")
        for what, given in (("arm", self.arms), ("detector", self.detectors), ("margin", self.margins)):
            if bad := [name for name in given if not name.isidentifier()]:
                raise UserError(f"{what} {bad[0]!r} of the study is no name: use letters, digits and _")
        if not self.arms:
            raise UserError("the study has no arm: give arms={'main': Arm(experiment='algorithmic', ...)}")
        for name, detector in self.detectors.items():
            if stray := [role for role in detector.arms if role not in self.arms]:
                raise UserError(
                    f"detector {name} of the study reads arm {stray[0]}{did_you_mean(stray[0], self.arms)}"
                )
        if bad := [name for name, margin in self.margins.items() if not math.isfinite(margin)]:
            raise UserError(f"margins.{bad[0]}={self.margins[bad[0]]} must be a finite number")
