"""Arms, shares, restricted means and exponents from censored times: claims and coverage.

One core; about ten minutes with the default replicates.
"""

from collections.abc import Callable

import numpy as np

from bench.calibration.runs import BETWEEN, Array, Generator, rate, write
from epochal.analysis import aalen_johansen, compare_arms, kaplan_meier, restricted_mean, scaling_exponent
from epochal.analysis.runs.survival import SurvivalCurve
from epochal.core.values.errors import UserError


def main() -> None:
    write(
        "censored",
        "arms, shares, means and exponents from censored times",
        __doc__,
        (
            arms,
            shares,
            censored_means,
            exponents,
            shared_seeds,
        ),
    )


def arms(replicates: int) -> list[str]:
    rows = []
    for runs in (6, 10, 20):
        for shift in (0, 150):
            cells = []
            for test in ("restricted mean", "log-rank"):

                def decide(g: Generator, runs: int = runs, shift: float = shift, test: str = test) -> bool:
                    # The seed explains most of the spread; a fifth has no event by the horizon.
                    latent = g.normal(2000, BETWEEN, runs)
                    one, two = latent + g.normal(0, 100, runs), latent + shift + g.normal(0, 100, runs)
                    cut = [np.where(t > 2260, np.nan, t) for t in (one, two)]
                    try:
                        found = compare_arms(*cut, horizon=2260, test=test, power=None)  # type: ignore[arg-type]
                    except UserError:  # no event in either arm
                        return False
                    return found.verdict == "supported"

                cells.append(rate(f"arms {runs} {shift} {test}", replicates // 4, decide))
            rows.append(f"| {runs} | {shift} | {cells[0]:.3f} | {cells[1]:.3f} |")
    return [
        "## Two arms with the same seeds",
        "",
        "sd 300 between seeds, 100 within; runs end at step 2260, a fifth of them without event.",
        f"{replicates // 4} data sets per cell.",
        "",
        "| seeds | true delay | restricted mean | log-rank |",
        "|---|---|---|---|",
        *rows,
    ]


def shares(replicates: int) -> list[str]:
    """Exponential events of mean 1000; divergence, where there is any, of mean 2000; followed to 2500."""
    rows = []
    steps = (100.0, 500.0, 1000.0, 2000.0)
    for runs in (5, 10, 20, 50):
        for cut in ("at the end", "at random"):
            hits = {name: np.zeros(len(steps)) for name in ("survival", "incidence", "Greenwood")}
            for r in range(replicates):
                g = np.random.Generator(np.random.PCG64([runs, len(cut), r]))
                event, lost = g.exponential(1000, runs), g.exponential(2000, runs)
                until = np.full(runs, 2500.0)
                if cut == "at random":
                    until = np.minimum(until, g.exponential(1000, runs) + 1)
                alive = kaplan_meier(np.where(event <= until, event, np.nan), followed=until)
                had = aalen_johansen(
                    np.where(event <= np.minimum(until, lost), event, np.nan),
                    diverged=np.where(lost <= np.minimum(until, event), lost, np.nan),
                    followed=until,
                )
                for k, step in enumerate(steps):
                    survival, incidence = np.exp(-step / 1000), (1 - np.exp(-1.5 * step / 1000)) / 1.5
                    hits["survival"][k] += holds(alive, step, survival)
                    hits["incidence"][k] += holds(had, step, incidence)
                    hits["Greenwood"][k] += greenwood_holds(event, until, step, survival)
            rows += [
                f"| {runs} | {cut} | {name} | "
                + " | ".join(f"{share:.3f}" for share in counts / replicates)
                + " |"
                for name, counts in (
                    ("Greenwood on log(-log S)", hits["Greenwood"]),
                    ("`kaplan_meier`", hits["survival"]),
                    ("`aalen_johansen`", hits["incidence"]),
                )
            ]
    return [
        "## Coverage of the 95% interval of a share of runs",
        "",
        "Exponential events of mean 1,000, divergences of mean 2,000 (`aalen_johansen` only); observed to",
        "2,500, or to an exponential step of mean 1,000 if that is earlier.",
        "",
        "| runs | censored | interval | step 100 | 500 | 1,000 | 2,000 |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def holds(curve: SurvivalCurve, step: float, truth: float) -> bool:
    k = int(np.searchsorted(curve.step, step, side="right")) - 1
    return bool(curve.low[k] <= truth <= curve.high[k])


def greenwood_holds(event: Array, until: Array, step: float, truth: float) -> bool:
    """The usual interval, without width before the first event; 0 to its last bound where S is 0."""
    duration, happened = np.minimum(event, until), event <= until
    survival, variance, low, high = 1.0, 0.0, 1.0, 1.0
    for t in np.sort(duration[happened & (duration <= step)]):
        at_risk = int(np.sum(duration >= t))
        survival *= 1 - 1 / at_risk
        if at_risk == 1:
            low = 0.0
            break
        variance += 1 / (at_risk * (at_risk - 1))
        spread = 1.96 * np.sqrt(variance) / abs(np.log(survival))
        low, high = survival ** np.exp(spread), survival ** np.exp(-spread)
    return bool(low <= truth <= high)


def censored_means(replicates: int) -> list[str]:
    rows = []
    laws: tuple[tuple[str, Callable[[Generator, int], Array]], ...] = (
        ("normal(2000, 500)", lambda g, n: np.maximum(g.normal(2000, 500, n), 1.0)),
        ("exponential(1000)", lambda g, n: g.exponential(1000, n)),
    )
    for name, law in laws:
        many = law(np.random.Generator(np.random.PCG64(0)), 1_000_000)
        for share, lost in ((0.2, False), (0.6, False), (0.2, True)):
            horizon = float(np.quantile(many, 1 - share))
            truth = float(np.minimum(many, horizon).mean())
            for runs in (5, 10, 20, 50):
                hits, length, naive = [], [], []
                for r in range(replicates // 2):
                    g = np.random.Generator(np.random.PCG64([runs, r]))
                    t = law(g, runs)
                    until = np.full(runs, horizon)
                    if lost:
                        until = np.minimum(until, horizon * g.uniform(0.2, 1.6, runs))
                        until[0] = horizon
                    seen = np.where(t <= until, t, np.nan)
                    try:
                        found = restricted_mean(seen, followed=until, horizon=horizon)
                    except UserError:  # nobody is left to see the last stretch
                        continue
                    hits.append(found.low <= truth <= found.high)
                    length.append((found.high - found.low) / horizon)
                    naive.append(np.nanmean(seen) if np.isfinite(seen).any() else np.nan)
                how = f"{share:.0%} at the horizon" + (", some lost before" if lost else "")
                rows.append(
                    f"| {name} | {how} | {runs} | {np.mean(hits):.3f} | {np.median(length):.2f} "
                    f"| {(np.nanmean(naive) - truth) / truth:+.0%} |"
                )
    return [
        "## Restricted mean",
        "",
        f"Lost before the horizon: at a uniform .2 to 1.6 of it. {replicates // 2} data sets per row.",
        "",
        "| times | censored | runs | coverage of 95% | median length / horizon | bias of the events' mean |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def shared_seeds(replicates: int) -> list[str]:
    rows = []
    data_sets = max(100, replicates // 4)
    for runs in (3, 5, 10):
        for kind, shift, tilt in (
            ("nothing", 0.0, 0.0),
            ("a shift", 0.4, 0.0),
            ("shift and slope", 0.2, 0.15),
        ):
            for cut in (None, 450.0):
                hits = {"seeds": [], "none": []}  # type: dict[str, list[bool]]
                length = {"seeds": [], "none": []}  # type: dict[str, list[float]]
                for r in range(data_sets):
                    g = np.random.Generator(np.random.PCG64([runs, r]))
                    x, seed = np.tile([1.0, 2.0, 4.0, 8.0], runs), np.repeat(np.arange(runs), 4)
                    slopes, shifts = 0.75 + tilt * g.normal(size=runs), shift * g.normal(size=runs)
                    t = 100 * x ** slopes[seed] * np.exp(shifts[seed] + g.normal(0, 0.2, len(x)))
                    seen = t if cut is None else np.where(t > cut, np.nan, t)
                    for name, labels in (("seeds", seed), ("none", None)):
                        try:
                            found = scaling_exponent(x, seen, followed=cut, seeds=labels)
                        except UserError:  # too few events without one of the seeds
                            continue
                        hits[name].append(found.low <= 0.75 <= found.high)
                        length[name].append(found.high - found.low)
                cells = [
                    f"{np.mean(hits[name]):.3f} | {np.median(length[name]):.2f}" for name in ("none", "seeds")
                ]
                which = "none" if cut is None else f"beyond {cut:g}"
                rows.append(f"| {runs} | {kind} | {which} | {' | '.join(cells)} |")
    return [
        "## Scaling exponent, the same seeds at every x",
        "",
        "T = 100 x^.75 with log-sd .2 at x = 1, 2, 4, 8. A seed shifts log T by sd .4; or by sd .2, and its",
        f"exponent by sd .15. {data_sets} data sets per row.",
        "",
        "| seeds | a seed brings | censored | without `seeds`: coverage | length | with: coverage | length |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def exponents(replicates: int) -> list[str]:
    rows = []
    for per, censor, record in ((3, 1e9, 0.0), (3, 450.0, 0.0), (5, 450.0, 0.0), (5, 450.0, 50.0)):
        hits, slopes, naive = [], [], []
        for r in range(max(100, replicates // 4)):
            g = np.random.Generator(np.random.PCG64([per, int(min(censor, 1e6)), int(record), r]))
            x = np.repeat([1.0, 2.0, 4.0, 8.0], per)
            t = 100 * x**0.75 * np.exp(g.normal(0, 0.3, len(x)))
            seen = np.where(t > censor, np.nan, t)
            given = seen
            if record:
                before = np.floor(seen / record) * record
                given = np.stack([before, before + record], axis=1)
            found = scaling_exponent(x, given, followed=None if censor > 1e8 else censor)
            hits.append(found.low <= 0.75 <= found.high)
            slopes.append(found.exponent)
            have = np.isfinite(seen)
            naive.append(np.polyfit(np.log(x[have]), np.log(seen[have]), 1)[0])
        cut = "none" if censor > 1e8 else f"beyond {censor:g}"
        rows.append(
            f"| 4 x {per} | {cut} | {record or 'exact'} | {np.mean(hits):.3f} | {np.mean(slopes):.3f} "
            f"| {np.mean(naive):.3f} |"
        )
    return [
        "## Scaling exponent, true .75",
        "",
        f"T = 100 x^.75 with log-sd .3 at x = 1, 2, 4, 8; {max(100, replicates // 4)} data sets per row.",
        "",
        "| runs | censored | record interval | coverage of 95% | mean exponent | least squares on the rest |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()
