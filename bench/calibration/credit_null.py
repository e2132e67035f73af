"""Does credit follow the gradient? Levels and power of the nulls, and of tests that take samples for units.

Writes bench/results/calibration-credit-null.md. One core; about ten minutes with the default replicates.
"""

import argparse
import math
import platform
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.stats import kurtosis, norm

from bench.calibration.residual import WIDTH, Array, trained
from epochal.analysis.nulls import (
    Site,
    across_seeds,
    credit_cosine,
    haar,
    joint,
    published,
    redraw,
    shared_feedback,
)

RESULT = Path(__file__).resolve().parents[1] / "results" / "calibration-credit-null.md"
Generator = np.random.Generator
DRAWS = 199
SECOND = norm.isf(0.025)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=10_000, help="data sets per row of the levels")
    parser.add_argument("--quick", action="store_true", help="200 replicates, a look and no result")
    options = parser.parse_args()
    replicates = 200 if options.quick else options.replicates
    torch.set_num_threads(1)
    started = time.perf_counter()
    lines = [
        "# Calibration: does credit follow the gradient?",
        "",
        f"Feedback is independent of the network unless a table says otherwise. {replicates} data sets per",
        f"row of the levels (standard error of .05 {math.sqrt(0.05 * 0.95 / replicates):.4f}), fewer where a",
        f"table says so; {DRAWS} draws. Naive: mean cosine over its standard error over samples, at 5%.",
        f"Written by `bench/calibration/credit_null.py` with NumPy {np.__version__},",
        f"SciPy {scipy.__version__}, torch {torch.__version__}, {platform.machine()}.",
        "",
    ]
    for section in (levels, networks, power, families, rules, rotations, seeds):
        made = section(replicates)
        lines += [*made, ""]
        print("\n".join(made), f"\n({time.perf_counter() - started:.0f} s)\n", flush=True)
    if not options.quick:
        RESULT.write_text("\n".join(lines).rstrip() + "\n")


def stream(name: str, r: int) -> Generator:
    return np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), r]))


def data(g: Generator, n: int, d: int, classes: int, sites: int = 1) -> tuple[Array, list[Array]]:
    """Errors and gradients of residual ReLU blocks at their start, the lowest site first."""
    logits = g.normal(size=(n, classes)) + g.normal(size=classes)
    errors = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors[np.arange(n), g.integers(classes, size=n)] -= 1
    gradients = [errors @ g.normal(size=(classes, d))]
    for _ in range(sites):
        second, first = g.normal(size=(2, d, d)) / math.sqrt(d)
        gradients.insert(0, gradients[0] + ((gradients[0] @ second) * (g.random((n, d)) < 0.5)) @ first)
    return errors, gradients[:sites]


def cosines(credit: Array, gradients: Array) -> Array:
    lengths = np.linalg.norm(credit, axis=1) * np.linalg.norm(gradients, axis=1)
    return np.asarray(np.einsum("nd,nd->n", credit, gradients) / lengths)


def naive(values: Array) -> bool:
    """The z-test that takes each sample for an independent one."""
    return bool(abs(values.mean()) > SECOND * values.std(ddof=1) / math.sqrt(len(values)))


