"""How fast a population trains: against plain PyTorch, and against the matrix-product rate of this machine.

    ./do bench training            # all of it, about five minutes on two cores
    ./do bench training --quick    # fewer steps, noisier

Everything is timed side by side in one process, in turns (ours, plain, ours, plain, ...), after a warm-up of
each; medians and the range of the ratios are reported and written to ``bench/results/training.md``.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.engine.train import train
from epochal.experiments.catalog import find
from epochal.launch.environment import describe
from epochal.launch.execute import execute
from epochal.launch.watching.listener import Silent

RESULTS = Path(__file__).parent / "results" / "training.md"


class PlainTransformer(nn.Module):
    """The demo's network as one writes it: all positions, torch's attention, then the last position."""

    def __init__(self, vocabulary: int, num_classes: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(3, width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(depth))
        self.unembed = nn.Linear(width, num_classes, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.embed(tokens) + self.position.weight
        for block in self.blocks:
            h = block(h)
        logits: Tensor = self.unembed(h[:, -1])
        return logits


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = (
            layer(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.output(mixed.transpose(1, 2).flatten(-2))
        out: Tensor = h + self.mlp(h)
        return out


def train_plain(program: Program, spec: Any, seed: int) -> float:
    """One member the plain way: the same data, batch size, steps and evaluations. Returns its last loss."""
    own = {name: values[0] for name, values in program.fields.items()} | {"split_seed": torch.tensor(seed)}
    sets = {}
    for split in ("train", "val"):
        batch = program.task.batch(program.task.index(split, own), own, torch.tensor(0))  # type: ignore[arg-type]
        sets[split] = (batch.inputs, batch.targets)
    generator = torch.Generator().manual_seed(seed)
    size = program.batch_size or len(sets["train"][1])
    loader = DataLoader(
        TensorDataset(*sets["train"]), batch_size=size, shuffle=True, drop_last=True, generator=generator
    )
    model = PlainTransformer(spec.modulus + 1, spec.modulus, spec.width, spec.heads, spec.depth)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        weight_decay=spec.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / spec.warmup_steps)
    )
    due = {probe.name: set(program.steps_of(when)) for probe, when in program.probes}
    loss, step = torch.tensor(0.0), 0

    def evaluate() -> list[float]:
        seen: list[float] = []
        if step in due.get("loss", ()):
            with torch.no_grad():
                for inputs, targets in sets.values():
                    logits = model(inputs)
                    seen.append(nn.functional.cross_entropy(logits, targets).item())
                    seen.append((logits.argmax(-1) == targets).float().mean().item())
        if step in due.get("weight_norm", ()):
            seen.append(torch.sqrt(sum((p.detach() ** 2).sum() for p in model.parameters())).item())  # type: ignore[arg-type]
        if step in due.get("gradient_norm", ()):
            whole = nn.functional.cross_entropy(model(sets["train"][0]), sets["train"][1])
            seen.append(
                torch.cat([g.flatten() for g in torch.autograd.grad(whole, list(model.parameters()))])
                .norm()
                .item()
            )
        return seen

    evaluate()
    while step < program.max_steps:
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step += 1
            evaluate()
            if step == program.max_steps:
                break
    return loss.item()


def train_ours(program: Program) -> None:
    for _ in train(program, initial_population(program)):
        pass


def built(**settings: Any) -> tuple[Program, Any]:
    experiment = find("algorithmic")
    request = experiment.request(settings, preset="demo")
    return experiment.build(request.members), request.spec


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of each turn of two ways to do the same."""

    ours: Sequence[float]
    plain: Sequence[float]

    def row(self, label: str, wanted: str) -> str:
        ratios = [b / a for a, b in zip(self.ours, self.plain, strict=True)]
        return (
            f"| {label} | {statistics.median(self.ours):.2f} | {statistics.median(self.plain):.2f} | "
            f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {wanted} |"
        )


def in_turns(ours: Callable[[], object], plain: Callable[[], object], turns: int) -> Timing:
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for turn in range(turns + 1):
        for name, way in (("ours", ours), ("plain", plain)):
            start = time.perf_counter()
            way()
            if turn:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - start)
    return Timing(**seconds)


def matrix_rate() -> float:
    """Float32 operations per second of a large matrix product, the best of several."""
    a, b = torch.randn(2, 2048, 2048, generator=torch.Generator().manual_seed(0)).unbind()
    best = 0.0
    for _ in range(12):
        start = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
    return best


