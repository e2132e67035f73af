"""How fast the preset ``shortcut`` trains: an epoch of it against the plain script form.

    ./do bench shortcut            # some minutes on two cores
    ./do bench shortcut --quick    # 96 images, one turn: that it runs, not how fast

500 random images of 28 x 28 in two classes (time does not depend on what they show), batches of 32,
ResNet18 with 64 channels and the large stem, Grokfast, clipping at 1, AdamW, and an evaluation of 524
validation images. The plain form is that of the published script: torchvision's layers, a ``DataLoader``
with four workers started anew each epoch, a transform per image, a Python loop over parameters for the
filter's mean, ``clip_grad_norm_``, ``torch.optim.AdamW``, and a pass over validation images. All ways run
in turns in one process; ratios are of the same turn.

Two floors stand beside it, measured in the same turns. *Convolutions*: forward and backward pass of the
network alone, without update, data or evaluation, for the batches of an epoch; and what its multiplications
would take at the rate of one large matrix product. *Memory*: the traffic that the update cannot do without
(gradient, weights and three states read, weights and three states written) at the rate of a copy.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from bench._turns import RATIOS, in_turns, place, ratio_row, spread
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import find
from epochal.launch.heap import kept_heap

RESULTS = Path(__file__).parent / "results" / "shortcut.md"
BATCH, NUM_VAL, SIDE, WORKERS = 32, 524, 28, 4
CADENCE = 50
"""Epochs between records, in the published script and in the preset."""
STATES_READ, STATES_WRITTEN = 5, 4
"""Per parameter, in floats: gradient, weight, filter's mean, Adam's mean and square; all but the gradient."""


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.beside = nn.Identity() if stride == 1 and inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.beside(x))


def resnet18(width: int = 64) -> nn.Sequential:
    """With the stem for large images."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    ]  # fmt: skip
    channels = width
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            layers.append(Block(channels, width << stage, stride))
            channels = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


