"""Do two events move together? Rates of claims of lag statistics and of ``coupling``.

One core; about three minutes with the default replicates.
"""

import numpy as np
from scipy.stats import norm

from bench.calibration.runs import (
    BETWEEN,
    DRAWS,
    WITHIN,
    Array,
    Generator,
    about_median,
    coupled,
    mean_absolute,
    pairing_p,
    rate,
    tau_p,
    write,
)
from epochal.analysis import coupling_power
from epochal.analysis.runs.tau_interval import Groups, tau_interval


def main() -> None:
    write(
        "coupling",
        "do two events move together?",
        __doc__,
        (
            lag_statistics,
            which_statistic,
            common_timing,
            unlike_arms,
            tau_coverage,
            power_estimates,
        ),
    )


def lag_statistics(replicates: int) -> list[str]:
    rows = []
    for lag in (0, 300, 600, 1200):
        cells = []
        for name, statistic in (("mean", mean_absolute), ("median", about_median)):

            def decide(g: Generator, lag: float = lag, statistic: object = statistic) -> bool:
                return pairing_p(*coupled(g, 10, lag), statistic, g) <= 0.05  # type: ignore[arg-type]

            cells.append(rate(f"lag {name} {lag}", replicates // 2, decide))
        cells.append(
            rate(f"tau {lag}", replicates // 2, lambda g, lag=lag: tau_p(*coupled(g, 10, lag)) <= 0.05)
        )
        rows.append(f"| {lag} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[2]:.2f} |")
    return [
        "## Mean absolute lag is blind to a constant lag",
        "",
        f"Power with 10 runs, sd {BETWEEN:g} between runs and {WITHIN:g} within.",
        f"{replicates // 2} data sets per cell.",
        "",
        "| B lags A by | mean abs(lag) | mean abs(lag - median lag) | Kendall's tau (`coupling`) |",
        "|---|---|---|---|",
        *rows,
    ]


def which_statistic(replicates: int) -> list[str]:
    cases: tuple[tuple[str, dict[str, object], float], ...] = (
        ("sd within 150", {"within": 150.0}, 0),
        ("sd within 300", {"within": 300.0}, 0),
        ("t2 noise of scale 150", {"within": 150.0, "heavy": True}, 0),
        ("B takes twice as long, sd within 150", {"within": 150.0, "slope": 2.0}, 0),
        ("B takes four times as long, sd within 150", {"within": 150.0, "slope": 4.0}, 0),
        ("sd within 150, slowest fifth censored", {"within": 150.0}, 0.2),
    )
    rows = []
    for name, options, censored in cases:
        cells = []
        for runs in (5, 10):

            def data(
                g: Generator,
                runs: int = runs,
                options: dict[str, object] = options,
                censored: float = censored,
            ) -> tuple[Array, Array]:
                a, b = coupled(g, runs, 600, **options)  # type: ignore[arg-type]
                if censored:
                    limit = 2000 + norm.ppf(1 - censored) * np.hypot(BETWEEN, 150)
                    a, b = np.where(a > limit, np.nan, a), np.where(b > limit + 600, np.nan, b)
                return a, b

            def by_lag(g: Generator, data: object = data) -> bool:
                a, b = data(g)  # type: ignore[operator]
                both = np.isfinite(a) & np.isfinite(b)
                return bool(both.sum() > 2 and pairing_p(a[both], b[both], about_median, g) <= 0.05)

            cells.append(rate(f"which lag {name} {runs}", replicates // 2, by_lag))
            cells.append(
                rate(f"which tau {name} {runs}", replicates // 2, lambda g, d=data: tau_p(*d(g)) <= 0.05)
            )
        rows.append(f"| {name} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[2]:.2f} | {cells[3]:.2f} |")
    return [
        "## Which location-free statistic",
        "",
        "Power at a lag of 600; lags about their median drop censored runs.",
        f"{replicates // 2} data sets per cell.",
        "",
        "| case | lags, 5 runs | tau, 5 runs | lags, 10 runs | tau, 10 runs |",
        "|---|---|---|---|---|",
        *rows,
    ]


def common_timing(replicates: int) -> list[str]:
    rows = []
    for runs in (5, 10, 20):

        def apart(g: Generator, runs: int = runs) -> tuple[Array, Array]:
            return g.normal(2000, BETWEEN, runs), g.normal(2000, BETWEEN, runs)

        def uniform(g: Generator, runs: int = runs, data: object = apart) -> bool:
            a, b = data(g)  # type: ignore[operator]
            null = np.abs(g.uniform(0, 10_000, (DRAWS, runs)) - a).mean(axis=1)
            return (1 + int(np.sum(null <= np.abs(b - a).mean()))) / (DRAWS + 1) <= 0.05

        cells = [
            rate(f"common uniform {runs}", replicates, uniform),
            rate(
                f"common lag {runs}",
                replicates,
                lambda g, d=apart: pairing_p(*d(g), mean_absolute, g) <= 0.05,
            ),
            rate(
                f"common median {runs}",
                replicates,
                lambda g, d=apart: pairing_p(*d(g), about_median, g) <= 0.05,
            ),
            rate(f"common tau {runs}", replicates, lambda g, d=apart: tau_p(*d(g)) <= 0.05),
            rate(
                f"common grid {runs}",
                replicates,
                lambda g, d=apart: tau_p(*(np.round(t / 250) for t in d(g))) <= 0.05,
            ),
            rate(f"common cut {runs}", replicates, lambda g, d=apart: cut_tau(*d(g)) <= 0.05),
        ]
        rows.append(f"| {runs} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    return [
        "## Common timing, no coupling",
        "",
        "Both events near step 2000 (sd 300) of 10,000, independent of one another: rate of claims.",
        "The first two columns take the mean abs(lag). Grid 250: `coupling` of times rounded to 250 steps;",
        "cut: with the slowest fifth censored.",
        "",
        "| runs | uniform null | pairings, abs(lag) | abs(lag - median) | `coupling` | grid 250 | cut |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def cut_tau(a: Array, b: Array) -> float:
    limit = 2000 + norm.ppf(0.8) * BETWEEN
    cut = [np.where(t > limit, np.nan, t) for t in (a, b)]
    return tau_p(*cut)


def unlike_arms(replicates: int) -> list[str]:
    rows = []
    for runs in (5, 10):
        arm = np.repeat([0, 1], runs)

        def data(g: Generator, arm: Array = arm) -> tuple[Array, Array]:
            centre = 2000 + 3000 * arm
            return g.normal(centre, BETWEEN), g.normal(centre + 500, BETWEEN)

        pooled = rate(f"pooled {runs}", replicates, lambda g, d=data: tau_p(*d(g)) <= 0.05)
        within = rate(f"strata {runs}", replicates, lambda g, d=data, s=arm: tau_p(*d(g), strata=s) <= 0.05)
        rows.append(f"| 2 x {runs} | {pooled:.3f} | {within:.3f} |")
    return [
        "## Two unlike arms, independent within each",
        "",
        "| runs | pooled | `coupling(strata=arm)` |",
        "|---|---|---|",
        *rows,
    ]


def tau_coverage(replicates: int) -> list[str]:
    rows = []
    for tau in (0.0, 0.5, 0.8, 0.95):
        rho = np.sin(np.pi * tau / 2)
        cells = []
        for sizes in ((5,), (10,), (20,), (5, 5)):
            strata = np.repeat(np.arange(len(sizes)), sizes)
            groups = tuple((size, 0, 0) for size in sizes)

            def inside(
                g: Generator,
                rho: float = rho,
                strata: Array = strata,
                tau: float = tau,
                groups: Groups = groups,
            ) -> bool:
                a = g.standard_normal(len(strata))
                b = rho * a + np.sqrt(1 - rho**2) * g.standard_normal(len(strata))
                concordant, pairs = 0.0, 0
                for number in np.unique(strata):
                    x, y = a[strata == number], b[strata == number]
                    i, j = np.triu_indices(len(x), 1)
                    concordant += float(np.sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])))
                    pairs += len(i)
                low, high = tau_interval(concordant / pairs, groups, level=0.95)
                return bool(low <= tau <= high)

            cells.append(rate(f"coverage {tau} {sizes}", replicates, inside))
        rows.append(f"| {tau} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    return [
        "## Coverage of the 95% interval of tau",
        "",
        "| true tau | 5 runs | 10 runs | 20 runs | 2 arms of 5 |",
        "|---|---|---|---|---|",
        *rows,
    ]


def power_estimates(replicates: int) -> list[str]:
    rows = []
    for tau in (0.3, 0.5, 0.7):
        rho = np.sin(np.pi * tau / 2)
        cells = []
        for runs in (5, 10, 20):

            def decide(g: Generator, rho: float = rho, runs: int = runs) -> bool:
                a = g.standard_normal(runs)
                return tau_p(a, rho * a + np.sqrt(1 - rho**2) * g.standard_normal(runs)) <= 0.05

            real = rate(f"power {tau} {runs}", replicates // 2, decide)
            cells.append(f"{coupling_power(tau, runs, num_draws=4000):.2f} / {real:.2f}")
        rows.append(f"| {tau} | " + " | ".join(cells) + " |")
    return [
        "## What `coupling_power` says against what `coupling` does",
        "",
        f"Said / done, {replicates // 2} data sets per cell.",
        "",
        "| true tau | 5 runs | 10 runs | 20 runs |",
        "|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()
