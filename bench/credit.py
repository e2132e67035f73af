"""How fast credit assignment trains: an epoch of DFA and of backpropagation against the plain script form.

    ./do bench credit            # some minutes on two cores
    ./do bench credit --quick    # a few hundred images, one turn: that it runs, not how fast

5,000 random images of CIFAR-10's shape (time does not depend on what they show), batches of 128, crops and
flips, a residual MLP of width 256 with 4 blocks. The plain form is that of snapshot-evolution scripts: a
``DataLoader`` with two workers, started anew each epoch, and per image the steps of torchvision's
transforms, by Pillow; for DFA a forward pass without gradients, then head, each block (its own AdamW,
clipped at 1) and embedding with a forward and a backward pass of their own. ``tensors`` is the same with
crop, flip and normalisation written by hand on tensors, which takes half of the time per image. Our
diagnostics (norms, gradients and alignment on 1,024 images, once per epoch) are timed apart. All ways run in
turns in one process; ratios are of the same turn.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench._turns import RATIOS, in_turns, place, ratio_row, spread
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import find
from epochal.models.images.resmlp import ResMLP

RESULTS = Path(__file__).parent / "results" / "credit.md"
BATCH, WIDTH, DEPTH, CLASSES, SEEDS = 128, 256, 4, 10, 5


class Augmented(Dataset[tuple[Tensor, int]]):
    """One image at a time, as tensors: crop of the padded image, flip, to floats, per channel."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = torch.from_numpy(self.images[index]).permute(2, 0, 1)
        padded = nn.functional.pad(pixels, (4, 4, 4, 4))
        y, x = torch.randint(0, 9, (2,)).tolist()
        window = padded[:, y : y + 32, x : x + 32]
        window = window.flip(-1) if torch.rand(()) < 0.5 else window
        return (window.float().div(255) - 0.5) / 0.25, int(self.labels[index])