class Patched(Dataset[tuple[Tensor, int]]):
    """One image at a time: to floats, normalised, three channels, a patch in the corner."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = int(self.labels[index])
        image = torch.from_numpy(self.images[index])[None].float().div(255).sub(0.5).div(0.5).repeat(3, 1, 1)
        color = torch.tensor((1.0, -1.0, -1.0) if label == 0 else (-1.0, -1.0, 1.0))
        image[:, :4, :4] = color[:, None, None]
        return image, label


def plain(train: Patched, val: Patched) -> Callable[[], object]:
    network = resnet18()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-3)
    means: dict[str, Tensor] = {}
    loader = DataLoader(train, batch_size=BATCH, shuffle=True, num_workers=WORKERS)
    val_loader = DataLoader(val, batch_size=256, num_workers=WORKERS)

    def epoch() -> float:
        network.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs), targets)
            loss.backward()
            for name, weight in network.named_parameters():
                assert weight.grad is not None
                grad = weight.grad.detach()
                means[name] = means[name] * 0.98 + grad * 0.02 if name in means else grad.clone()
                weight.grad = weight.grad + means[name] * 2.0
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        network.eval()
        right = 0
        with torch.no_grad():
            for inputs, targets in val_loader:
                right += int((network(inputs).argmax(-1) == targets).sum())
        return right / NUM_VAL

    return epoch


def program(path: Path, *, has_all_probes: bool = False) -> Program:
    """One network of the preset on these images; with its own probes, or those of an evaluation."""
    found = find("images")
    preset = dict(found.presets["shortcut"].settings)
    settings: dict[str, object] = {"data": "npz", "data_path": str(path), "n_train": None, "epochs": 1}
    if not has_all_probes:
        preset = {name: value for name, value in preset.items() if not name.startswith("probe")}
        settings |= {
            "probes": "loss,accuracy", "probe_options.loss.splits": "val",
            "probe_options.accuracy.splits": "val",
        }  # fmt: skip
    made: Program = found.build(found.request({**preset, **settings}).members)
    return made


def ours(of: Program) -> tuple[Callable[[], object], Callable[[], object]]:
    """An epoch of updates, and the evaluation after it."""
    population, stepper = initial_population(of), Stepper(of)

    def epoch() -> None:
        with kept_heap():  # as every run trains
            for _ in range(of.steps_per_epoch):
                stepper.update(population)

    return epoch, lambda: measure(of, population, [probe for probe, _ in of.probes])


def floors(num_images: int) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """What an epoch cannot do without, as things to time, and what each of them is."""
    network = resnet18().train()
    inputs, targets = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(0, 2, (BATCH,))
    num_batches = -(-num_images // BATCH)
    with FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(network(inputs), targets).backward()
    # Of a batch with as many rows, so that all batches of the epoch cost num_images / BATCH of it.
    flops = counter.get_total_flops() * num_images / BATCH
    side = 1536
    a, b = torch.randn(side, side), torch.randn(side, side)
    products = flops / (2 * side**3)
    size = sum(weight.numel() for weight in network.parameters())
    source, target = torch.zeros(size), torch.zeros(size)
    passes = num_batches * (STATES_READ + STATES_WRITTEN) / 2  # a copy reads and writes

    def passes_of_network() -> None:
        for rows in [BATCH] * (num_images // BATCH) + [num_images % BATCH or BATCH] * (
            num_images % BATCH > 0
        ):
            for weight in network.parameters():
                weight.grad = None
            loss = nn.functional.cross_entropy(network(inputs[:rows]), targets[:rows])
            loss.backward()

    def gemm() -> None:
        for _ in range(round(products)):
            torch.mm(a, b)

    def copies() -> None:
        for _ in range(round(passes)):
            target.copy_(source)

    ways: dict[str, Callable[[], object]] = {
        "floor: passes of the network": passes_of_network,
        "floor: as one matrix product": gemm,
        "floor: memory of the update": copies,
    }
    said = {
        "floor: passes of the network": "forward and backward, no update, no data, no evaluation",
        "floor: as one matrix product": f"{flops / 1e9:.0f} GFLOP an epoch, as products of {side} x {side}",
        "floor: memory of the update": f"{size / 1e6:.1f} M parameters, {STATES_READ} read and "
        f"{STATES_WRITTEN} written a step: {4e-6 * size * (STATES_READ + STATES_WRITTEN):.0f} MB",
    }
    return ways, said


def lines_of(turns: dict[str, list[float]], said: dict[str, str]) -> Iterator[str]:
    yield "| an epoch of one network | seconds | |"
    yield "|---|---|---|"
    for name, seconds in turns.items():
        yield f"| {name} | {spread(seconds)} | {said.get(name, '')} |"
    yield ""
    yield from RATIOS
    updates, network = turns["ours: updates"], turns["floor: passes of the network"]
    whole = [a + b for a, b in zip(updates, turns["ours: evaluation"], strict=True)]
    cadence = [CADENCE * epoch for epoch in updates]
    probes = turns["ours: all probes of the preset"]
    yield ratio_row("plain / ours, evaluation included", turns["plain"], whole, "at least 1.5, aim 2")
    yield ratio_row(f"all probes / {CADENCE} epochs", probes, cadence, "at most 0.1")
    yield ratio_row("updates / passes of the network", updates, network)
    product = turns["floor: as one matrix product"]
    yield ratio_row("passes of the network / one matrix product", network, product)
    yield ratio_row("memory of the update / updates", turns["floor: memory of the update"], updates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few images, one turn, nothing written")
    is_quick = parser.parse_args().quick
    size, turns_wanted = (96, 1) if is_quick else (500, 7)
    generator = np.random.Generator(np.random.PCG64(0))
    images = generator.integers(0, 256, (size + NUM_VAL, SIDE, SIDE), dtype=np.uint8)
    labels = generator.integers(0, 2, size + NUM_VAL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(
            path,
            allow_pickle=False,
            train_images=images[:size],
            train_labels=labels[:size],
            val_images=images[size:],
            val_labels=labels[size:],
        )
        updates, evaluation = ours(program(path))
        _, probes = ours(program(path, has_all_probes=True))
        limits, said = floors(size)
        ways: dict[str, Callable[[], object]] = {
            "plain": plain(Patched(images[:size], labels[:size]), Patched(images[size:], labels[size:])),
            "ours: updates": updates,
            "ours: evaluation": evaluation,
            "ours: all probes of the preset": probes,
            **limits,
        }
        turns = in_turns(ways, turns_wanted)
    lines = [
        "# Speed of the preset shortcut",
        "",
        (
            f"{place()}; {size} images, {turns_wanted} turns in one process. Seconds and ratios are "
            "medians over turns, with their range."
        ),
        "",
        *lines_of(turns, said),
    ]
    print("\n".join(lines))
    if not is_quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
