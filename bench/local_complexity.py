"""How long local complexity takes: per example, against the plain form, side by side in one process.

    ./do bench local_complexity            # a minute on one core
    ./do bench local_complexity --quick    # few examples, few turns: that it runs, not how fast
    ./do bench local_complexity --memory   # its own section of the table, three minutes; times stay

The network of the published MLP script: 784-200-200-200-10, GELU, 50 vertices, radii 0.05, 0.1, 0.5, 1 and 5,
outputs counted. The plain form is written from the paper's description: one shared frame, per radius all
vertices of a batch of examples through the network, hooks that keep the signs of what each linear layer gives
and compare them with the first vertex's. Ours with the same frame must find the same counts, which is
checked here; ``independent`` draws a frame per example. One thread; ratios are of the same turn. Times are
the processor's, which are those of the clock where nothing else runs; other work still slows its caches.

Memory is the peak of a process of its own (``getrusage``) that measures so many of 10,000 examples, less its
peak after it had measured one: what the probe takes beside the data and the libraries.
"""

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bench._turns import spread
from epochal.core.tensors import random
from epochal.core.tensors.view import GivenView
from epochal.launch.environment import describe
from epochal.launch.heap import kept_heap
from epochal.models.images.mlp import MLP
from epochal.probes import find
from epochal.probes.complexity.frames import own_frames, shared_frame
from epochal.probes.complexity.hull import hull_counts
from epochal.probes.complexity.space import space_of

RESULTS = Path(__file__).parent / "results" / "local_complexity.md"
HELD = 10_000
RADII, VERTICES, INPUTS = (0.05, 0.1, 0.5, 1.0, 5.0), 50, 784


def plain(net: nn.Sequential, x: Tensor, frame: Tensor, batch: int = 100) -> Tensor:
    """Counts ``[R, L, N]``: hooks, sign tensors, a pass per radius."""
    signs: list[Tensor] = []
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(lambda _, i, out: signs.append(out.sign())) for layer in layers]
    found = []
    for radius in RADII:
        of_radius = []
        for part in x.split(batch):
            hull = torch.cat([part[:, None] + radius * frame, part[:, None] - radius * frame], 1)
            signs.clear()
            net(hull.flatten(0, 1))
            each = [sign.unflatten(0, (len(part), VERTICES)) for sign in signs]
            of_radius.append(torch.stack([(sign != sign[:, :1]).any(1).sum(-1) for sign in each]))
        found.append(torch.cat(of_radius, -1))
    for hook in hooks:
        hook.remove()
    return torch.stack(found)


def network(dtype: torch.dtype) -> MLP:
    key = random.key(0, "bench")
    ours = MLP(num_inputs=INPUTS, num_classes=10, depth=3, width=200, activation="gelu").to(dtype)
    with torch.no_grad():
        for place, parameter in enumerate(ours.parameters()):
            drawn = random.normal(random.fold(key, place), tuple(parameter.shape), dtype)
            parameter.copy_(drawn * (math.sqrt(2 / parameter.shape[-1]) if parameter.ndim > 1 else 0.1))
    return ours


def view_of(inputs: Tensor, network: MLP) -> GivenView:
    targets = torch.zeros(len(inputs), dtype=torch.int64)
    return GivenView(given_inputs={"train": inputs}, given_targets={"train": targets}, given_network=network)


