"""When one curve changed: one transition, its time with an interval, and how sure it is."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import norm

from epochal.analysis.curves import noise
from epochal.analysis.curves.answer import Answer, as_event, no_event, with_dropped
from epochal.analysis.curves.curve import Array, Curve, Kind, as_curve
from epochal.analysis.curves.drift import drifts
from epochal.analysis.curves.estimate import Place, Problem, fit_transition
from epochal.analysis.curves.evidence import Evidence, evidence
from epochal.analysis.curves.interval import midpoint_interval
from epochal.analysis.curves.logistic import AXES, MIN_RECORDS_PER_LEVEL, grid, on_axis
from epochal.analysis.curves.spikes import short_stay, without_spikes
from epochal.core.values.errors import UserError
from epochal.core.values.event import Event

Direction = Literal["rise", "fall", "either"]
SIGNS: dict[str, int] = {"rise": 1, "fall": -1, "either": 0}
MIN_RECORDS = 2 * MIN_RECORDS_PER_LEVEL + 2
# A tenth of all answers; a change by half (e.g. a loss from 1.5 to 1); no natural unit.
MIN_HEIGHTS: dict[Kind, float] = {"accuracy": 0.1, "positive": math.log(1.5), "real": 0.0}
# Longer curves are averaged over blocks of records: the search costs T times its grid, the fit T^3.
MOST_SEARCHED = 512
MOST_FITTED = 1000
MIN_REPLICATES = 99
BATCH = 33
# Replicates above the curve after which the answer is clear (Besag & Clifford 1991, Biometrika 78, 301-304).
ENOUGH_ABOVE = 15
# How far, in log likelihood, the curve must be above a third of the replicates for the others to be taken as
# below it unseen: a likelihood ratio passes e^20 times what it was with a chance of some e^-20.
FAR_ABOVE = 20.0
COVERAGE = 0.95
NUM_INTERVAL_DRAWS = 199
SMALLEST_NOISE = 1e-4  # of the range of the curve, as a standard deviation


def detect(
    steps: ArrayLike,
    values: ArrayLike,
    *,
    kind: Literal["accuracy", "positive", "real"],
    direction: Direction = "either",
    trials: float | None = None,
    min_height: float | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> Event:
    """The clearest transition of a curve, or none, with the evidence for either.

    v(t) = a + h / (1 + exp(-2 log 9 (x(t) - m) / w)) (+ b d(t)) + noise,   x = step or log(1 + step)

    The estimand is the midpoint ``m``: the step at which half of the height ``h`` is reached, on whichever
    axis fits better; ``onset`` and ``end`` are at 10% and 90%. d is a slow drift or an early transient that
    may stand beside it. The noise is slow (AR(1) over records) plus fast, its scale free to differ between
    the levels or to follow p (1 - p).

    * ``steps`` in completed updates, increasing; ``values`` for ``kind`` ``"accuracy"`` in [0, 1],
      ``"positive"`` above 0 (analysed as logarithms), ``"real"`` anything. NaN and infinite values were not
      measured and are left out; a curve that diverges ends at its last finite record.
    * ``direction``: ``"rise"`` and ``"fall"`` ask for one sign of ``h``. A larger change the other way is
      noise to this question and may drown the answer: ``detect_all`` finds both.
    * ``trials``: samples behind each accuracy. The interval's noise is then at least binomial, and a change
      must be one that two proportions of that many samples show at ``level``.
    * ``min_height``: smaller changes are no transitions. To be fixed before looking; default 0.1 for
      accuracy, log 1.5 for positive, 0 for real, which has no natural unit. A random walk is the one null
      that only a height can rule out; the table below says how often it passes for a transition.
    * ``level``: of the test. ``p`` is the probability of evidence at least as strong from the likeliest curve
      *without* a transition, simulated 99 times at level .05 and so never below .01 (33 times where the curve
      is so far above those that the others cannot matter). The interval has 95% whatever the level.

    What is no transition: a change that takes more than half of the records (a drift), one with fewer than
    three records on either side (a transient, or not over), a stay at another level for less than a tenth of
    the records, whether it ends at once or decays (a spike). Under no effect ``found`` is False, ``censored``
    is "right" at the last record (at the first one where the records are too few to tell), and ``p`` is
    uniform or larger.

    A transition narrower than one record interval is ``censored="interval"``: ``low`` and ``high`` are
    records, ``step`` their middle and ``width`` at most their distance, unless noise leaves several
    intervals in question; then the 95% interval is rounded outward to records. ``detect`` never answers
    "left": before the first record there is nothing to compare with; see ``first_passage``.

    Raises:
        UserError: for malformed curves or options, in one line.

    Sources: the midpoint is unidentified without an effect, hence a simulated and no tabled law of the
    likelihood ratio (Davies 1987, Biometrika 74, 33-43); profile interval with a bootstrap critical value
    (Hall 1987). Calibration: bench/results/calibration-transitions.md.
    """
    curve = as_curve(steps, values, kind)
    smallest, sign = check(direction, trials, min_height, level, curve.kind)
    sought = Sought(sign=sign, trials=trials, min_height=smallest)
    return look(curve, sought, level, np.random.Generator(np.random.PCG64(seed))).event


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What counts as a transition: its ``sign`` (0 for either), its least height, the samples behind it."""

    sign: int
    trials: float | None
    min_height: float


