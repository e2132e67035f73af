"""Do two events move together from run to run?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.runs.coupling_power import coupling_power, runs_needed
from epochal.analysis.runs.levels import check_level
from epochal.analysis.runs.multiplicity import max_t, with_adjusted
from epochal.analysis.runs.paired_times import Times, as_pair, as_strata, order_signs
from epochal.analysis.runs.pairings import NUM_DRAWS, Pairings, concordance, pairings
from epochal.analysis.runs.tau_interval import Groups, tau_interval
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

NULL = "any run's A goes with any run's B of the same stratum"


def coupling(
    times_a: ArrayLike | Times,
    times_b: ArrayLike | Times,
    *,
    strata: ArrayLike | None = None,
    seed: int = 0,
    alternative: Literal["together", "either"] = "together",
    least: float = 0.0,
    alpha: float = 0.05,
    power: float | None = 0.9,
    num_draws: int = NUM_DRAWS,
    names: tuple[str, str] = ("A", "B"),
    exploratory: bool = True,
) -> Finding:
    """Whether runs with a late A have a late B, whatever the lag between the two.

    tau = (concordant - discordant pairs of runs) / sqrt(pairs ordered in A x pairs ordered in B)

    * ``times_a``, ``times_b``: steps ``[S]``, the same position being the same run, NaN where the event did
      not happen: later than all others and tied with its like. Or ``[S, 2]`` of (low, high),
      interval-censored; two runs whose intervals overlap are tied.
    * ``strata``: a label per run. Pairs are counted, and the pairing permuted, only among runs with the same
      label: give runs with identical hyperparameters the same one. Two unlike arms pooled without it look
      coupled whenever both events depend on the arm.
    * ``alternative``: ``"together"`` tests tau > 0 one-sidedly, and the interval has level 1 - 2 ``alpha``
      (90%); ``"either"`` tests tau != 0, with an interval of level 1 - ``alpha``. Either way p <= alpha
      exactly when the interval has left 0 to the side that is claimed.
    * ``least``: tau that counts as coupled, fixed beforehand. ``supported`` means p <= alpha: tau is above 0.
      ``refuted``, which comes first, means that the interval of tau ends below ``least``; with 0, that late A
      goes with *early* B; under ``"either"``, that it lies in -least .. least.
    * ``power``: for ``runs_needed``; None leaves that out, which saves time.

    ``p`` is exact, over all pairings, up to 50,000 of them (8 runs); else from 9,999 random ones, counting
    the observed. ``smallest_p`` is what a perfect order would give: 1/S! without ties. The interval holds the
    tau of normal times under which that of the runs is no surprise; whether it holds 0 is what the pairings
    say. Under no effect tau is 0 and p uniform or larger.

    Kendall's tau and not lags about their median, which also forgive a constant lag: those have .01 to .14
    more power where nothing is censored, but a censored run has no lag, and with a fifth of the runs censored
    their power falls to .13 from .38 (5 runs) and .54 from .81 (10). Tau is also the same on any axis of time
    (bench/results/calibration-coupling.md).

    Raises:
        UserError: unequal numbers of runs, fewer than three, an event that never happened, bad options.

    Sources: tau-b with ties at infinity, Kendall 1970, Rank Correlation Methods, ch. 3; stratified
    permutation, Pesarin & Salmaso 2010, ch. 2; the +1, Phipson & Smyth 2010, SAGMB 9, 39.
    """
    check_options(alternative, least, alpha, power, num_draws)
    question = Question(
        names=names,
        both=alternative == "either",
        least=least,
        alpha=alpha,
        power=power,
        exploratory=exploratory,
        seed=seed,
    )
    a, b = as_pair(times_a, times_b)
    numbers = as_strata(strata, len(a))
    drawn = pairings(numbers, np.random.Generator(np.random.PCG64(seed)), num_draws)
    observed = observe(a, b, numbers)
    return finding(question, observed, observed.over(drawn), drawn)


def couplings(
    times_a: ArrayLike | Times,
    many_b: Mapping[str, ArrayLike],
    *,
    strata: ArrayLike | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    power: float | None = 0.9,
    num_draws: int = NUM_DRAWS,
    name: str = "A",
    exploratory: bool = True,
) -> list[Finding]:
    """``coupling`` of one event with each of many, adjusted together by max-T over the same pairings.

    The pairings are shared, so the dependence among the many is kept and the adjustment costs less than Holm.
    Each S is divided by its own standard deviation over the pairings before the largest is taken.

    Raises:
        UserError: as ``coupling``, and for an empty family.
    """
    if not many_b:
        raise UserError("many_b is empty: give at least one event, as {name: times}")
    check_options("together", 0.0, alpha, power, num_draws)
    pairs = {key: as_pair(times_a, times) for key, times in many_b.items()}
    numbers = as_strata(strata, len(next(iter(pairs.values()))[0]))
    drawn = pairings(numbers, np.random.Generator(np.random.PCG64(seed)), num_draws)
    findings, scores, nulls = [], [], []
    for key, (a, b) in pairs.items():
        question = Question(
            names=(name, key),
            both=False,
            least=0.0,
            alpha=alpha,
            power=power,
            exploratory=exploratory,
            seed=seed,
        )
        observed = observe(a, b, numbers)
        null = observed.over(drawn)
        found = finding(question, observed, null, drawn)
        findings.append(found)
        spread = float(null.std()) or 1.0
        scores.append(observed.s / spread)
        nulls.append(null / spread)
    adjusted = max_t(scores, np.stack(nulls, axis=1), exact=drawn.exact)
    return [with_adjusted(found, p, alpha) for found, p in zip(findings, adjusted, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What ``coupling`` was asked."""

    names: tuple[str, str]
    both: bool
    least: float
    alpha: float
    power: float | None
    exploratory: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The runs, who is known to be later in A and in B within strata, and their S and tau."""

    a: Times
    b: Times
    strata: Int[np.ndarray, "S"]
    signs_a: Int[np.ndarray, "S S"]
    signs_b: Int[np.ndarray, "S S"]
    s: int
    tau: float

    def over(self, drawn: Pairings) -> NDArray[np.int64]:
        return concordance(self.signs_a, self.signs_b, drawn.order)


def observe(a: Times, b: Times, strata: NDArray[np.int64]) -> Observed:
    same = strata[:, None] == strata
    signs_a, signs_b = order_signs(a) * same, order_signs(b) * same
    s = int(np.sum(signs_a.astype(np.int64) * signs_b)) // 2
    ordered = math.sqrt(int(np.sum(signs_a != 0)) * int(np.sum(signs_b != 0))) / 2
    tau = s / ordered if ordered else math.nan
    return Observed(a=a, b=b, strata=strata, signs_a=signs_a, signs_b=signs_b, s=s, tau=tau)


def finding(question: Question, observed: Observed, null: NDArray[np.int64], drawn: Pairings) -> Finding:
    values, at = (np.abs(null), abs(observed.s)) if question.both else (null, observed.s)
    p = drawn.p(int(np.sum(values >= at)))
    # Random pairings rarely hold the perfect order; two untied sequences sorted alike are it.
    best = int(values.max()) if drawn.exact else best_s(observed)
    smallest = drawn.p(int(np.sum(values >= max(best, at))))
    sides = "two-sided" if question.both else "one-sided"
    names, tau = question.names, None if math.isnan(observed.tau) else observed.tau
    low = high = None
    level = 1 - question.alpha if question.both else 1 - 2 * question.alpha
    verdict: Verdict = "undecided"
    if tau is not None:
        claims = p <= question.alpha
        low, high = tau_interval(
            tau,
            censored_groups(observed),
            level=level,
            above_zero=claims and tau > 0,
            below_zero=claims and tau < 0 if question.both else None,
        )
        excluded = high < question.least and (not question.both or low > -question.least)
        verdict = "refuted" if excluded else "supported" if claims else "undecided"
    return Finding(
        claim=f"{names[0]} and {names[1]} are coupled across runs"
        + (", either way" if question.both else ""),
        test=f"Kendall's tau, {sides}, {'all' if drawn.exact else 'random'} {len(drawn):,} pairings",
        estimate=tau,
        unit="tau",
        low=low,
        high=high,
        level=level,
        num_runs=len(observed.a),
        null=NULL,
        p=p,
        margin=question.least or None,
        verdict=verdict,
        smallest_p=smallest,
        runs_needed=needed_runs(question, observed),
        power=0.9 if question.power is None else question.power,
        exploratory=question.exploratory,
        note=notes(observed, names),
    )


def needed_runs(question: Question, observed: Observed) -> int | None:
    """With as many strata and as large a share of censored runs; None where these show no coupling."""
    tau = abs(observed.tau) if question.both else observed.tau
    if question.power is None or not tau > 0:
        return None
    num_strata = int(np.sum(np.bincount(observed.strata) > 1))

    def power_of(size: int) -> float:
        if size < 2 * num_strata:
            return 0.0
        return coupling_power(
            tau,
            size,
            censored_a=1 - float(observed.a.happened.mean()),
            censored_b=1 - float(observed.b.happened.mean()),
            num_strata=num_strata,
            alpha=question.alpha / 2 if question.both else question.alpha,
            seed=question.seed,
        )

    return runs_needed(power_of, question.power)


def best_s(observed: Observed) -> int:
    """S where, in each stratum, the later A has the later B."""
    ordered = []
    for times in (observed.a, observed.b):
        order = np.lexsort((times.low, times.high, observed.strata))
        ordered.append(Times(low=times.low[order], high=times.high[order]))
    return observe(ordered[0], ordered[1], np.sort(observed.strata)).s


def censored_groups(observed: Observed) -> Groups:
    """Runs, and the censored ones in A and in B, of each stratum that has pairs."""
    late_a, late_b = ~observed.a.happened, ~observed.b.happened
    groups = []
    for number in range(int(observed.strata.max()) + 1):
        members = observed.strata == number
        if (size := int(members.sum())) > 1:
            groups.append((size, int(late_a[members].sum()), int(late_b[members].sum())))
    return tuple(sorted(groups))


def notes(observed: Observed, names: tuple[str, str]) -> str:
    strata = observed.strata
    said = []
    for times, name in zip((observed.a, observed.b), names, strict=True):
        if missing := int(np.sum(~times.happened)):
            said.append(f"{name} did not happen in {missing}, counted as later than all others")
    if math.isnan(observed.tau):
        said.append("all times of an event are tied, which leaves nothing to pair")
    if (num_strata := int(strata.max()) + 1) > 1:
        said.append(f"within {num_strata} strata")
        if alone := int(np.sum(np.bincount(strata) == 1)):
            said.append(f"{alone} of one run each, which say nothing")
    return "; ".join(said)


def check_options(alternative: str, least: float, alpha: float, power: float | None, num_draws: int) -> None:
    if alternative not in ("together", "either"):
        raise UserError(f"alternative={alternative!r} is not known: give 'together' or 'either'")
    if not 0 <= least < 1:
        raise UserError(f"least={least} must be a tau in [0, 1)")
    check_level(alpha, power)
    if num_draws < 99:
        raise UserError(f"num_draws={num_draws} gives no p below {1 / (num_draws + 1):.2g}: at least 99")