def ways(dtype: torch.dtype, number: int) -> dict[str, Callable[[], Tensor]]:
    key = random.key(0, "bench")
    ours = network(dtype)
    linear = [*ours.layer, ours.readout]
    stages = [stage for layer in linear for stage in (layer, nn.GELU())][:-1]
    x = random.normal(random.fold(key, "inputs"), (number, INPUTS), dtype)
    space = space_of(view_of(x, ours), "train", number)
    frame = shared_frame(key, VERTICES // 2, INPUTS, dtype)

    layers = space.look.layers(True)

    def counted(frames: Callable[[int, int], Tensor]) -> Tensor:
        return hull_counts(space, frames, vertices=VERTICES, radii=RADII, layers=layers)

    def fresh(first: int, last: int) -> Tensor:
        return own_frames(key, torch.arange(first, last), VERTICES // 2, INPUTS, dtype)

    return {
        "plain": lambda: plain(nn.Sequential(*stages), x, frame[0]),
        "published": lambda: counted(lambda first, last: frame),
        "independent": lambda: counted(fresh),
    }


def measured_peak(way: str, samples: int) -> int:
    """Bytes beyond what one example takes, in this process: to be asked once."""
    x = torch.empty(HELD, INPUTS)
    for first in range(0, HELD, 50):  # the data's own making must not be the peak
        numbers = torch.arange(first * INPUTS, (first + 50) * INPUTS)
        x[first : first + 50] = random.normal(random.key(0, "inputs"), numbers).reshape(-1, INPUTS)
    view, probe = view_of(x, network(torch.float32)), find("local_complexity")
    form, split = way.split()
    peaks = []
    for count in (1, samples):
        options = {"samples": count, "radius": RADII, "vertices": VERTICES, "logits": True}
        probe.configured(probe.options(form=form, split=split, **options)).measure(view)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return peaks[1] - peaks[0]


def memory(counts: Sequence[int]) -> list[str]:
    """The section of the table."""
    about = (
        "MB that local complexity takes beside data and libraries, at its peak: float32, five radii, so many "
        f"of {HELD:,} examples; a process each."
    )
    head = "| form, points | " + " | ".join(f"{count:,} samples" for count in counts) + " |"
    lines = ["## Memory", "", about, "", head, "|---" * (len(counts) + 1) + "|"]
    for way in ("published train", "independent train", "independent random"):
        cells = []
        for count in counts:
            asked = [sys.executable, "-m", "bench.local_complexity", "--peak", f"{way} {count}"]
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            cells.append(f"{int(said) / 1e6:.1f}")
        lines.append(f"| {way.replace(' ', ', ')} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few examples, few turns, nothing written")
    parser.add_argument("--memory", action="store_true", help="only the section on memory")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    is_quick = asked.quick
    torch.set_num_threads(1)
    if asked.peak:
        with torch.no_grad():
            print(measured_peak(asked.peak.rpartition(" ")[0], int(asked.peak.rpartition(" ")[2])))
        return
    kept = RESULTS.read_text().partition("## Memory") if RESULTS.exists() else ("", "", "")
    if asked.memory:
        text = "\n".join(memory((100, 1_000, 10_000) if not is_quick else (2, 20)))
        print(text)
        if not is_quick:
            RESULTS.write_text(kept[0].rstrip() + "\n\n" + text)
        return
    number, turns = (100, 3) if is_quick else (500, 9)
    lines = []
    with torch.no_grad(), kept_heap():
        for dtype in (torch.float32, torch.float64):
            made = ways(dtype, number)
            apart = (made["plain"]() - made["published"]()).abs()
            made["independent"]()
            taken: dict[str, list[float]] = {name: [] for name in made}
            for _ in range(turns):
                for name, way in made.items():
                    started = time.process_time()
                    way()
                    taken[name].append((time.process_time() - started) / number * 1e3)
            name = str(dtype).removeprefix("torch.")
            lines += [
                f"## {name}",
                "",
                "| way | ms per example, five radii | times as fast as plain |",
                "|---|---|---|",
            ]
            for way, times in taken.items():
                ratios = [slow / fast for slow, fast in zip(taken["plain"], times, strict=True)]
                lines.append(f"| {way} | {spread(times, '.2f')} | {spread(ratios, '.2f')} |")
            lines += ["", f"Counts that differ, of {apart.numel()}: {int((apart > 0).sum())}.", ""]
    place = describe(torch.device("cpu"), 1)
    about = (
        f"{place['hardware']}, one thread, torch {place['torch']}; MLP {INPUTS}-200-200-200-10, GELU, "
        f"{VERTICES} vertices, {number} examples, {turns} turns in one process. Seconds of the processor: "
        "median (lowest to highest)."
    )
    text = "\n".join(["# Speed of local complexity", "", about, "", *lines])
    print(text)
    if not is_quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text + ("\n" + "".join(kept[1:]) if kept[1] else ""))


if __name__ == "__main__":
    main()
