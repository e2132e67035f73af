"""Whether the networks of an arm generalise later than they memorise, run by run."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import polars as pl
from scipy.stats import binom

from epochal.core.values.finding import Finding, judged
from epochal.report.arm_findings import MAX_COMPARED, member_ids, members_by_arm
from epochal.report.pair import cited
from epochal.report.reading import RunLike
from epochal.report.tables import unlearnt

MIN_RUNS = 3
FEW = 5
ALPHA = 0.05


def delays(run: RunLike, fields: Sequence[str]) -> tuple[list[Finding], list[str]]:
    """The delay of each arm as a finding, and a line for what cannot be said. Not corrected yet."""
    rows = {row["member"]: row for row in run.events.filter(pl.col("name") == "delay").iter_rows(named=True)}
    if not rows:
        return [], []
    by_arm = members_by_arm(run, list(rows), fields)
    if len(by_arm) > MAX_COMPARED:
        return [], []
    few = [name or "this run" for name, members in by_arm.items() if len(members) < MIN_RUNS]
    unsaid = []
    if few:
        unsaid.append(
            f"no finding of the delay in {', '.join(few)}: fewer than {MIN_RUNS} seeds; "
            f"`epochal extend {run.name} seed=...` adds some"
        )
    outcomes = dict(run.members.select("member", "outcome").iter_rows())
    last = dict(run.metrics.group_by("member").agg(pl.col("step").max()).iter_rows())
    memorised, failed = latest_memorisation(run), unlearnt(run)
    made = []
    for name, members in by_arm.items():
        if len(members) >= MIN_RUNS and not any(m in memorised for m in members):
            unsaid.append(f"no finding of the delay{f' in {name}' if name else ''}: no member memorised")
        elif len(members) >= MIN_RUNS:
            arm = f" under {fields[0]} {name}" if len(fields) == 1 else f" under {name}" if name else ""
            ranges = []
            for m in members:
                if failed.get(m) == "memorised only" and m in memorised:
                    ranges.append((max(last[m] - memorised[m], 0.0), math.inf))
                elif m in failed:
                    ranges.append((-math.inf, 0.0))
                else:
                    ranges.append(delay_range(rows[m], has_diverged=outcomes[m] == "diverged"))
            made.append(cited(delay_finding(ranges, arm), tuple(member_ids(run, members)), run))
    return made, unsaid


def delay_finding(ranges: Sequence[tuple[float, float]], arm: str = "") -> Finding:
    """A sign test of the median delay: exact for any law, and what did not happen is never left out.

    ``ranges`` holds (low, high) per run in steps: from -infinity where there was no generalisation after a
    memorisation to speak of, to infinity where it had not come by the last record. Support needs lower ends
    above 0. The interval of the median is one of order statistics, 95% or, below six runs, what they give.
    """
    num, later = len(ranges), sum(low > 0 for low, _ in ranges)
    p = float(binom.sf(later - 1, num, 0.5))
    lows, highs = sorted(low for low, _ in ranges), sorted(high for _, high in ranges)
    cut = max(int(binom.ppf(ALPHA / 2, num, 0.5)), 1)
    low, high = lows[cut - 1], highs[num - cut]
    middle = median((low + high) / 2 for low, high in ranges)
    is_whole = num > FEW  # fewer runs have an interval of less than 95%, which refutes nothing
    verdict = judged(p, ALPHA, is_refuted=high <= 0 and is_whole)
    counted = {
        "had not generalised by the last record": sum(math.isinf(high) for _, high in ranges),
        "did not memorise, or diverged": sum(math.isinf(low) for low, _ in ranges),
    }
    return Finding(
        claim=f"generalisation comes later than memorisation{arm}",
        test="sign test of the median delay",
        estimate=middle if math.isfinite(middle) else None,
        unit="steps",
        low=low,
        high=high,
        level=0.95 if is_whole else 1 - 2 * 0.5**num,
        num_runs=num,
        null="half of all seeds generalise no later than they memorise",
        p=p,
        verdict=verdict,
        smallest_p=0.5**num,
        note="; ".join(f"{number} {what}" for what, number in counted.items() if number),
    )


def latest_memorisation(run: RunLike) -> dict[int, float]:
    rows = run.events.filter((pl.col("name") == "memorisation") & pl.col("high").is_not_null())
    return {row["member"]: float(row["high"]) for row in rows.iter_rows(named=True)}


def delay_range(row: Mapping[str, Any], *, has_diverged: bool) -> tuple[float, float]:
    """What the row ``delay`` of one member leaves open."""
    low, high = row["low"], row["high"]
    if low is None or (row["censored"] == "right" and has_diverged):
        return -math.inf, 0.0
    return float(low), math.inf if high is None else float(high)
