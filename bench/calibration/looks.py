"""Adding runs and looking again: claims with and without alpha spending.

One core; about three minutes with the default replicates.
"""

import numpy as np
from runs import BETWEEN, tau_p, write

from epochal.analysis import alpha_spending, same_time


def main() -> None:
    write("looks", "add runs and look again", __doc__, (looks,))


def looks(replicates: int) -> list[str]:
    rows = []
    plans = ((5, 10, 20, 40), (5, 10, 15, 20, 25, 30, 35, 40))
    for plan in plans:
        spending = {kind: alpha_spending(plan, kind=kind) for kind in ("obrien-fleming", "pocock")}  # type: ignore[arg-type]
        for test in ("coupling", "same_time at the margin"):
            claims = {"naive": 0, "obrien-fleming": 0, "pocock": 0}
            count = replicates if test.startswith("same") else replicates // 2
            for r in range(count):
                g = np.random.Generator(np.random.PCG64([len(plan), len(test), r]))
                a, b = g.normal(2000, BETWEEN, plan[-1]), g.normal(2000, BETWEEN, plan[-1])
                lags = g.normal(200, 40, plan[-1])
                p = [
                    tau_p(a[:n], b[:n])
                    if test == "coupling"
                    else same_time(np.zeros(n), lags[:n], margin=200, power=None).p
                    for n in plan
                ]
                claims["naive"] += any(value <= 0.05 for value in p if value is not None)
                for kind, allowed in spending.items():
                    claims[kind] += any(
                        v <= level for v, level in zip(p, allowed.level, strict=True) if v is not None
                    )
            rates = " | ".join(f"{claims[kind] / count:.3f}" for kind in claims)
            rows.append(f"| {', '.join(map(str, plan))} | {test} | {rates} |")
    return [
        "## Add runs and look again",
        "",
        f"Nothing to find; claims at any look. {replicates // 2} data sets per row of coupling.",
        "",
        "| runs at the looks | test | p <= .05 at each look | O'Brien-Fleming spending | Pocock spending |",
        "|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()