def needed_operations(spec: Any, batch: int) -> int:
    """Multiplications and additions of one update of one member that the read-out depends on.

    Matrix products only, times three for the two products of the backward pass; the last block needs keys
    and values everywhere but queries, output and MLP at one position.
    """
    d, s = spec.width, 3
    full = 2 * d * d * s * (4 + 2 * spec.mlp_ratio)
    last = 2 * d * d * (2 * s + 2 + 2 * spec.mlp_ratio)
    return round(3 * batch * ((spec.depth - 1) * full + last + 2 * d * spec.modulus))


def step_seconds(program: Program, steps: int) -> float:
    population, stepper = initial_population(program), Stepper(program)
    for _ in range(5):
        stepper.update(population)
    start = time.perf_counter()
    for _ in range(steps):
        stepper.update(population)
    return (time.perf_counter() - start) / steps


def recording_share() -> tuple[float, float]:
    """Seconds of the demo's training as it runs, and of its updates alone."""
    experiment = find("algorithmic")
    request = experiment.request({}, preset="demo")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        execute(experiment, request, path, Silent())
        whole = float(json.loads((path / "environment.json").read_text())["wall_seconds"])
    program = experiment.build(request.members)
    population, stepper = initial_population(program), Stepper(program)
    start = time.perf_counter()
    while population.step < program.max_steps:
        stepper.update(population)
    return whole, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a quarter of the steps, three turns")
    options = parser.parse_args()
    steps, turns = (100, 3) if options.quick else (400, 5)
    place = describe(torch.device("cpu"), torch.get_num_threads())
    rate = matrix_rate()
    lines = [
        "# Training speed",
        "",
        (
            f"{place['hardware']}, {place['threads']} threads, torch {place['torch']}, Python "
            f"{platform.python_version()}; {turns} turns after a warm-up of each, medians, ratios with their "
            f"range. Measured float32 matrix product: {rate / 1e9:.0f} GFLOP/s."
        ),
        "",
        "| end to end, evaluations included | ours, s | plain, s | plain / ours | wanted |",
        "|---|---|---|---|---|",
    ]

    def compare(label: str, wanted: str, members: int, **settings: Any) -> None:
        program, spec = built(seed=f"0:{members}", **settings)
        timing = in_turns(
            lambda: train_ours(program),
            lambda: [train_plain(program, spec, seed) for seed in range(members)],
            turns,
        )
        lines.append(timing.row(label, wanted))
        print(lines[-1], flush=True)

    compare(f"one model, demo's size, {steps} steps", ">= 2", 1, max_steps=steps)
    compare(f"eight seeds, demo's size, {steps // 2} steps", ">= 3", 8, max_steps=steps // 2)
    compare(
        f"one model, width 256, batch 512, modulus 97, {steps // 4} steps", ">= 1", 1,
        max_steps=steps // 4, width=256, batch_size=512, modulus=97,
    )  # fmt: skip
    lines += [
        "",
        "| one update, batch 512, modulus 97 | ms per member | GFLOP/s needed | share of the matrix rate |",
        "|---|---|---|---|",
    ]
    for width, depth, members in ((128, 1, 1), (128, 1, 8), (128, 2, 1), (256, 1, 1)):
        program, spec = built(
            seed=f"0:{members}",
            width=width,
            depth=depth,
            batch_size=512,
            modulus=97,
            probes="",
            max_steps=10_000,
        )
        seconds = (
            statistics.median(step_seconds(program, max(8, steps // 10)) for _ in range(turns)) / members
        )
        achieved = needed_operations(spec, 512) / seconds
        lines.append(
            f"| width {width}, depth {depth}, {members} member{'s' * (members > 1)} | {seconds * 1e3:.2f} | "
            f"{achieved / 1e9:.0f} | {achieved / rate:.0%} |"
        )
        print(lines[-1], flush=True)
    shares = [recording_share() for _ in range(1 if options.quick else 3)]
    overheads = [whole / bare - 1 for whole, bare in shares]
    lines += [
        "",
        (
            f"The demo trains in {statistics.median(whole for whole, _ in shares):.1f} s. Records, probes, "
            f"snapshots and states add **{statistics.median(overheads):.1%}** ({min(overheads):.1%} to "
            f"{max(overheads):.1%}) to its updates (wanted: at most 10%)."
        ),
    ]
    print(lines[-1])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")
    print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


if __name__ == "__main__":
    main()