def look(curve: Curve, sought: Sought, level: float, generator: np.random.Generator) -> Answer:
    """``detect`` on a checked curve."""
    sign, trials, smallest = sought.sign, sought.trials, sought.min_height
    last = float(curve.steps[-1])
    if len(curve) < MIN_RECORDS:
        why = f"{len(curve)} records are too few to tell a transition from noise ({MIN_RECORDS} are needed)"
        return Answer(event=no_event(float(curve.steps[0]), math.nan, with_dropped(why, curve)))
    if np.ptp(curve.values) == 0:
        return Answer(event=no_event(last, 1.0, with_dropped("the curve is exactly constant", curve)))
    values_ = without_spikes(curve.values)
    short_steps, short = blocks(curve.steps, values_, MOST_SEARCHED)
    schedule = short_steps.tobytes()
    floor = (SMALLEST_NOISE * float(np.ptp(curve.values))) ** 2
    observed = evidence(schedule, short[:, None], floor, sign=sign)
    p = p_value(schedule, short, observed, floor, level, generator, sign)
    found = grid(schedule)
    number = int(observed.logistic[0])
    axis = AXES[found.axis[number]]
    drift = drifts(schedule)[observed.drift[0]]
    if p <= level and (stay := short_stay(short, drift, found.bases[number], floor)):
        first, final = short_steps[list(stay)]
        why = f"a spike: the curve left its level from step {first:g} to {final:g} only, and returned"
        return Answer(event=no_event(last, 1.0, with_dropped(why, curve)), stay=(float(first), float(final)))
    if p > level:
        why = f"no change beyond what a drift, an early or late transient or noise would show (p={p:.2g})"
        return Answer(event=no_event(last, p, with_dropped(why, curve)))
    start = Place(axis=axis, midpoint=float(found.midpoint[number]), width=float(found.width[number]))
    long_steps, long = around(curve.steps, values_, start)
    problem = Problem(
        steps=long_steps,
        values=long,
        drift=np.interp(long_steps, short_steps, drift),
        is_proportion=curve.kind == "accuracy",
        trials=trials,
    )
    fitted = fit_transition(problem, start)
    if fitted.height * sign < 0:
        why = f"a {'fall' if sign > 0 else 'rise'} by {abs(fitted.height):.3g}, not what was asked for"
        return Answer(event=no_event(last, p, with_dropped(why, curve)))
    if abs(fitted.height) < smallest:
        why = f"a change of {fitted.height:.3g}, but min_height is {smallest:.3g}"
        return Answer(event=no_event(last, p, with_dropped(why, curve)))
    if trials is not None and abs(fitted.height) < (shown := least_shown(fitted.mean, trials, level)):
        why = f"a change of {fitted.height:.3g}, but {trials:g} samples show only {shown:.3g}"
        return Answer(event=no_event(last, p, with_dropped(why, curve)))
    low, high = midpoint_interval(
        problem, fitted, confidence=COVERAGE, num_draws=NUM_INTERVAL_DRAWS, generator=generator
    )
    return Answer(event=as_event(curve, fitted, low, high, p))


