"""Arms, restricted means and exponents from censored times: claims and coverage.

One core; about four minutes with the default replicates.
"""

import numpy as np
from runs import BETWEEN, Generator, rate, write

from epochal.analysis import compare_arms, restricted_mean, scaling_exponent
from epochal.core.values.errors import UserError


def main() -> None:
    write(
        "censored",
        "arms, means and exponents from censored times",
        __doc__,
        (
            arms,
            censored_means,
            exponents,
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
                        found = compare_arms(*cut, horizon=2260, test=test)  # type: ignore[arg-type]
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


def censored_means(replicates: int) -> list[str]:
    rows = []
    limit = 2420.0
    law = (2000.0, 500.0)
    many = np.random.Generator(np.random.PCG64(0)).normal(*law, 1_000_000)
    truth = float(np.minimum(many, limit).mean())
    for runs in (5, 10, 20):
        hits, naive = [], []
        for r in range(replicates):
            g = np.random.Generator(np.random.PCG64([runs, r]))
            t = np.maximum(g.normal(*law, runs), 1.0)
            seen = np.where(t > limit, np.nan, t)
            found = restricted_mean(seen, followed=limit, horizon=limit)
            hits.append(found.low <= truth <= found.high)
            naive.append(np.nanmean(seen) if np.isfinite(seen).any() else np.nan)
        rows.append(f"| {runs} | {np.mean(hits):.3f} | {np.nanmean(naive) - truth:+.0f} |")
    return [
        "## Restricted mean, a fifth censored",
        "",
        f"Normal(2000, 500) cut at {limit:g}; true restricted mean {truth:.0f}.",
        "",
        "| runs | coverage of 95% | bias of the mean of the runs that had the event |",
        "|---|---|---|",
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
