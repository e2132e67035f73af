"""How often detectors of one transition raise a false alarm, and how often their intervals hold the truth.

Simulates what common heuristics and information criteria do on curves of known truth, then ``detect``.
Writes bench/results/calibration-transitions.md. One core; some twenty minutes with the default replicates.
"""

import argparse
import platform
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import curve_fit
from scipy.special import xlog1py, xlogy
from scipy.stats import binom

from bench.calibration.curves import NULLS, Array, logistic, null_curve, planted, schedule, seeds, wander
from epochal.analysis import detect, detect_many
from epochal.analysis.curves.heuristics import (
    causalgrok_grokking_row,
    causalgrok_irm_drop_row,
    miml_steps_to_99,
)
from epochal.analysis.curves.logistic import grid, rise

RESULT = Path(__file__).resolve().parents[1] / "results" / "calibration-transitions.md"
WIDTHS = (0.2, 1.0, 3.0, 10.0, 50.0)
NOISES = (  # phi, sd, trials
    (0.0, 0.0, 100),
    (0.0, 0.0, 10_000),
    (0.5, 0.02, 1000),
    (0.9, 0.02, 1000),
    (0.95, 0.02, 10_000),
    (0.95, 0.02, 100),
)
Noise = tuple[float, float, int]
# Chosen by earlier runs of this file, on other curves.
EDGE = (
    ("linear", (0.95, 0.02, 10_000), 50.0),
    ("log", (0.95, 0.02, 10_000), 50.0),
    ("linear", (0.0, 0.0, 100), 2.0),
    ("linear", (0.0, 0.0, 100), 3.0),
    ("linear", (0.0, 0.0, 100), 5.0),
    ("linear", (0.0, 0.0, 300), 3.0),
    ("log", (0.95, 0.02, 100), 3.0),
    ("linear", (0.9, 0.02, 1000), 50.0),
    ("log", (0.9, 0.02, 1000), 50.0),
    ("linear", (0.9, 0.02, 10_000), 50.0),
    ("log", (0.9, 0.02, 10_000), 50.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--replicates", type=int, default=200, help="curves per row or cell; half of them for the heuristics"
    )
    parser.add_argument("--quick", action="store_true", help="20 replicates, a look and no result")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="SECTION",
        choices=SECTIONS,
        default=list(SECTIONS),
        help=f"replace these sections of the result and keep the others: {', '.join(SECTIONS)}",
    )
    options = parser.parse_args()
    started = time.process_time()
    for name in options.only:
        title, *lines = SECTIONS[name](20 if options.quick else options.replicates)
        print(title, *lines, f"({time.process_time() - started:.0f} s)", sep="\n", flush=True)
        if not options.quick:
            write(name, title, lines)


def write(name: str, title: str, lines: list[str]) -> None:
    """One section into the file, the others as they are there."""
    sections = {}
    if RESULT.exists():
        for section in RESULT.read_text().split("\n## ")[1:]:
            heading, body = section.split("\n", 1)
            sections["## " + heading] = body.strip()
    sections[title] = "\n".join(lines).strip()
    known = [TITLES[each] for each in SECTIONS]
    assert title == TITLES[name]
    text = "\n\n".join(f"{each}\n\n{sections[each]}" for each in known if each in sections)
    RESULT.write_text(
        f"""# Calibration: when did one curve change?

Every rate has the standard error sqrt(rate (1 - rate) / curves): .05 has .015 from 200 curves, .022 from
100. Written by `bench/calibration/transitions.py`, section by section, on curves that are not those the
detector was tuned on, with NumPy {np.__version__}, SciPy {scipy.__version__}, {platform.machine()}.

{text}
"""
    )


def standard_error(rate: float, replicates: int) -> str:
    return f"a rate of {rate:g} has a standard error of {np.sqrt(rate * (1 - rate) / replicates):.3f}"


