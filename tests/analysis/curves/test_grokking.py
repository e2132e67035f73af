"""The compound event: planted outcomes are named, delays and plateaus are what was planted."""

import math

import numpy as np
import pytest

from epochal.analysis import grokking
from epochal.analysis.curves.plateau import plateau
from epochal.analysis.runs.lag import lag
from epochal.core.values.errors import UserError
from epochal.core.values.event import Censoring, Event
from epochal.core.values.learning import Grokking
from tests.analysis.curves.known import Array, generator, logistic, wander

STEPS = np.arange(120) * 100.0
CHANCE = 1 / 47


def rise(midpoint: float, top: float = 0.99, low: float = CHANCE, width: float = 300.0) -> Array:
    return logistic(STEPS, low, top, midpoint, width)


def network(train: Array, val: Array, seed: int = 0, **options: bool) -> Grokking:
    """The accuracies with AR(.8) noise of sd .005, cut to [0, 1]."""
    noisy = (
        np.clip(c + 0.005 * wander(120, 0.8, generator(1, seed, i)), 0, 1) for i, c in enumerate((train, val))
    )
    return grokking(STEPS, *noisy, train_trials=1000, val_trials=1000, **options)


FLAT = np.full(120, CHANCE)
NETWORKS = {
    "grokked": (rise(1000), rise(6000)),
    "learnt at once": (rise(4000), rise(4300)),
    "memorised only": (rise(1000), rise(1000, top=0.5)),
    "learnt nothing": (rise(3000, top=0.4), FLAT),
    "lost again": (rise(1000), rise(4000) - logistic(STEPS, 0, 0.6, 9000, 300)),
}


@pytest.mark.parametrize("outcome", NETWORKS)
def test_a_planted_outcome_is_named(outcome: str) -> None:
    found = network(*NETWORKS[outcome])
    assert found.outcome == outcome
    assert (found.loss is not None) == (outcome == "lost again")
    assert network(*NETWORKS[outcome], diverged=True).outcome == "diverged"


def test_delay_ratio_and_plateau_are_the_planted_ones() -> None:
    found = network(*NETWORKS["grokked"])
    # Midpoints are known to a quarter of a record interval here; both errors count.
    assert found.delay.value == pytest.approx(5000, abs=40)
    assert found.ratio.value == pytest.approx(6, abs=0.15)
    assert found.delay.contains(5000) and found.ratio.contains(6)
    assert found.delay.high - found.delay.low < 200
    assert found.plateau.contains(CHANCE) and not found.plateau.contains(0.05)
    assert 1000 < found.plateau_from < found.plateau_to < 6000


@pytest.mark.parametrize("midpoint", [5.0, 120.0, 260.0])
def test_learnt_within_the_first_records_is_learnt_at_once(midpoint: float) -> None:
    """``detect`` has no level before such a rise and finds none; the records still say when."""
    curve = rise(midpoint, width=50.0)
    found = network(curve, curve)
    assert found.outcome == "learnt at once"
    for event in (found.memorisation, found.generalisation):
        assert event.found
        assert event.low <= max(midpoint, 0) <= event.high
        assert event.censored in ("left", "interval")
    assert found.delay.contains(0)


def test_what_has_not_come_is_a_lower_limit() -> None:
    found = network(rise(1000), FLAT)
    assert found.outcome == "memorised only"
    assert math.isnan(found.delay.value) and found.delay.high == math.inf
    assert found.delay.low == pytest.approx(11_900 - found.memorisation.high)
    assert found.ratio.low == pytest.approx(11_900 / found.memorisation.high)
    assert found.plateau.contains(CHANCE)


def test_a_shortcut_is_the_plateau_and_not_the_generalisation() -> None:
    """Validation rises to .7 with memorisation, by more than it rises later to 1."""
    val = rise(1000, top=0.7 - CHANCE) + logistic(STEPS, 0, 0.29, 7000, 400)
    found = network(rise(1000), val)
    assert found.outcome == "grokked"
    assert found.generalisation.step == pytest.approx(7000, abs=50)
    assert found.plateau.contains(0.7) and not found.plateau.contains(0.75)


def test_records_that_were_not_measured_do_not_matter() -> None:
    train, val = NETWORKS["grokked"]
    every = [None if i % 2 else float(v) for i, v in enumerate(val)]
    assert grokking(STEPS, train, every).outcome == "grokked"  # type: ignore[arg-type]


def test_the_plateau_covers_when_records_wander_together() -> None:
    """AR(.9) of sd .02 around .3, 60 records: 95% intervals hold it at least 46 times in 60 (p < 1e-3)."""
    hits = 0
    for i in range(60):
        hits += plateau(0.3 + 0.02 * wander(60, 0.9, generator(2, i))).contains(0.3)
    assert hits >= 50
    assert math.isnan(plateau(np.array([0.1, 0.2])).value)
    # Constant records of 100 trials: 1.96 binomial standard errors, Student's quantile with 49 degrees 2.01.
    constant = plateau(np.full(50, 0.5), trials=100)
    assert constant.high - 0.5 == pytest.approx(2.01 * 0.05, rel=0.01)


def event(low: float, step: float, high: float, censored: Censoring = "none") -> Event:
    nan = math.nan
    return Event(
        found=True, step=step, low=low, high=high, width=nan, onset=nan, end=nan,
        height=nan, censored=censored, reason="", p=nan,
    )  # fmt: skip


def test_lags_by_hand() -> None:
    delay, ratio = lag(event(97, 100, 104), event(496, 500, 503))
    assert (delay.low, delay.value, delay.high) == pytest.approx(
        (400 - math.sqrt(32), 400, 400 + math.sqrt(18))
    )
    assert ratio.value == pytest.approx(5)
    # Bounds by the records add up; spreads would not.
    bounded, _ = lag(event(90, 100, 110, "interval"), event(200, 250, 300, "interval"))
    assert (bounded.low, bounded.high) == (90, 210)
    _, open_ratio = lag(event(0, 50, 100, "left"), event(496, 500, 503))
    assert (open_ratio.low, open_ratio.high) == (4.96, math.inf)


@pytest.mark.parametrize(
    ("options", "words"), [({"threshold": 1.5}, "threshold=1.5"), ({"min_ratio": 0.5}, "min_ratio=0.5")]
)
def test_bad_options_are_one_clear_line(options: dict[str, float], words: str) -> None:
    with pytest.raises(UserError) as error:
        grokking(STEPS, FLAT, FLAT, **options)  # type: ignore[arg-type]
    assert words in str(error.value) and "\n" not in str(error.value)