def check(
    direction: str, trials: float | None, min_height: float | None, level: float, kind: Kind
) -> tuple[float, int]:
    """The least height that counts and the sign it must have (0 for either)."""
    if direction not in SIGNS:
        raise UserError(f"direction={direction!r} is not known: give 'rise', 'fall' or 'either'")
    if trials is not None and not (math.isfinite(trials) and trials > 0):
        raise UserError(f"trials={trials} must be the number of samples behind each value, above 0")
    if trials is not None and kind != "accuracy":
        raise UserError(f"trials={trials} has a meaning for kind='accuracy' only, not for kind={kind!r}")
    if min_height is not None and not (math.isfinite(min_height) and min_height >= 0):
        raise UserError(f"min_height={min_height} must be a height in the unit of the values, at least 0")
    if not 0 < level < 1:
        raise UserError(f"level={level} is outside (0, 1): 0.05 allows one false alarm in twenty")
    return MIN_HEIGHTS[kind] if min_height is None else float(min_height), SIGNS[direction]


def blocks(
    steps: Float[Array, " T"], values: Float[Array, " T"], most: int
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """Means over as many neighbouring records as leave at most ``most`` of them."""
    size = -(-len(steps) // most)
    if size == 1:
        return steps, values
    starts = np.arange(0, len(steps), size)
    count = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / count, np.add.reduceat(values, starts) / count


def around(
    steps: Float[Array, " T"], values: Float[Array, " T"], place: Place
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """At most ``MOST_FITTED`` records: those around a narrow transition, else means over blocks of all."""
    if len(steps) <= MOST_FITTED:
        return steps, values
    x = on_axis(steps, place.axis)
    onset, middle, end = np.searchsorted(x, place.midpoint + place.width * np.array([-0.5, 0, 0.5]))
    if end - onset > MOST_FITTED / 10:
        return blocks(steps, values, MOST_FITTED)
    first = min(max(int(middle) - MOST_FITTED // 2, 0), len(steps) - MOST_FITTED)
    near = slice(first, first + MOST_FITTED)
    return steps[near], values[near]


def least_shown(mean: Float[Array, " T"], trials: float, level: float) -> float:
    """The difference of two proportions, each of ``trials`` samples, that is significant at ``level``."""
    p = np.clip(mean[[0, -1]], 0, 1)
    return float(norm.isf(level / 2) * np.sqrt((p * (1 - p)).sum() / trials))


def p_value(
    schedule: bytes,
    values: Float[Array, " T"],
    observed: Evidence,
    floor: float,
    level: float,
    generator: np.random.Generator,
    sign: int = 0,
) -> float:
    """Probability of evidence at least as strong from the fitted drift and its noise."""
    one = np.ones_like(values)
    drift = drifts(schedule)[observed.drift[0]]
    models, filters = noise.stationary(len(values))
    fitted = noise.fit(models, np.column_stack([one, drift]), values, floor, filters=filters)
    num_replicates = max(MIN_REPLICATES, math.ceil(5 / level) - 1)
    above = count = 0
    highest = -math.inf
    while count < num_replicates and above < ENOUGH_ABOVE:
        size = min(BATCH, num_replicates - count)
        replicates = noise.draw(models, fitted, size, generator)
        simulated = evidence(schedule, replicates, floor, sign=sign, single=True).log_ratio
        above += int((simulated >= observed.log_ratio[0]).sum())
        count += size
        highest = max(highest, float(simulated.max()))
        if 3 * count >= num_replicates and observed.log_ratio[0] > highest + FAR_ABOVE:
            count = num_replicates
    return (above + 1) / (count + 1)
