"""How fast the local learning coefficient is sampled: all chains at once against one after the other.

    ./do bench llc            # a minute on one thread
    ./do bench llc --quick    # few steps, one turn: that it runs, not how fast

An MLP 10-64-64-10 (5,514 parameters), 2,048 samples, batches of 256, 200 draws, step size 1e-4, gamma 100,
n_beta 268.6. "Sequential" is the same update, chain after chain, in plain torch with a ``DataLoader``, as
SGLD scripts and devinterp have it (devinterp 1.3.2 itself: 1.35 s for 4 chains, 5.96 s for 16, on another
machine). The floor is the time of the products alone. All ways run in turns in one process on one thread.
"""

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import epochal

RESULTS = Path(__file__).parent / "results" / "llc.md"
SAMPLES, BATCH, STEP, GAMMA, N_BETA = 2048, 256, 1e-4, 100.0, 268.6


def network(generator: torch.Generator) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    with torch.no_grad():
        for p in made.parameters():
            p.normal_(std=p.shape[-1] ** -0.5, generator=generator)
    return made


def sequential(model: nn.Sequential, data: TensorDataset, chains: int, draws: int) -> float:
    """Plain torch, a chain at a time: forward, backward, update in place per tensor."""
    total = 0.0
    for chain in range(chains):
        generator = torch.Generator().manual_seed(chain)
        loader = DataLoader(data, batch_size=BATCH, shuffle=True, generator=generator)
        own = [p.detach().clone() for p in model.parameters()]
        feed = iter(loader)
        for _ in range(draws):
            batch = next(feed, None)
            if batch is None:
                feed = iter(loader)
                batch = next(feed)
            loss = F.cross_entropy(model(batch[0]), batch[1])
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            with torch.no_grad():
                for p, start in zip(model.parameters(), own, strict=True):
                    assert p.grad is not None
                    p.add_(p.grad, alpha=-STEP / 2 * N_BETA).add_(p - start, alpha=-STEP / 2 * GAMMA)
                    p.add_(torch.randn(p.shape, generator=generator), alpha=STEP**0.5)
        with torch.no_grad():
            for p, start in zip(model.parameters(), own, strict=True):
                p.copy_(start)
    return total


def products(chains: int, draws: int) -> None:
    """The matrix products of forward and backward passes, and nothing else."""
    widths = (10, 64, 64, 10)
    values = [torch.randn(chains, BATCH, width) for width in widths]
    weights = [torch.randn(chains, out, into) for into, out in itertools.pairwise(widths)]
    for _ in range(draws):
        for layer, weight in enumerate(weights):
            torch.bmm(values[layer], weight.mT)
            torch.bmm(values[layer + 1].mT, values[layer])
            if layer:
                torch.bmm(values[layer + 1], weight)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    turns, draws = (1, 20) if quick else (7, 200)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    model = network(generator)
    inputs = torch.randn(SAMPLES, 10, generator=generator)
    targets = model(inputs).detach().argmax(-1)
    data = TensorDataset(inputs, targets)
    load = os.getloadavg()[0]

    def ours(loss: Any, chains: int, *, shared: bool = False) -> object:
        return epochal.llc(
            model, loss, (inputs, targets), chains=chains, draws=draws, burn_in=0, n_beta=N_BETA, gamma=GAMMA,
            step_size=STEP, batch_size=BATCH, shared_batches=shared,
        )  # fmt: skip

    def any_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def any_module(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    lines = []
    for chains in (4, 16):
        ways: dict[str, Callable[[], object]] = {
            "sequential, plain torch": lambda n=chains: sequential(model, data, n, draws),  # type: ignore[misc]
            "epochal.llc": lambda n=chains: ours(F.cross_entropy, n),  # type: ignore[misc]
            "epochal.llc, shared batches": lambda n=chains: ours(F.cross_entropy, n, shared=True),  # type: ignore[misc]
            "epochal.llc, any loss": lambda n=chains: ours(any_loss, n),  # type: ignore[misc]
            "epochal.llc, any module (vmap)": lambda n=chains: ours(any_module, n),  # type: ignore[misc]
            "products alone": lambda n=chains: products(n, draws),  # type: ignore[misc]
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way()  # warm-up
        for _ in range(turns):
            for name, way in ways.items():
                times[name].append(seconds(way))
        plain = times["sequential, plain torch"]
        for name, of in times.items():
            ratio = statistics.median(a / b for a, b in zip(plain, of, strict=True))
            spread = f"{min(of):.3f} | {statistics.median(of):.3f} | {max(of):.3f}"
            lines.append(f"| {chains} | {name} | {spread} | {ratio:.1f} |")
            print(lines[-1])
    text = "\n".join(
        [
            "# Sampling the local learning coefficient",
            "",
            f"{platform.processor() or platform.machine()}, one thread, torch {torch.__version__}.",
            f"{turns} turns in one process after a warm-up; load {load:.1f} when it began.",
            "Seconds; the ratio is the median over turns of sequential / this.",
            "",
            "| chains | way | least | median | most | times as fast |",
            "|---|---|---|---|---|---|",
            *lines,
        ]
    )
    if quick or load > 1:
        print(f"not written: {'quick' if quick else f'load {load:.1f} is above 1'}")
        return
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