def plateau_then_jump(replicates: int) -> list[str]:
    """Widths are in epochs, with a row every ten of them."""
    lines = [
        "## CausalGrok's detector of grokking",
        "",
        f"{replicates} curves per row.",
        "`heuristics.causalgrok_grokking_row`: at least 8 of the last 10 rows within .01 of the latest, then",
        "a row .05 above the best. Rise .76 -> .90 about epoch 1000 with a row every ten epochs, no noise,",
        "random midpoint; hits within 50 epochs (a width, if that is more). Beside it `detect` with its",
        "default min_height on the same curves, and both with the sampling error of 524 examples (.018).",
        "False: any hit on a constant .76 with that error.",
        "",
        (
            "| width (epochs) | CausalGrok | after one early .88 | detect | after one early .88 "
            "| CausalGrok, n = 524 | false | detect, n = 524 | false |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    t = np.arange(200) * 10.0
    for width in (0.5, 2, 5, 10, 25, 50, 200):
        count = np.zeros(8)
        for rng in seeds("jump", replicates):
            middle = rng.uniform(950, 1050)
            clean = logistic(t, 0.76, 0.14, middle, width)
            spiked = clean.copy()
            spiked[20] = 0.88
            sampled = rng.binomial(524, clean) / 524
            flat = rng.binomial(524, 0.76, len(t)) / 524
            theirs = [causalgrok_grokking_row(c) for c in (clean, spiked, sampled, flat)]
            ours = [
                detect(t, c, kind="accuracy", trials=n)
                for c, n in ((clean, None), (spiked, None), (sampled, 524), (flat, 524))
            ]
            near = max(50.0, width)
            hit = [row is not None and abs(t[row] - middle) <= near for row in theirs]
            found = [event.found and abs(event.step - middle) <= near for event in ours]
            count += [
                *(hit[0], hit[1], found[0], found[1]),
                *(hit[2], theirs[3] is not None, found[2], ours[3].found),
            ]
        lines.append(f"| {width} | {' | '.join(f'{c / replicates:.2f}' for c in count)} |")
    return lines


def miml(replicates: int) -> list[str]:
    lines = [
        "## MIML's steps to 99%",
        "",
        f"{max(replicates // 4, 10)} curves per row.",
        "`heuristics.miml_steps_to_99`: the first of two records in a row at 99%, else the last step. 300",
        "records up to step 1e5, a rise of width 10 records from 2% whose midpoint is at the step named, or",
        "never; noise of 1000 examples. The bias is of the median against the true first step at 99%.",
        "",
        "| top of the rise | midpoint | steps to 99%, median | true | detect: found | its midpoint, median |",
        "|---|---|---|---|---|---|",
    ]
    t = np.linspace(0, 1e5, 300)
    for top, middle in ((1.0, 3e4), (0.995, 3e4), (0.98, 3e4), (1.0, None)):
        theirs, ours = [], []
        for r, rng in enumerate(seeds(f"miml {top} {middle}", max(replicates // 4, 10))):
            mean = logistic(t, 0.02, top - 0.02, middle, 10 * t[1]) if middle else np.full(300, 0.02)
            values = rng.binomial(1000, mean) / 1000
            theirs.append(miml_steps_to_99(t, 100 * values))
            ours.append(detect(t, values, kind="accuracy", trials=1000, seed=r))
        passed = np.flatnonzero(mean >= 0.99)
        true = f"{t[passed[0]]:,.0f}" if len(passed) else "never"
        steps_ = [event.step for event in ours if event.found]
        lines.append(
            f"| {top} | {f'{middle:,.0f}' if middle else 'never'} | {np.median(theirs):,.0f} | {true} | "
            f"{np.mean([event.found for event in ours]):.2f} | "
            f"{f'{np.median(steps_):,.0f}' if steps_ else '–'} |"
        )
    return lines


def largest_change(replicates: int) -> list[str]:
    lines = [
        "## CausalGrok's drop: the largest single change",
        "",
        f"{max(replicates // 2, 10)} curves per row.",
        "`heuristics.causalgrok_irm_drop_row`. A penalty with an initial transient of height 1 and a real",
        "drop of .5 at record 150, AR(.9) noise of sd .01.",
        "",
        (
            "| width of the drop (records) | largest change lies in the transient "
            "| detect finds the drop | its interval holds it |"
        ),
        "|---|---|---|---|",
    ]
    t = np.arange(300.0)
    for width in (5, 20, 50):
        early = right = inside = 0
        n = max(replicates // 2, 10)
        for r, rng in enumerate(seeds(f"largest {width}", n)):
            curve = 1 + np.exp(-t / 4) - logistic(t, 0, 0.5, 150, width) + 0.01 * wander(300, 0.9, rng)
            early += causalgrok_irm_drop_row(curve) < 30
            event = detect(t, curve, kind="real", direction="fall", seed=r)
            right += event.found and abs(event.step - 150) < width
            inside += event.found and event.low <= 150 <= event.high
        lines.append(f"| {width} | {early / n:.2f} | {right / n:.2f} | {inside / max(right, 1):.2f} |")
    return lines


def least_squares(replicates: int) -> list[str]:
    lines = [
        "## A bounded least-squares logistic",
        "",
        f"{replicates} curves per row. True midpoint 1500, 300 records of 10 steps, AR(.9) noise of sd .01.",
        "",
    ]
    lines += ["| width (steps) | mean midpoint | sd |", "|---|---|---|"]
    t = np.arange(300) * 10.0
    for width in (2, 10, 50, 100):
        found = []
        for rng in seeds("least squares", replicates):
            curve = logistic(t, 0.76, 0.14, 1500, width) + 0.01 * wander(300, 0.9, rng)
            start = (
                curve[:100].mean(),
                curve[-100:].mean() - curve[:100].mean(),
                t[np.abs(curve - curve[[0, -1]].mean()).argmin()],
                100.0,
            )
            bounds = ([0, -1, 0, 1], [1, 1, 3000, 3000])
            found.append(curve_fit(logistic, t, curve, p0=np.clip(start, *bounds), bounds=bounds)[0][2])
        lines.append(f"| {width} | {np.mean(found):.0f} | {np.std(found):.0f} |")
    return lines


def binomial_bic(replicates: int) -> list[str]:
    """Levels by least squares, clipped; midpoints a record interval apart, widths of 3 to 192 records."""
    trials, T = 524, 300
    steps = schedule("linear", T)
    midpoints, widths = np.meshgrid(
        np.linspace(steps[30], steps[-30], 241), 300 * 2.0 ** np.arange(0, 6.1, 0.25), indexing="ij"
    )
    midpoints, widths = midpoints.ravel(), widths.ravel()
    bases = rise(steps, midpoints, widths)
    centred = bases - bases.mean(axis=1, keepdims=True)
    square = (centred**2).sum(axis=1)

    def log_likelihoods(curve: Array) -> tuple[float, Array]:
        heights = centred @ curve / square
        p = np.clip(curve.mean() + heights[:, None] * centred, 1e-6, 1 - 1e-6)
        flat = curve.mean()
        with_ = trials * (xlogy(curve, p) + xlog1py(1 - curve, -p)).sum(axis=1)
        return float(trials * (xlogy(curve, flat) + xlog1py(1 - curve, -flat)).sum()), with_

    lines = [
        "## A binomial likelihood with BIC",
        "",
        f"{replicates} curves per row,",
        f"n = {trials}, {T} records; false alarms on a constant .5, coverage of a rise .3 -> .7.",
        "",
    ]
    lines += ["| noise | false alarms | coverage of the profile interval |", "|---|---|---|"]
    for phi, sd in ((0.0, np.sqrt(0.25 / trials)), (0.9, 0.01), (0.95, 0.02)):
        alarms = covered = 0
        for rng in seeds(f"bic {phi}", replicates):
            flat, with_ = log_likelihoods(np.clip(0.5 + sd * wander(T, phi, rng), 0, 1))
            alarms += 2 * (with_.max() - flat) > 3 * np.log(T)
            true = steps[T // 2] + rng.uniform(0, 100)
            curve = np.clip(logistic(steps, 0.3, 0.4, true, 3000) + sd * wander(T, phi, rng), 0, 1)
            with_ = log_likelihoods(curve)[1]
            inside = midpoints[with_ > with_.max() - 1.92]
            covered += bool(inside.min() - 51 <= true <= inside.max() + 51)
        lines.append(f"| AR({phi}), sd {sd:.3f} | {alarms / replicates:.2f} | {covered / replicates:.2f} |")
    return lines


def gaussian_bic(replicates: int) -> list[str]:
    T = 300
    steps = schedule("linear", T)
    shapes = grid(steps.tobytes())
    bases = shapes.bases[shapes.axis == 0]
    centred = bases - bases.mean(axis=1, keepdims=True)
    directions = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    line = steps - steps.mean()
    line /= np.linalg.norm(line)
    lines = [
        "## A Gaussian BIC of logistic against constant and drift",
        "",
        f"{replicates} curves per row.",
        "",
        "| noise | calls a transition |",
        "|---|---|",
    ]
    for phi in (0.0, 0.9, 0.99, 1.0):
        alarms = 0
        for rng in seeds(f"gauss {phi}", replicates):
            curve = wander(T, phi, rng)
            curve -= curve.mean()
            total = curve @ curve
            logistic_rss = total - ((directions @ curve) ** 2).max()
            bics = [T * np.log(total) + np.log(T), T * np.log(total - (line @ curve) ** 2) + 2 * np.log(T)]
            alarms += T * np.log(logistic_rss) + 4 * np.log(T) < min(bics)
        name = {0.0: "iid", 1.0: "random walk"}.get(phi, f"AR({phi})")
        lines.append(f"| {name} | {alarms / replicates:.2f} |")
    return lines


SCHEDULES = (("linear", 300), ("linear", 100), ("log", 100))


def rates(name: str, replicates: int) -> list[tuple[float, float]]:
    """False alarms at min_height 0 and .1, per schedule."""
    found = []
    for kind, num_records in SCHEDULES:
        steps = schedule(kind, num_records)
        events = [
            detect(steps, np.clip(null_curve(name, steps, rng), 0, 1), kind="accuracy", min_height=0, seed=r)
            for r, rng in enumerate(seeds(f"null {name} {kind} {num_records}", replicates))
        ]
        without = np.mean([event.found for event in events])
        with_ = np.mean([event.found and abs(event.height) >= 0.1 for event in events])
        found.append((float(without), float(with_)))
    return found


def false_alarms(replicates: int) -> list[str]:
    names = ("300 records", "100 records", "log steps, about 90 records")
    lines = [
        "## detect: false alarms at level .05",
        "",
        f"{replicates} curves per cell: {standard_error(0.05, replicates)}.",
        "First with min_height = 0 (the test alone), then with the default 0.1 for accuracy. Noise has",
        "sd .02; .01 on drifts and transients (AR(.9)) and spikes (AR(.5)).",
        "",
        f"| no transition | {' | '.join(names)} |",
        "|---|---|---|---|",
    ]
    above = []
    for name in NULLS:
        found = rates(name, replicates)
        lines.append(f"| {name} | {' | '.join(f'{a:.3f} / {b:.3f}' for a, b in found)} |")
        above += [f"{name}, {n}: {a:.3f}" for n, (a, _) in zip(names, found, strict=True) if a > 0.07]
        print(lines[-1], flush=True)
    num_cells = len(NULLS) * len(names)
    by_chance = num_cells * binom.sf(np.floor(0.07 * replicates), replicates, 0.05)
    return [
        *lines,
        "",
        f"Cells above the .07 that must hold, at min_height 0 ({by_chance:.1f} of {num_cells} by",
        f"chance, were all .05): {'; '.join(above) or 'none'}.",
    ]


def kinds(replicates: int) -> list[str]:
    """Losses and unbounded measures, rises and falls: the same curves on another scale."""
    steps = schedule("linear", 200)
    lines = [
        "## detect: kinds and directions",
        "",
        f"{replicates} curves per cell, {replicates // 2} for the fall;",
        f"{standard_error(0.05, replicates)}.",
        "200 records. `positive` sees exp(10 v) of the curves v above and below, `real` 100 v: nulls first,",
        "at min_height 0, for any change, rises only, falls only; then a fall of .3 in v (3 in log units) of",
        "width 8 records, AR(.9), sd .02: found as such, coverage, median length over the oracle's; and how",
        "often it is called a rise.",
        "",
        (
            "| kind | AR(0.5) | AR(0.95) | drift, saturating | transient, exp, 20 records "
            "| fall: found, covered, length | called a rise |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for kind in ("positive", "real"):

        def scaled(v: Array, kind: str = kind) -> Array:
            return np.exp(10 * v) if kind == "positive" else 100 * v

        cells = []
        for name in ("AR(0.5)", "AR(0.95)", "drift, saturating", "transient, exp, 20 records"):
            count = np.zeros(3)
            for r, rng in enumerate(seeds(f"kinds {kind} {name}", replicates)):
                values = scaled(null_curve(name, steps, rng))
                count += [
                    detect(steps, values, kind=kind, direction=d, min_height=0, seed=r).found
                    for d in ("either", "rise", "fall")
                ]
            cells.append(", ".join(f"{c / replicates:.3f}" for c in count))
        events, truths, rises = [], [], 0
        for r, rng in enumerate(seeds(f"kinds {kind}", replicates // 2)):
            truth = planted(8.0, "linear", 200, 0.9, 0.02, None, rng, low=0.6, height=-0.3)
            events.append(detect(steps, scaled(truth.values), kind=kind, direction="fall", seed=r))
            rises += detect(steps, scaled(truth.values), kind=kind, direction="rise", seed=r).found
            truths.append(truth)
        pairs = [(e, t) for e, t in zip(events, truths, strict=True) if e.found]
        covered = np.mean([e.low <= t.midpoint <= e.high for e, t in pairs])
        length = np.median([(e.high - e.low) / t.oracle for e, t in pairs])
        cells.append(f"{len(pairs) / len(events):.2f}, {covered:.2f}, {length:.2f}")
        lines.append(f"| {kind} | {' | '.join(cells)} | {rises / len(events):.2f} |")
        print(lines[-1], flush=True)
    return lines


def speed(replicates: int) -> list[str]:
    """Process time, which other work on the machine lengthens less than it does wall time."""
    steps = schedule("linear", 300)
    n = max(replicates // 2, 10)
    rows = {
        "with a transition": [planted(10.0, "linear", 300, 0.5, 0.02, 1000, g).values for g in seeds("s", n)],
        "without": [null_curve("AR(0.9)", steps, g) for g in seeds("n", n)],
    }
    lines = [
        "## detect: time",
        "",
        f"Processor time per curve of 300 records in one process, over {n} curves, bootstrap included. Two",
        "processes (`workers=2`) divide the curves; what must hold is 1,000 curves in 20 s on two cores.",
        "",
        "| curves | ms of one core | 1,000 curves on two cores |",
        "|---|---|---|",
    ]
    for name, values in rows.items():
        detect(steps, values[0], kind="accuracy")
        started = time.process_time()
        detect_many(steps, np.array(values), kind="accuracy")
        each = (time.process_time() - started) / n * 1e3
        lines.append(f"| {name} | {each:.0f} | {each / 2:.0f} s |")
    return lines


def random_walks(replicates: int) -> list[str]:
    lines = [
        "## detect: near-random walks, and the min_height that tames them",
        "",
        f"{replicates} curves per row: {standard_error(0.05, replicates)}.",
        "",
        "| noise, 300 records | min_height 0 | .05 | .1 | .2 |",
        "|---|---|---|---|---|",
    ]
    steps = schedule("linear", 300)
    for name, phi, sd in (
        ("AR(.99), sd .02", 0.99, 0.02),
        ("AR(.99), sd .05", 0.99, 0.05),
        ("random walk, .006 a record", 1.0, 0.006),
    ):
        heights = []
        for r, rng in enumerate(seeds(name, replicates)):
            event = detect(
                steps,
                np.clip(0.5 + sd * wander(300, phi, rng), 0, 1),
                kind="accuracy",
                min_height=0.0,
                seed=r,
            )
            heights.append(abs(event.height) if event.found else -1.0)
        cells = [f"{np.mean(np.array(heights) >= h):.3f}" for h in (0.0, 0.05, 0.1, 0.2)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def coverage(kind: str, replicates: int) -> list[str]:
    lines = [
        f"## detect: 95% intervals of the midpoint, {kind} schedule",
        "",
        f"{replicates} curves per cell: {standard_error(0.95, replicates)}.",
        "Rise .1 -> .9, 200 records (log: about 170). Each cell: found, coverage among those found, and the",
        "median length over that of an oracle who knows the noise. Widths of 1 record and less are censored",
        "by the schedule: there the length is in record intervals (r). Widths are in record intervals.",
        "",
        "| phi, sd, trials | " + " | ".join(f"width {w:g}" for w in WIDTHS) + " |",
        "|---" * (len(WIDTHS) + 1) + "|",
    ]
    cells = {}
    for noise in NOISES:
        row = []
        for width in WIDTHS:
            cell = cells[noise, width] = interval_cell(kind, noise, width, replicates)
            unit = "r" if width <= 1 else ""
            row.append(f"{cell.found:.2f}, {cell.covered:.3f}, {cell.length:.2f}{unit}")
        lines.append(f"| {', '.join(map(str, noise))} | {' | '.join(row)} |")
        print(lines[-1], flush=True)
    short = [f"{n}, width {w:g}: {c.covered:.3f}" for (n, w), c in cells.items() if c.covered < 0.93]
    long = [f"{n}, width {w:g}: {c.length:.2f}" for (n, w), c in cells.items() if w > 1 and c.length > 1.5]
    num_cells = len(cells)
    by_chance = num_cells * binom.cdf(np.ceil(0.93 * replicates) - 1, replicates, 0.95)
    return [
        *lines,
        "",
        f"All cells together: {np.mean([c.covered for c in cells.values()]):.3f}.",
        f"Cells below the coverage of .93 that must hold ({by_chance:.1f} of {num_cells} by chance, were all",
        f".95): {'; '.join(short) or 'none'}.",
        f"Cells longer than 1.5 times the oracle's: {'; '.join(long) or 'none'}.",
    ]


def edge(replicates: int) -> list[str]:
    """The cells that are nearest to what must hold, with four times the curves."""
    replicates *= 4
    lines = [
        "## detect: 95% intervals, the cells nearest to the limits",
        "",
        f"{replicates} curves per cell, others than above: {standard_error(0.95, replicates)}.",
        "",
        "| schedule, phi, sd, trials | width | found | coverage | length over the oracle's |",
        "|---|---|---|---|---|",
    ]
    missing = []
    for kind, noise, width in EDGE:
        cell = interval_cell(kind, noise, width, replicates, "edge")
        lines.append(
            f"| {kind}, {', '.join(map(str, noise))} | {width:g} | {cell.found:.3f} | {cell.covered:.3f} | "
            f"{cell.length:.2f} |"
        )
        print(lines[-1], flush=True)
        if cell.covered < 0.93 or cell.length > 1.5:
            missing.append(f"{kind}, {', '.join(map(str, noise))}, width {width:g}")
    return [*lines, "", f"Coverage below .93 or length above 1.5: {'; '.join(missing) or 'none'}."]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Shares of curves, and the median length over the oracle's (in record intervals up to width 1)."""

    found: float
    covered: float
    length: float


def interval_cell(kind: str, noise: Noise, width: float, replicates: int, name: str = "coverage") -> Cell:
    phi, sd, trials = noise
    covered, lengths = [], []
    for r, rng in enumerate(seeds(f"{name} {kind} {phi} {trials} {width}", replicates)):
        truth = planted(width, kind, 200, phi, sd, trials, rng)
        event = detect(truth.steps, truth.values, kind="accuracy", seed=r)
        if not event.found:
            continue
        covered.append(event.low <= truth.midpoint <= event.high)
        low, high = np.log1p([event.low, event.high]) if kind == "log" else (event.low, event.high)
        x = np.log1p(truth.steps) if kind == "log" else truth.steps
        gap = np.diff(x)[max(int(np.searchsorted(truth.steps, truth.midpoint)) - 1, 0)]
        lengths.append((high - low) / (gap if width <= 1 else truth.oracle))
    return Cell(
        found=len(covered) / replicates, covered=float(np.mean(covered)), length=float(np.median(lengths))
    )


SECTIONS = {
    "jump": plateau_then_jump,
    "largest": largest_change,
    "miml": miml,
    "least-squares": least_squares,
    "binomial": binomial_bic,
    "gaussian": gaussian_bic,
    "false-alarms": false_alarms,
    "kinds": kinds,
    "walks": random_walks,
    "coverage-linear": partial(coverage, "linear"),
    "coverage-log": partial(coverage, "log"),
    "edge": edge,
    "time": speed,
}
TITLES = {
    "jump": "## CausalGrok's detector of grokking",
    "largest": "## CausalGrok's drop: the largest single change",
    "miml": "## MIML's steps to 99%",
    "least-squares": "## A bounded least-squares logistic",
    "binomial": "## A binomial likelihood with BIC",
    "gaussian": "## A Gaussian BIC of logistic against constant and drift",
    "false-alarms": "## detect: false alarms at level .05",
    "kinds": "## detect: kinds and directions",
    "walks": "## detect: near-random walks, and the min_height that tames them",
    "coverage-linear": "## detect: 95% intervals of the midpoint, linear schedule",
    "coverage-log": "## detect: 95% intervals of the midpoint, log schedule",
    "edge": "## detect: 95% intervals, the cells nearest to the limits",
    "time": "## detect: time",
}


if __name__ == "__main__":
    main()
