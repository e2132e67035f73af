"""What others measured under conditions that arms of this study repeat: single runs unless said otherwise.

Their step s is the index of the last completed update, from 0: ours is s + 1, a difference far below the
spread of seeds.
"""

from dataclasses import dataclass
from typing import Literal

FACTOR = 2.0
"""Ours agree within this factor of theirs: most of theirs are one run, and seeds spread by a third."""

SLOPE_PER_POINT = -5.5
"""% per percentage point of data: ln step of 99% validation accuracy, 11 runs, R^2 .967. MIML-grokking."""

DECAY_EXPONENT = -0.935
"""Step of 99% validation accuracy against weight decay, .1 to 1.5, R^2 .98. MIML-grokking."""


@dataclass(frozen=True, kw_only=True)
class PublishedStep:
    """The median step of an event in runs like those of ``arm``; ``detector`` reads ours."""

    arm: str
    what: str
    step: float
    num_runs: int
    detector: str
    source: str


@dataclass(frozen=True, kw_only=True)
class PublishedNever:
    """An event that did not happen by ``step`` in the published run."""

    arm: str
    what: str
    step: int
    detector: str
    source: str


MIML = "MIML-grokking 86b686d, logs"
NANDA = "Nanda et al. 2023, saved curves"


def miml(arm: str, what: str, step: float, num_runs: int = 1) -> PublishedStep:
    return PublishedStep(
        arm=arm, what=f"transformer, p = 97, {what}: validation accuracy 99%", step=step, num_runs=num_runs,
        detector="generalised", source=MIML,
    )  # fmt: skip


def nanda(arm: str, fraction: str, step: float, detector: Literal["low_val_loss"]) -> PublishedStep:
    return PublishedStep(
        arm=arm, what=f"one layer, p = 113, {fraction} of the table, decay 1: test loss below 0.1", step=step,
        num_runs=1, detector=detector, source=NANDA,
    )  # fmt: skip


ROWS: tuple[PublishedStep | PublishedNever, ...] = (
    miml("miml_35", "35%, decay 0.1", 56_673),
    miml("miml_40", "40%, decay 0.1", 42_721),
    miml("miml_50", "50%, decay 0.1", 22_791, 3),  # 19,841 / 22,791 / 25,661
    miml("miml_60", "60%, decay 0.1", 18_037),
    miml("miml_70", "70%, decay 0.1", 9_581),
    miml("miml_80", "80%, decay 0.1", 3_458, 2),  # 3,495 / 3,421
    miml("miml_decay_03", "50%, decay 0.3", 10_951),
    miml("miml_decay_06", "50%, decay 0.6", 4_861),
    miml("miml_decay_1", "50%, decay 1", 2_841),
    nanda("nanda_30", "30%", 7_930, "low_val_loss"),
    nanda("nanda_50", "50%", 956, "low_val_loss"),
    nanda("nanda_70", "70%", 222, "low_val_loss"),
    PublishedStep(
        arm="grokfast", what="products modulo 97, Grokfast EMA .98, 2, decay 0.005: validation accuracy 95%",
        step=910, num_runs=1, detector="generalised_95", source="grokfast 93b2248, README",
    ),
    PublishedNever(
        arm="miml_sgd", what="transformer, p = 97, 50%, SGD, L2 0.1: training accuracy 99%",
        step=99_209, detector="memorised", source=MIML,
    ),
    PublishedNever(
        arm="miml_adam_full", what="transformer, p = 97, 50%, Adam, full batch: validation accuracy 99%",
        step=99_733, detector="generalised", source=MIML,
    ),
)  # fmt: skip
