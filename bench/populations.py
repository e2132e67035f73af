"""How fast 1, 8 and 64 members train, batched or in turn: against a plain loop and the machine's limits.

    ./do bench populations            # about ten minutes on two cores
    ./do bench populations --quick    # fewer repetitions, noisier

Per kind of model, size of the pack and executor: updates per second of one member, the same of a plain
PyTorch loop over as many models (same network, data on the device, ``AdamW``, no loader), and the share that
the least possible time has in an update. The least time is the larger of two: the operations of its matrix
products and convolutions at the measured rate of a large product, and the bytes that AdamW has to move (read
parameter, two moments and gradient, write three) at the measured memory bandwidth. All ways run in turns in
one process.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from epochal.core.values.executor import InProcess
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import find
from epochal.launch.environment import describe

RESULTS = Path(__file__).parent / "results" / "populations.md"

RESNET = {"data": "digits", "model": "resnet18", "batch_size": 32, "channels": "rgb"}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp, 64-200-200-10, batch 200": (
        "images", {"data": "digits", "model": "mlp", "width": 200, "depth": 2, "batch_size": 200},
    ),
    "transformer, width 64, batch 256": (
        "algorithmic", {"modulus": 53, "width": 64, "batch_size": 256},
    ),
    "transformer, width 128, batch 512": (
        "algorithmic", {"modulus": 97, "width": 128, "batch_size": 512},
    ),
    "resnet18, width 16, 32 x 32, batch 32": ("images", RESNET | {"width": 16, "image_size": 32}),
    "resnet18, width 64, 28 x 28, batch 32": ("images", RESNET | {"width": 64, "image_size": 28}),
}  # fmt: skip
LARGEST_NUMBERS = 40_000_000
"""Members times parameters beyond which a case is left out: four such matrices have to fit into memory."""


def built(kind: str, members: int, executor: InProcess) -> Program:
    name, settings = KINDS[kind]
    found = find(name)
    request = found.request({**settings, "seed": f"0:{members}", "probes": "", "max_steps": 10**6})
    program: Program = found.build(request.members)
    return replace(program, executor=executor)


def ours(program: Program) -> Callable[[], object]:
    population, stepper = initial_population(program), Stepper(program)
    return lambda: stepper.update(population)


def plain(program: Program) -> Callable[[], object]:
    """The same networks one after the other, each with its own optimiser."""
    population = initial_population(program)
    models, optimizers = [], []
    for flat, buffers in zip(population.flat, population.buffers, strict=True):
        models.append(program.network.materialise(flat, buffers).train())
        optimizers.append(torch.optim.AdamW(models[-1].parameters(), lr=1e-3))
    own = {name: values[0] for name, values in program.fields.items()}
    data = program.task.batch(program.task.index("train", own), own, torch.tensor(0))
    generator = torch.Generator().manual_seed(0)

    def update() -> None:
        for model, optimizer in zip(models, optimizers, strict=True):
            index = torch.randperm(len(data.targets), generator=generator)[: program.batch_size]
            loss = nn.functional.cross_entropy(model(data.inputs[index]), data.targets[index])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return update


def operations(program: Program) -> int:
    """Of the products and convolutions of one member's forward and backward pass."""
    with FlopCounterMode(display=False) as counter:
        plain(replace(program, fields={name: values[:1] for name, values in program.fields.items()}))()
    return int(counter.get_total_flops())


def matrix_rate() -> float:
    """Float32 operations per second of a large matrix product, the best of several."""
    a, b = torch.randn(2, 2048, 2048, generator=torch.Generator().manual_seed(0)).unbind()
    return 2 * 2048**3 / min(seconds_of(lambda: torch.mm(a, b), 12))


def bandwidth() -> float:
    """Bytes per second of adding two large vectors: two are read, one is written."""
    a, b = torch.zeros(2, 30_000_000).unbind()
    out = torch.empty_like(a)
    return 3 * a.nbytes / min(seconds_of(lambda: torch.add(a, b, out=out), 12))


def seconds_of(action: Callable[[], object], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return seconds


def repetitions(action: Callable[[], object], budget: float) -> int:
    """Calls that fit into ``budget`` seconds, two of them as a warm-up."""
    (_, once) = seconds_of(action, 2)
    return max(1, min(200, round(budget / once)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a quarter of the time per case")
    budget = 0.5 if parser.parse_args().quick else 2.0
    place = describe(torch.device("cpu"), torch.get_num_threads())
    rate, moved = matrix_rate(), bandwidth()
    lines = [
        "# Speed of populations",
        "",
        (
            f"{place['hardware']}, {place['threads']} threads, torch {place['torch']}, Python "
            f"{platform.python_version()}. Measured: {rate / 1e9:.0f} GFLOP/s in a float32 matrix product, "
            f"{moved / 1e9:.1f} GB/s adding vectors. Medians of three turns in one process; the ratio "
            "has its range."
        ),
        "",
        (
            "| model | members | executor | member-updates/s | plain loop | ours / plain | least time | "
            "what bounds it | share of it |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines[2:]), flush=True)
    for kind in KINDS:
        needed = operations(built(kind, 1, "loop"))
        for members in (1, 8, 64):
            program = built(kind, members, "loop")
            size = program.network.layout.size
            if members * size > LARGEST_NUMBERS:
                continue
            executors: tuple[InProcess, ...] = ("loop",) if members == 1 else ("vmap", "loop")
            ways: dict[str, Callable[[], object]] = {"plain": plain(program)}
            ways |= {executor: ours(replace(program, executor=executor)) for executor in executors}
            counts = {name: repetitions(way, budget) for name, way in ways.items()}
            turns: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(3):
                for name, way in ways.items():
                    turns[name].append(sum(seconds_of(way, counts[name])) / counts[name] / members)
            limits = {"matrix rate": needed / rate, "bandwidth": 7 * 4 * size / moved}
            bound = max(limits, key=lambda name: limits[name])
            for executor in executors:
                ratios = [b / a for a, b in zip(turns[executor], turns["plain"], strict=True)]
                mine, theirs = (statistics.median(turns[name]) for name in (executor, "plain"))
                lines.append(
                    f"| {kind} | {members} | {executor if members > 1 else 'one member'} | {1 / mine:.0f} | "
                    f"{1 / theirs:.0f} | **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to "
                    f"{max(ratios):.2f}) | {limits[bound] * 1e3:.3f} ms | {bound} | "
                    f"{limits[bound] / mine:.0%} |"
                )
                print(lines[-1], flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