def levels(replicates: int) -> list[str]:
    rows = []
    for n, d, classes in ((64, 32, 10), (64, 4, 10), (64, 32, 2), (400, 16, 5), (8, 64, 10)):
        hits = np.zeros(3)
        for r in range(replicates):
            g = stream(f"level {n} {d} {classes}", r)
            errors, (gradients,) = data(g, n, d, classes)
            feedback = g.normal(size=(d, classes))
            found = credit_cosine(errors, gradients, feedback, draws=DRAWS, seed=r)
            values = cosines(errors @ feedback.T, gradients)
            hits += [found.p <= 0.05, abs(found.z) > SECOND, naive(values)]
        p, z, by_samples = hits / replicates
        rows.append(f"| {n} | {d} | {classes} | {p:.4f} | {z:.4f} | {by_samples:.3f} |")
    return [
        "## Level of one site at 5%",
        "",
        "| samples | features | classes | `credit_cosine` p | its z | naive |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def networks(replicates: int) -> list[str]:
    num_draws, num_naive = (20_000, 100) if replicates > 1000 else (400, 30)
    rows = []
    for name, rule, steps, layers in (
        ("at its start", "bp", 0, (0, 2, 4)),
        ("backpropagation, 600 updates", "bp", 600, (0, 2, 4)),
        ("DFA, 600 updates", "dfa", 600, (0, 2, 4)),
    ):
        errors, gradients, feedback = trained(rule, steps, 0)
        index = shared_feedback(len(gradients), len(feedback))
        for l in layers:
            found = credit_cosine(
                errors, gradients[l], feedback[index[l]], draws=num_draws, seed=len(rows), keep_draws=True
            )
            null = found.null_statistics
            assert null is not None and found.leading_variance is not None
            g = stream(f"naive {name} {l}", 0)
            wrong = np.mean(
                [
                    naive(cosines(errors @ g.normal(size=(WIDTH, 10)).T, gradients[l]))
                    for _ in range(num_naive)
                ]
            )
            rows.append(
                f"| {name} | {l} | {null.std():.5f} | {found.null_sd:.5f} | "
                f"{math.sqrt(found.leading_variance):.5f} | {1 / math.sqrt(len(errors) * WIDTH):.5f} | "
                f"{found.n_eff:.1f} | {kurtosis(null, fisher=False):.2f} | "
                f"{np.mean(np.abs(null) > SECOND * found.null_sd):.3f} | {wrong:.2f} | "
                f"{found.statistic:+.4f} | {found.z:+.1f} | {found.p:.2g} | {found.isometric_reference:.2f} |"
            )
    return [
        "## Networks: a residual MLP, width 256, 4 blocks, on 1,797 digits",
        "",
        f"sd of T under fresh feedback by {num_draws} draws (error {1 / math.sqrt(2 * num_draws):.1%}) and",
        "in closed form; leading order; 1 / sqrt(n d), which takes samples for independent. Kurtosis and",
        f"rate of abs(z) > 1.96 over the draws; naive: rate over {num_naive} fresh feedbacks. Then the",
        "feedback of training (which backpropagation never used): cosine, z, p, and the isometric reference.",
        "",
        (
            "| network | site | drawn sd | exact | leading | 1 / sqrt(n d) | n_eff | kurtosis | z rejects | "
            "naive | T | z | p | reference |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def power(replicates: int) -> list[str]:
    rows, count = [], max(replicates // 50, 50)
    for n in (32, 128, 512):
        cells = []
        for shift in (0.0, 1.0, 2.0, 2.8, 4.0):
            found = 0
            for r in range(count):
                g = stream(f"power {n} {shift}", r)
                errors, (gradients,) = data(g, n, 64, 5)
                feedback, head = g.normal(size=(64, 5)), np.linalg.lstsq(errors, gradients, rcond=None)[0].T
                head *= np.linalg.norm(feedback) / np.linalg.norm(head)
                alone = credit_cosine(errors, gradients, head, draws=19)
                leaning = feedback + shift * alone.null_sd / alone.statistic * head
                found += credit_cosine(errors, gradients, leaning, draws=DRAWS, seed=r).p <= 0.05
            cells.append(f"{found / count:.2f}")
        rows.append(f"| {n} | " + " | ".join(cells) + " |")
    return [
        "## Power at 5% for alignment planted at multiples of the null sd",
        "",
        f"64 features, 5 classes, {count} data sets per cell. It does not grow with the samples.",
        "",
        "| samples | 0 | 1 | 2 | 2.8 | 4 |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def families(replicates: int) -> list[str]:
    count = max(replicates // 10, 50)
    rows = []
    for sites, checkpoints in ((5, 1), (5, 6)):
        hits = np.zeros(3)
        for r in range(count):
            g = stream(f"family {sites} {checkpoints}", r)
            errors, gradients = data(g, 48, 16, 5, sites)
            index = shared_feedback(sites, sites - 1)
            feedbacks = [g.normal(size=(16, 5)) for _ in range(sites - 1)]
            drift = 0.2 * g.normal(size=(checkpoints, sites, 48, 16))
            scale = [np.sqrt(np.mean(one**2)) for one in gradients]
            given = [
                Site(
                    name=f"l{l}",
                    errors=errors,
                    gradients=gradients[l] + scale[l] * drift[: t + 1, l].sum(axis=0),
                    feedback=index[l],
                    checkpoint=t,
                )
                for t in range(checkpoints)
                for l in range(sites)
            ]
            found = joint(given, feedbacks, draws=DRAWS, seed=r)
            each = np.array([site.null.p for site in found.sites])
            z = np.array([site.null.z for site in found.sites])
            bonferroni = bool((np.abs(z) > norm.isf(0.025 / len(z))).any())
            hits += [found.p <= 0.05, bonferroni, bool((each <= 0.05).any())]
        rows.append(f"| {sites} | {checkpoints} | " + " | ".join(f"{hit / count:.3f}" for hit in hits) + " |")
    return [
        "## Any claim in a family of sites and checkpoints, the last two sites sharing feedback",
        "",
        f"{count} data sets per row; gradients drift from checkpoint to checkpoint.",
        "",
        "| sites | checkpoints | `joint` | z with Bonferroni | each at 5% |",
        "|---|---|---|---|---|",
        *rows,
    ]


def rules(replicates: int) -> list[str]:
    rows, count = [], max(replicates // 40, 25)
    for shift in (0.0, 1.0, 2.8, 5.0):
        real = adapted = 0
        for r in range(count):
            g = stream(f"rule {shift}", r)
            errors, gradients = data(g, 64, 64, 10, 5)
            feedbacks = []
            for l in range(4):
                feedback = g.normal(size=(64, 10))
                head = np.linalg.lstsq(errors, gradients[l], rcond=None)[0].T
                head *= np.linalg.norm(feedback) / np.linalg.norm(head)
                alone = credit_cosine(errors, gradients[l], head, draws=19)
                feedbacks.append(feedback + shift * alone.null_sd / alone.statistic * head)
            found = published(errors, gradients, feedbacks, draws=DRAWS, seed=r)
            real += found.verdict == "real"
            adapted += found.adapted
        rows.append(f"| {shift:g} | {real / count:.3f} | {adapted / count:.3f} |")
    return [
        "## The published rule and the null, on the same data",
        "",
        "Five sites, four feedbacks, each leaning towards its gradient by a multiple of one site's null sd.",
        f"{count} networks per row. 0: nothing is there, and the rule says real.",
        "",
        "| planted, in null sd | rule says real | null: deep mean adapted |",
        "|---|---|---|",
        *rows,
    ]


def rotations(replicates: int) -> list[str]:
    rows, count = [], max(replicates // 20, 50)
    slopes: dict[str, Callable[[Array], Array]] = {
        "ReLU": lambda x: (x > 0).astype(float),
        "tanh": lambda x: 1 / np.cosh(x) ** 2,
        "linear": np.ones_like,
    }
    for name, slope in slopes.items():
        hits = np.zeros(2)
        for r in range(count):
            g = stream(f"rotation {name}", r)
            errors, (above,) = data(g, 64, 16, 4)
            # Units of an embedding see correlated inputs, so that their slopes go together across samples.
            mask = slope(1.5 * (g.normal(size=(64, 6)) @ g.normal(size=(6, 16)) / math.sqrt(6)))
            gradients = above * mask

            def credit(seed: int, errors: Array = errors, mask: Array = mask) -> dict[str, Array]:
                one = np.random.Generator(np.random.PCG64(seed))
                return {"x": (errors @ one.normal(size=(4, 16))) * mask}

            trained_with = credit(10**9 + r)
            turned = haar(trained_with["x"], gradients, no_shared_derivative=True, draws=DRAWS, seed=r)
            again = redraw(trained_with, {"x": gradients}, credit, draws=99, seed=r, rule="dfa")
            hits += [turned.p <= 0.05, again.p <= 0.05]
        rows.append(f"| {name} | {hits[0] / count:.3f} | {hits[1] / count:.3f} |")
    return [
        "## At pre-activations: a rotation of the credits, and redrawn credit",
        "",
        f"Credit and gradient carry the same slopes; {count} data sets per row, at 5%.",
        "",
        "| activation | `haar`, which its docstring forbids here | `redraw` |",
        "|---|---|---|",
        *rows,
    ]


def seeds(replicates: int) -> list[str]:
    rows, count = [], max(replicates // 10, 50)
    for runs in (6, 10):
        hits = np.zeros(3)
        for r in range(count):
            values, pooled = [], []
            for s in range(runs):
                g = stream(f"seeds {runs} {s}", r)
                errors, (gradients,) = data(g, 64, 16, 4)
                each = cosines(errors @ g.normal(size=(4, 16)), gradients)
                values.append(float(each.mean()))
                pooled.append(each)
            flips = across_seeds(values, range(runs), power=None).p
            t = across_seeds(values, range(runs), test="t", power=None).p
            assert flips is not None and t is not None
            hits += [flips <= 0.05, t <= 0.05, naive(np.concatenate(pooled))]
        rows.append(f"| {runs} | " + " | ".join(f"{hit / count:.3f}" for hit in hits) + " |")
    return [
        "## An algorithm: seeds as units",
        "",
        f"{count} data sets per row, a network and a feedback per seed, at 5%. Levels of sign flips",
        "are multiples of 2 / 2^S: .031 for 6 seeds.",
        "",
        "| seeds | `across_seeds`, sign flips | t | all samples pooled |",
        "|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()
