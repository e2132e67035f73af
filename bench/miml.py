"""What a step of the published MIML run costs: ours, the plain PyTorch way, and the matrix products alone.

    ./do bench miml            # about five minutes on two cores
    ./do bench miml --quick    # two minutes, noisier

``preset=miml``: the transformer with 455,424 parameters, modulus 97, half of the table, batches of 512 and a
ragged one of 96, dropout, AdamW. Evaluations (both sets in full, loss, accuracy, norm) and log lines stand
as close as in the published run on average. ``compile=true`` gives each surrogate to torch's compiler, which
takes half a minute, once, in the warm-up. Everything is timed side by side in one process, in turns, after
a warm-up of each; medians and ranges are written to ``bench/results/miml.md``. ``ms of CPU`` counts the
threads together and is the steadier number where other processes want the cores.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench._plain_miml import DEPTH, POSITIONS, VOCABULARY, WIDTH, train_plain
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.train import train
from epochal.experiments.catalog import find
from epochal.launch.environment import describe
from epochal.launch.heap import kept_heap

RESULTS = Path(__file__).parent / "results" / "miml.md"
STEPS, RECORDS = 100_000, 434
"""Of the published run: one evaluation every 230 updates. Ours has one more, at the start, and so is a turn
several times as long."""

ORIGINAL_MS = 70
AT_MOST_MS, AIM_MS = 17, 12
ROWS = 4704


def train_ours(program: Program, log: Path) -> None:
    with kept_heap():
        for moment in train(program, initial_population(program)):
            if moment.record is not None:
                line = {name: values.tolist() for name, values in moment.record.items()}
                with log.open("a") as file:
                    file.write(json.dumps({"step": moment.step, **line}) + "\n")


def products() -> list[tuple[Tensor, Tensor, Tensor]]:
    """The matrix products of one update on 512 examples, forward and both of the backward pass."""
    rows = 512 * POSITIONS
    shapes = [(rows, WIDTH, WIDTH)] * 4 + [(rows, WIDTH, 4 * WIDTH), (rows, 4 * WIDTH, WIDTH)]
    forward = shapes * DEPTH + [(512, WIDTH, VOCABULARY)]
    every = [shape for m, k, n in forward for shape in ((m, k, n), (m, n, k), (k, m, n))]
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return [(drawn(m, k), drawn(k, n), torch.empty(m, n)) for m, k, n in every]


def multiply(ready: list[tuple[Tensor, Tensor, Tensor]], steps: int) -> None:
    """As many products as ``steps`` updates need; nine batches of ten are full, the last has 96 examples."""
    for _ in range(round(steps * ROWS / (10 * 512))):
        for a, b, out in ready:
            torch.mm(a, b, out=out)


def in_turns(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds on the clock and of the CPU, per way and turn; the first turn is a warm-up."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            clock, cpu = time.perf_counter(), time.process_time()
            way()
            if turn:
                seconds[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="half the steps")
    options = parser.parse_args()
    every = round(STEPS / RECORDS)
    steps, turns = (2 * every, 3) if options.quick else (4 * every, 4)
    experiment = find("algorithmic")
    request = experiment.request({"max_steps": steps, "record_every": every}, preset="miml")
    program = experiment.build(request.members)
    compiled = replace(program, is_compiled=True)
    own = {name: values[0] for name, values in program.fields.items()}
    sets = {}
    for split in ("train", "val"):
        batch = program.task.batch(program.task.index(split, own), own, torch.tensor(0))
        sets[split] = (batch.inputs, batch.targets)
    ready = products()
    with tempfile.TemporaryDirectory() as folder:
        seconds = in_turns(
            {
                "ours": lambda: train_ours(program, Path(folder) / "ours"),
                "ours, compile=true": lambda: train_ours(compiled, Path(folder) / "compiled"),
                "plain": lambda: train_plain(sets, steps, every, Path(folder) / "plain"),
                "products alone": lambda: multiply(ready, steps),
            },
            turns,
        )
    report(seconds, steps, turns, request.command)


def report(seconds: dict[str, list[tuple[float, float]]], steps: int, turns: int, command: str) -> None:
    place: dict[str, Any] = describe(torch.device("cpu"), torch.get_num_threads())
    lines = [
        "# A step of the published MIML run",
        "",
        (
            f"{place['hardware']}, {place['threads']} threads, torch {place['torch']}, Python "
            f"{platform.python_version()}; `{command}`; {turns} turns of {steps} updates after a warm-up "
            f"of each, medians with their range. The original takes {ORIGINAL_MS} ms per step on two such "
            f"cores; wanted: at most {AT_MOST_MS} ms, if possible {AIM_MS}."
        ),
        "",
        "| | ms per step | ms of CPU per step | times the products |",
        "|---|---|---|---|",
    ]
    floor = seconds["products alone"]
    for name, turns_of in seconds.items():
        clock, cpu = ([1e3 * pair[place] / steps for pair in turns_of] for place in (0, 1))
        ratios = [own[0] / base[0] for own, base in zip(turns_of, floor, strict=True)]
        lines.append(
            f"| {name} | **{statistics.median(clock):.1f}** ({min(clock):.1f} to {max(clock):.1f}) | "
            f"{statistics.median(cpu):.1f} | {statistics.median(ratios):.2f} |"
        )
    for name, way in (("Ours", "ours"), ("Compiled it", "ours, compile=true")):
        speedups = [b[0] / a[0] for a, b in zip(seconds[way], seconds["plain"], strict=True)]
        shares = [b[0] / a[0] for a, b in zip(seconds[way], floor, strict=True)]
        lines += [
            "",
            (
                f"{name} runs **{statistics.median(speedups):.2f}** times ({min(speedups):.2f} to "
                f"{max(speedups):.2f}) as fast as the plain way, at {statistics.median(shares):.0%} of the "
                "measured matrix-product rate."
            ),
        ]
    print("\n".join(lines))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
