"""Do two events happen at the same time, or one first? Claims of ``same_time``, ``leads`` and a bootstrap.

One core; about three minutes with the default replicates.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap

from bench.calibration.runs import BETWEEN, Array, Generator, coupled, rate, write
from epochal.analysis import Course, leads, same_time
from epochal.analysis.runs.skewness import is_skewed


def main() -> None:
    write(
        "same-time",
        "same time, and which is first",
        __doc__,
        (
            margins,
            skewed_lags,
            same_time_power_table,
            leading,
        ),
    )


def margins(replicates: int) -> list[str]:
    rows = []
    for law in ("normal", "t3"):
        for runs in (5, 10, 20):

            def lags(g: Generator, law: str = law, runs: int = runs) -> Array:
                # The margin is 20 sd away on the other side: the size of one one-sided test.
                return 200.0 + 20.0 * (g.standard_normal(runs) if law == "normal" else g.standard_t(3, runs))

            cells = [
                rate(f"bca {law} {runs}", replicates, lambda g, d=lags: bca_claims(d(g), 200.0, g)),
                rate(f"t {law} {runs}", replicates, lambda g, d=lags: claims_same(d(g), 200.0, "t")),
            ]
            flips = "–"
            if runs <= 10:  # a million flips of 20 runs take 0.2 s
                share = rate(
                    f"flip {law} {runs}", replicates, lambda g, d=lags: claims_same(d(g), 200.0, "sign-flip")
                )
                flips = f"{share:.3f}"
            rows.append(f"| {law} | {runs} | {cells[0]:.3f} | {cells[1]:.3f} | {flips} |")
    return [
        "## Same time: claims with the true mean lag at the margin",
        "",
        '| lags | runs | BCa bootstrap, 999 draws | `same_time` | `same_time(test="sign-flip")` |',
        "|---|---|---|---|---|",
        *rows,
    ]


def bca_claims(lags: Array, margin: float, g: Generator) -> bool:
    interval = bootstrap(
        (lags,), np.mean, confidence_level=0.9, method="BCa", n_resamples=999, rng=g, vectorized=True
    ).confidence_interval
    return bool(-margin < interval.low and interval.high < margin)


def claims_same(lags: Array, margin: float, test: str) -> bool:
    found = same_time(np.zeros(len(lags)), lags, margin=margin, test=test, power=None)  # type: ignore[arg-type]
    return found.verdict == "supported"


def skewed_lags(replicates: int) -> list[str]:
    rows = []
    middle = float(np.log(2))
    laws: tuple[tuple[str, Callable[[Generator, int], Array]], ...] = (
        ("mean at the margin, long tail outward", lambda g, n: 200 + 20 * (g.exponential(1, n) - 1)),
        ("mean at the margin, long tail inward", lambda g, n: 200 - 20 * (g.exponential(1, n) - 1)),
        ("median at the margin, long tail outward", lambda g, n: 200 + 20 * (g.exponential(1, n) - middle)),
        ("median at the margin, long tail inward", lambda g, n: 200 - 20 * (g.exponential(1, n) - middle)),
    )
    for name, law in laws:
        for runs in (5, 10):
            cells = [
                rate(
                    f"skew {test} {name} {runs}",
                    replicates,
                    lambda g, t=test, d=law, n=runs: claims_same(d(g, n), 200.0, t),
                )
                for test in ("t", "sign-flip", "sign")
            ]
            warned = rate(
                f"skew warned {name} {runs}", replicates, lambda g, d=law, n=runs: is_skewed(d(g, n))
            )
            cells.append(warned)
            rows.append(f"| {name} | {runs} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    for record in (25, 50, 100):

        def grid(g: Generator, record: float = record) -> bool:
            # The true lag is the margin in every run; both times are read off the record schedule.
            a = g.uniform(0, 10_000, 10)
            ends = [
                np.stack([np.floor(t / record) * record, np.floor(t / record) * record + record], 1)
                for t in (a, a + 200)
            ]
            return same_time(ends[0], ends[1], margin=200, power=None).verdict == "supported"

        share = rate(f"grid {record}", replicates, grid)
        rows.append(f"| equal, known to {record} steps | 10 | {share:.3f} | – | – | – |")
    return [
        "## Same time at the margin, where the assumptions fail",
        "",
        "Exponential lags of sd 20. The sign test is one of the median: it is exact where the median is at",
        "the margin, and claims rightly where the mean is there and the median inside.",
        "",
        '| lags | runs | `same_time` | sign flips | `test="sign"` | warned of skew |',
        "|---|---|---|---|---|---|",
        *rows,
    ]


def same_time_power_table(replicates: int) -> list[str]:
    rows = []
    for margin in (50.0, 80.0, 120.0):
        cells = []
        for runs in (5, 10):
            for test in ("t", "sign-flip", "sign"):

                def decide(g: Generator, runs: int = runs, margin: float = margin, test: str = test) -> bool:
                    a, b = coupled(g, runs)
                    return same_time(a, b, margin=margin, test=test, power=None).verdict == "supported"  # type: ignore[arg-type]

                cells.append(rate(f"same {margin} {runs} {test}", replicates, decide))
        rows.append(f"| {margin:g} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return [
        "## Same time: power at a true lag of 0, sd of the lags 57",
        "",
        "| margin | t, 5 runs | sign flips, 5 | signs, 5 | t, 10 runs | sign flips, 10 | signs, 10 |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def leading(replicates: int) -> list[str]:
    """One latent drives a log loss (early) and an accuracy (late); nothing leads anything."""
    rows = []
    for runs in (6, 10):

        def times(g: Generator, early: float, wide: float, runs: int = runs) -> tuple[Course, Course, Course]:
            latent = g.normal(2000, BETWEEN, runs)

            def course(offset: float, width: float) -> Course:
                # One noise per curve: the hardest case, since its three times then err together.
                middle = latent + offset + g.normal(0, 10, runs)
                return Course(onset=middle - width / 2, midpoint=middle, end=middle + width / 2)

            return course(early, wide), course(0, 100), course(-150, 300)

        link = rate(
            f"lead link {runs}",
            replicates,
            lambda g, d=times: leads_p(*d(g, -150, 300)[:2], None) <= 0.05,
        )
        null = rate(f"lead null {runs}", replicates, lambda g, d=times: leads_p(*d(g, -150, 300)) <= 0.05)
        true = rate(f"lead true {runs}", replicates, lambda g, d=times: leads_p(*d(g, -250, 300)) <= 0.05)
        rows.append(f"| {runs} | {link:.3f} | {null:.3f} | {true:.2f} |")
    return [
        "## A leads B",
        "",
        "A log loss and an accuracy of one latent: the loss moves 150 steps earlier, three times as slowly.",
        "",
        "| runs | midpoints, no placebo | `leads`, placebo of the same latent | A truly 100 earlier: power |",
        "|---|---|---|---|",
        *rows,
    ]


def leads_p(a: Course, b: Course, placebo: Course | None) -> float:
    if placebo is None:
        found = leads(a.midpoint, b.midpoint, placebo=b.midpoint, power=None)
    else:
        found = leads(a, b, placebo=placebo, power=None)
    assert found.p is not None
    return found.p


if __name__ == "__main__":
    main()
