"""Adding runs and looking again: claims with and without alpha spending.

One core; about two minutes with the default replicates.
"""

import numpy as np

from bench.calibration.runs import DRAWS, Array, write
from epochal.analysis import adjust, alpha_spending, at_look, coupling, same_time
from epochal.analysis.runs.coupling_power import kendall_s
from epochal.analysis.runs.looks import Kind
from epochal.core.values.finding import Finding

PLANS = ((5, 10, 20, 40), (5, 10, 15, 20, 25, 30, 35, 40))


def main() -> None:
    write("looks", "add runs and look again", __doc__, (looks, refutations, as_a_study_looks))


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


def refutations(replicates: int) -> list[str]:
    """The claim is just true: any refutation at any look is wrong."""
    rows = []
    for plan in PLANS:
        spent = alpha_spending(plan)
        hits = np.zeros(2)
        for r in range(replicates // 2):
            lags = np.random.Generator(np.random.PCG64([len(plan), 3, r])).normal(200, 40, plan[-1])
            for column, levels in enumerate(((0.05,) * len(plan), spent.level)):
                hits[column] += any(
                    look(lags[:runs], level).verdict == "refuted"
                    for runs, level in zip(plan, levels, strict=True)
                )
        cells = " | ".join(f"{share:.3f}" for share in hits / (replicates // 2))
        rows.append(f"| {', '.join(map(str, plan))} | {cells} |")
    return [
        "## False refutations",
        "",
        f"`same_time`, true lag at the margin; refuted at any look. {replicates // 2} data sets per row.",
        "",
        "| runs at the looks | 90% interval each time | of the look's level (`alpha=runs.alpha`) |",
        "|---|---|---|",
        *rows,
    ]


def look(lags: Array, level: float) -> Finding:
    return same_time(np.zeros(len(lags)), lags, margin=200, alpha=level, power=None)


def as_a_study_looks(replicates: int) -> list[str]:
    """What the study runner does: Holm over two findings, the look's level, on until all is decided."""
    rows = []
    plan, data_sets = (5, 10, 20), max(100, replicates // 4)
    kinds: tuple[Kind, ...] = ("obrien-fleming", "pocock")
    for kind in kinds:
        spent = alpha_spending(plan, kind=kind)
        supported = ended = 0
        refuted = np.zeros(2)
        for r in range(data_sets):
            g = np.random.Generator(np.random.PCG64([9, r]))
            # No coupling, and a mean lag at the margin, of times read off records 25 steps apart.
            a = g.normal(2000, 150, plan[-1])
            b = np.round(a.mean() + g.normal(0, 150, plan[-1]), -1)
            lagged = a + g.normal(200, 40, plan[-1])
            for k, runs in enumerate(plan):
                ends = [recorded(t) for t in (a, b, lagged)]
                level = spent.level[k]
                first = coupling(
                    ends[0][:runs], ends[1][:runs], alpha=level, power=None, num_draws=DRAWS * 2, seed=r
                )
                second = same_time(ends[0][:runs], ends[2][:runs], margin=200, alpha=level, power=None)
                family = adjust([first, second], alpha=level)
                verdicts = [at_look(one, spent, runs=runs).verdict for one in family]
                if "undecided" not in verdicts or runs == plan[-1]:
                    break
            supported += "supported" in verdicts
            refuted += [verdict == "refuted" for verdict in verdicts]
            ended += runs < plan[-1]
        cells = " | ".join(f"{count / data_sets:.3f}" for count in (supported, *refuted, ended))
        rows.append(f"| {kind} | {cells} |")
    return [
        "## As a study looks",
        "",
        "`coupling` of unrelated times and `same_time` of a lag at the margin, times known to 25 steps; Holm",
        "over both, then the look's level; looks at 5, 10 and 20 runs until both are decided. Any support is",
        "wrong, and so is either refutation; Holm corrects support only, each refutation keeps its own 5%.",
        f"{data_sets} data sets.",
        "",
        "| spending | any support | `coupling` refuted | `same_time` refuted | ended early |",
        "|---|---|---|---|---|",
        *rows,
    ]


def recorded(times: Array) -> Array:
    """(low, high) on a schedule of every 25 steps."""
    low = 25 * np.floor(times / 25)
    return np.stack([low, low + 25], axis=1)


def same_time_p(plan: tuple[int, ...], replicates: int) -> Array:
    p = np.empty((replicates, len(plan)))
    for r in range(replicates):
        lags = np.random.Generator(np.random.PCG64([len(plan), 2, r])).normal(200, 40, plan[-1])
        for k, runs in enumerate(plan):
            p[r, k] = same_time(np.zeros(runs), lags[:runs], margin=200, power=None).p
    return p


if __name__ == "__main__":
    main()