class Transformed(Augmented):
    """The same by Pillow, in the steps of torchvision's ``RandomCrop``, ``RandomHorizontalFlip``,
    ``ToTensor`` and ``Normalize`` (which check and copy more: 130 microseconds per image, these take 85)."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[index]), 4)
        y, x = torch.randint(0, 9, (2,)).tolist()
        image = image.crop((x, y, x + 32, y + 32))
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        mean, std = torch.as_tensor([0.5] * 3), torch.as_tensor([0.25] * 3)
        return pixels.sub_(mean[:, None, None]).div_(std[:, None, None]), int(self.labels[index])


def loader(data: Augmented) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=2)


def plain_backprop(data: Augmented) -> Callable[[], object]:
    network = ResMLP(num_inputs=3072, num_classes=CLASSES, depth=DEPTH, width=WIDTH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)

    def epoch() -> None:
        for inputs, targets in loader(data):
            loss = nn.functional.cross_entropy(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def plain_dfa(data: Augmented) -> Callable[[], object]:
    network = ResMLP(num_inputs=3072, num_classes=CLASSES, depth=DEPTH, width=WIDTH)
    feedback = [torch.randn(WIDTH, CLASSES) / CLASSES**0.5 for _ in range(DEPTH)]

    def adamw(*modules: nn.Module) -> torch.optim.Optimizer:
        weights = [weight for module in modules for weight in module.parameters()]
        return torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.01)

    head, embed = adamw(network.norm, network.readout), adamw(network.embed)
    blocks = [adamw(block) for block in network.block]

    def credit(error: Tensor, matrix: Tensor) -> Tensor:
        told = error @ matrix.T
        return told / (told.square().mean(-1, keepdim=True).sqrt() + 1e-6)

    def step(optimizer: torch.optim.Optimizer, loss: Tensor, clipped: nn.Module | None = None) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if clipped is not None:
            nn.utils.clip_grad_norm_(clipped.parameters(), 1.0)
        optimizer.step()

    def epoch() -> None:
        for inputs, targets in loader(data):
            with torch.no_grad():
                flat = inputs.flatten(1)
                stream = [network.embed(flat)]
                for block in network.block:
                    stream.append(stream[-1] + block(stream[-1]))
                logits = network.readout(network.norm(stream[-1]))
                error = logits.softmax(-1) - nn.functional.one_hot(targets, CLASSES)
            seen = network.readout(network.norm(stream[-1].detach()))
            step(head, nn.functional.cross_entropy(seen, targets))
            for number, block in enumerate(network.block):
                told = credit(error, feedback[number])
                step(blocks[number], (block(stream[number].detach()) * told).sum(-1).mean(), block)
            step(embed, (network.embed(flat) * credit(error, feedback[0])).sum(-1).mean())

    return epoch


def program(path: Path, rule: str, members: int) -> Program:
    found = find("images")
    settings = {"data": "npz", "data_path": str(path), "rule": rule, "epochs": 1, "seed": f"0:{members}"}
    preset = {name: value for name, value in found.presets["credit"].settings.items() if name not in settings}
    preset["probes"] = "hidden_norm,gradient_norm,credit_alignment"
    preset = {
        name: value for name, value in preset.items() if ".loss." not in name and ".accuracy." not in name
    }
    made: Program = found.build(found.request(preset | settings).members)
    return made


def ours(of: Program) -> tuple[Callable[[], object], Callable[[], object]]:
    """An epoch, and the diagnostics after it."""
    population, stepper = initial_population(of), Stepper(of)

    def epoch() -> None:
        for _ in range(of.steps_per_epoch):
            stepper.update(population)

    return epoch, lambda: measure(of, population, [probe for probe, _ in of.probes])


def lines_of(turns: dict[str, list[float]]) -> Iterator[str]:
    yield "| epoch of one network | seconds |"
    yield "|---|---|"
    for name, seconds in turns.items():
        yield f"| {name} | {spread(seconds)} |"
    yield ""
    yield from RATIOS
    for words, above, below, asked in (
        ("plain DFA / ours", "plain dfa", "dfa, alone", "at least 3"),
        ("plain backprop / ours", "plain backprop", "backprop, alone", "at least 3"),
        ("plain DFA / ours, images as tensors", "plain dfa, tensors", "dfa, alone", ""),
        ("plain backprop / ours, images as tensors", "plain backprop, tensors", "backprop, alone", ""),
        ("plain DFA / ours, compile=true", "plain dfa", "dfa, compile=true", ""),
        ("plain backprop / ours, compile=true", "plain backprop", "backprop, compile=true", ""),
        ("DFA alone / one of five seeds", "dfa, alone", f"dfa, of {SEEDS}", "at least 1.5"),
        ("backprop alone / one of five seeds", "backprop, alone", f"backprop, of {SEEDS}", "at least 1.5"),
        ("DFA step / backprop step", "dfa, alone", "backprop, alone", "at most 1.3"),
        ("diagnostics / DFA epoch", "dfa diagnostics, alone", "dfa, alone", "at most 0.1"),
        ("diagnostics / DFA epoch, five", f"dfa diagnostics, of {SEEDS}", f"dfa, of {SEEDS}", "at most 0.1"),
    ):
        if below in turns:  # not compiled where it is quick
            yield ratio_row(words, turns[above], turns[below], asked)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few images, one turn, nothing written")
    is_quick = parser.parse_args().quick
    size, turns_wanted = (400, 1) if is_quick else (5000, 5)
    generator = np.random.Generator(np.random.PCG64(0))
    images = generator.integers(0, 256, (size + 1024, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, size + 1024)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(
            path,
            train_images=images[:size],
            train_labels=labels[:size],
            test_images=images[size:],
            test_labels=labels[size:],
        )
        transformed = Transformed(images[:size], labels[:size])
        tensors = Augmented(images[:size], labels[:size])
        ways: dict[str, Callable[[], object]] = {
            "plain dfa": plain_dfa(transformed),
            "plain dfa, tensors": plain_dfa(tensors),
            "plain backprop": plain_backprop(transformed),
            "plain backprop, tensors": plain_backprop(tensors),
        }
        shared = dict.fromkeys(ways, 1)
        for rule in ("dfa", "backprop"):
            for members in (1, SEEDS):
                epoch, diagnostics = ours(program(path, rule, members))
                words = "alone" if members == 1 else f"of {members}"
                ways |= {f"{rule}, {words}": epoch, f"{rule} diagnostics, {words}": diagnostics}
                shared |= {f"{rule}, {words}": members, f"{rule} diagnostics, {words}": members}
            if not is_quick:
                epoch, _ = ours(replace(program(path, rule, 1), is_compiled=True))
                ways |= {f"{rule}, compile=true": epoch}
                shared |= {f"{rule}, compile=true": 1}
        turns = {
            name: [one / shared[name] for one in seconds]
            for name, seconds in in_turns(ways, turns_wanted).items()
        }
    lines = [
        "# Speed of credit assignment",
        "",
        (
            f"{place()}; {size} images, {turns_wanted} turns in one process. Seconds and ratios are "
            "medians over turns, with their range; those of five seeds are per seed. What is asked is asked "
            "against the published script, whose images go through torchvision's transforms: plain does the "
            "same steps by Pillow. Tensors is a faster form of the script, which earlier tables had."
        ),
        "",
        *lines_of(turns),
    ]
    print("\n".join(lines))
    if not is_quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
