"""Do two events move together from run to run?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from epochal.analysis.coupling_power import coupling_power, runs_needed
from epochal.analysis.levels import check_level
from epochal.analysis.multiplicity import max_t, with_adjusted
from epochal.analysis.paired_times import Times, as_pair, as_strata, order_signs
from epochal.analysis.pairings import NUM_DRAWS, Pairings, concordance, pairings
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

LEVEL = 0.95
NULL = "any run's A goes with any run's B of the same stratum"
# Fieller, Hartley & Pearson 1957, Biometrika 44, 470-481: the variance of Fisher's z of Kendall's tau.
FIELLER = 0.437


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
    * ``alternative``: ``"together"`` tests tau > 0, ``"either"`` tau != 0.
    * ``least``: tau that counts as coupled, fixed beforehand. ``refuted`` means that the interval of tau ends
      below it; with 0, that late A goes with *early* B.
    * ``power``: for ``runs_needed``; None leaves that out, which saves time.

    ``p`` is exact, over all pairings, up to 50,000 of them (8 runs); else from 9,999 random ones, counting
    the observed. ``smallest_p`` is what a perfect order would give: 1/S! without ties. The interval is
    Fieller's, 95%: normal for Fisher's z of tau with variance .437/(S - 4), so [-1, 1] up to 4 runs. Under no
    effect tau is 0 and p uniform or larger.

    Kendall's tau and not lags about their median: both have the same power where B lags A by a constant;
    tau keeps it where the lag grows with time, under heavy tails, and with censored runs, which have no
    lag (bench/results/calibration-several-runs.md).

    Raises:
        UserError: unequal numbers of runs, fewer than three, an event that never happened, bad options.

    Sources: tau-b with ties at infinity, Kendall 1970, Rank Correlation Methods, ch. 3; stratified
    permutation, Pesarin & Salmaso 2010, ch. 2; the +1, Phipson & Smyth 2010, SAGMB 9, 39.
    """
    check_options(alternative, least, alpha, power, num_draws)
    a, b = as_pair(times_a, times_b)
    numbers = as_strata(strata, len(a))
    drawn = pairings(numbers, np.random.Generator(np.random.PCG64(seed)), num_draws)
    observed = pair_orders(a, b, numbers)
    null = concordance(observed.signs_a, observed.signs_b, drawn.order)
    return finding(
        observed, null, drawn, a, b, numbers, alternative, least, alpha, power, names, exploratory, seed
    )


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
        observed = pair_orders(a, b, numbers)
        null = concordance(observed.signs_a, observed.signs_b, drawn.order)
        found = finding(
            observed,
            null,
            drawn,
            a,
            b,
            numbers,
            "together",
            0.0,
            alpha,
            power,
            (name, key),
            exploratory,
            seed,
        )
        findings.append(found)
        spread = float(null.std()) or 1.0
        scores.append(observed.s / spread)
        nulls.append(null / spread)
    adjusted = max_t(scores, np.stack(nulls, axis=1), exact=drawn.exact)
    return [with_adjusted(found, p, alpha) for found, p in zip(findings, adjusted, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Who is known to be later in A and in B, within strata; the S and tau of the runs as they are."""

    signs_a: Int[np.ndarray, "S S"]
    signs_b: Int[np.ndarray, "S S"]
    s: int
    tau: float


def pair_orders(a: Times, b: Times, strata: NDArray[np.int64]) -> Orders:
    same = strata[:, None] == strata
    signs_a, signs_b = order_signs(a) * same, order_signs(b) * same
    s = int(np.sum(signs_a.astype(np.int64) * signs_b)) // 2
    ordered = math.sqrt(int(np.sum(signs_a != 0)) * int(np.sum(signs_b != 0))) / 2
    return Orders(signs_a=signs_a, signs_b=signs_b, s=s, tau=s / ordered if ordered else math.nan)


def finding(
    observed: Orders,
    null: NDArray[np.int64],
    drawn: Pairings,
    a: Times,
    b: Times,
    strata: NDArray[np.int64],
    alternative: str,
    least: float,
    alpha: float,
    power: float | None,
    names: tuple[str, str],
    exploratory: bool,
    seed: int,
) -> Finding:
    both = alternative == "either"
    values, at = (np.abs(null), abs(observed.s)) if both else (null, observed.s)
    p = drawn.p(int(np.sum(values >= at)))
    # Random pairings rarely hold the perfect order; two untied sequences sorted alike are it.
    best = best_s(a, b, strata) if not drawn.exact else int(values.max())
    smallest = drawn.p(int(np.sum(values >= max(best, at))))
    num_runs = len(a)
    if math.isnan(observed.tau):
        low = high = None
        verdict: Verdict = "undecided"
    else:
        low, high = tau_interval(observed.tau, strata)
        verdict = "supported" if p <= alpha else "refuted" if high < least else "undecided"
    needed = None
    if power is not None and observed.tau > 0:
        late_a, late_b = 1 - a.happened.mean(), 1 - b.happened.mean()
        num_strata = int(np.sum(np.bincount(strata) > 1))

        def power_of(size: int) -> float:
            if size < 2 * num_strata:
                return 0.0
            return coupling_power(
                observed.tau,
                size,
                censored_a=late_a,
                censored_b=late_b,
                num_strata=num_strata,
                alpha=alpha / 2 if both else alpha,
                seed=seed,
            )

        needed = runs_needed(power_of, power)
    return Finding(
        claim=f"{names[0]} and {names[1]} are coupled across runs",
        test=f"Kendall's tau, {'all' if drawn.exact else 'random'} {len(drawn):,} pairings",
        estimate=None if math.isnan(observed.tau) else observed.tau,
        unit="tau",
        low=low,
        high=high,
        level=LEVEL,
        num_runs=num_runs,
        null=NULL,
        p=p,
        margin=least or None,
        verdict=verdict,
        smallest_p=smallest,
        runs_needed=needed,
        power=0.9 if power is None else power,
        exploratory=exploratory,
        note=notes(observed, a, b, strata, names),
    )


def best_s(a: Times, b: Times, strata: NDArray[np.int64]) -> int:
    """S where, in each stratum, the later A has the later B."""
    order_a = np.lexsort((a.low, a.high, strata))
    order_b = np.lexsort((b.low, b.high, strata))
    sorted_a = Times(low=a.low[order_a], high=a.high[order_a])
    sorted_b = Times(low=b.low[order_b], high=b.high[order_b])
    return pair_orders(sorted_a, sorted_b, strata[order_a]).s


def tau_interval(tau: float, strata: NDArray[np.int64]) -> tuple[float, float]:
    """Fieller's, with the runs that one stratum with the same variance would have.

    At tau = 1 Fisher's z is infinite; half of the smallest step of tau is taken off first.
    """
    sizes = np.bincount(strata)
    sizes = sizes[sizes > 1]
    pairs = sizes * (sizes - 1) / 2
    share = pairs / pairs.sum()
    runs = 1 / float(np.sum(share**2 / sizes))
    if runs <= 4:
        return -1.0, 1.0
    limit = 1 - 1 / float(pairs.sum())
    z = math.atanh(max(-limit, min(limit, tau)))
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(FIELLER / (runs - 4))
    low, high = math.tanh(z - half), math.tanh(z + half)
    return (low if tau > -1 else -1.0), (high if tau < 1 else 1.0)


def notes(observed: Orders, a: Times, b: Times, strata: NDArray[np.int64], names: tuple[str, str]) -> str:
    said = []
    for times, name in zip((a, b), names, strict=True):
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
