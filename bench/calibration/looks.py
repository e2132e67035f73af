"""Adding runs and looking again: claims with and without alpha spending.

One core; about two minutes with the default replicates.
"""

import numpy as np
from runs import Array, write

from epochal.analysis import alpha_spending, same_time
from epochal.analysis.coupling_power import kendall_s

PLANS = ((5, 10, 20, 40), (5, 10, 15, 20, 25, 30, 35, 40))


def main() -> None:
    write("looks", "add runs and look again", __doc__, (looks,))


def looks(replicates: int) -> list[str]:
    rows = []
    for plan in PLANS:
        for test, p in (
            ("coupling", coupling_p(plan, 10 * replicates)),
            ("same_time at the margin", same_time_p(plan, replicates)),
        ):
            spending = (
                alpha_spending(plan, kind="obrien-fleming").level,
                alpha_spending(plan, kind="pocock").level,
            )
            rates = [float(np.mean(np.any(p <= np.array(level), axis=1))) for level in (0.05, *spending)]
            cells = " | ".join(f"{rate:.3f}" for rate in rates)
            rows.append(f"| {', '.join(map(str, plan))} | {test} | {len(p)} | {cells} |")
    return [
        "## Add runs and look again",
        "",
        "Nothing to find; claims at any look. The p-values of coupling are those of all pairings, by the",
        "known law of Kendall's S without ties.",
        "",
        "| runs at the looks | test | data sets | p <= .05 at each look | O'Brien-Fleming | Pocock |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def coupling_p(plan: tuple[int, ...], replicates: int) -> Array:
    g = np.random.Generator(np.random.PCG64([len(plan), 1]))
    a, b = g.standard_normal((2, replicates, plan[-1]))
    p = np.empty((replicates, len(plan)))
    for k, runs in enumerate(plan):
        concordant = (kendall_s(a[:, :runs], b[:, :runs]) + runs * (runs - 1) // 2) // 2
        p[:, k] = law_of_concordance(runs)[concordant]
    return p


def law_of_concordance(runs: int) -> Array:
    """P(at least c concordant pairs), c = 0, 1, ...: inversions of a random order (Kendall 1938)."""
    mass = np.ones(1)
    for size in range(2, runs + 1):
        mass = np.convolve(mass, np.full(size, 1 / size))
    return np.cumsum(mass[::-1])[::-1]


def same_time_p(plan: tuple[int, ...], replicates: int) -> Array:
    p = np.empty((replicates, len(plan)))
    for r in range(replicates):
        lags = np.random.Generator(np.random.PCG64([len(plan), 2, r])).normal(200, 40, plan[-1])
        for k, runs in enumerate(plan):
            p[r, k] = same_time(np.zeros(runs), lags[:runs], margin=200, power=None).p
    return p


if __name__ == "__main__":
    main()
