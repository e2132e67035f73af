"""Attacks: images per second of PGD on the width-16 ResNet against the plain form, and agreement with ART.

    python -m bench.attacks [--quick] [--art]

Three columns in one process, one after the other in turns: epochal's PGD as the probe calls it (under the
network as a function, best points kept, and with the last point only), the usual loop over
``torch.autograd.grad`` on an ``nn.Module``, and the bare convolutions: forward and backward in the inputs of
every convolution of the network at its shapes, which no attack can beat. ``--art`` needs
adversarial-robustness-toolbox: robust accuracies on one trained network, means over seeds, which must agree
within a point; it writes bench/results/attacks.md, the rest bench/results/attacks-speed.md.
"""

import argparse
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from bench._turns import in_turns, place, spread
from epochal.attacks.ball import Pixels, pixels
from epochal.attacks.named import AttackName, attacked
from epochal.attacks.pgd import pgd
from epochal.attacks.square import square
from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import SILENT
from epochal.engine.population import initial_population
from epochal.engine.train import train
from epochal.experiments.catalog import find
from epochal.models.initialization import initializer
from epochal.models.resnet import PreActivationResNet18

STEPS, EPSILON = 10, 8 / 255
RESULTS = Path(__file__).parent / "results" / "attacks.md"
SPEED = RESULTS.with_name("attacks-speed.md")


def plain(module: nn.Module, x: Tensor, y: Tensor, where: Pixels) -> Tensor:
    """As tutorials have it: random start, ten steps, last point."""
    low, high = (
        torch.maximum(where.low, x - EPSILON / where.unit),
        torch.minimum(where.high, x + EPSILON / where.unit),
    )
    points = torch.minimum(torch.maximum(x + (2 * torch.rand_like(x) - 1) * EPSILON / where.unit, low), high)
    for _ in range(STEPS):
        points = points.detach().requires_grad_()
        loss = nn.functional.cross_entropy(module(points), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, points)
        step = 2.5 * EPSILON / STEPS * gradient.sign() / where.unit
        points = torch.minimum(torch.maximum(points.detach() + step, low), high)
    return points


def convolutions(module: nn.Module, x: Tensor) -> Callable[[], None]:
    """Every convolution's forward and backward in its inputs, ``STEPS`` times, and nothing else."""
    seen: list[tuple[nn.Conv2d, Tensor, Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda m, given, out: seen.append((m, given[0].detach(), out.detach())))
        for part in module.modules()
        if isinstance(part, nn.Conv2d)
    ]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()

    def run() -> None:
        for _ in range(STEPS):
            for m, given, out in seen:
                nn.functional.conv2d(given, m.weight, None, m.stride, m.padding)
                conv2d_input(given.shape, m.weight, out, m.stride, m.padding)

    return run


def speed(batch: int, rounds: int) -> list[str]:
    net = Network(lambda: PreActivationResNet18(num_classes=10, width=16, norm="none"), initializer("torch"))
    flat, buffers = net.init(random.key(0, "init"), torch.float32)
    module, params = net.materialise(flat, buffers), net.layout.unflatten(flat)
    module.requires_grad_(False)
    x = random.normal(random.key(0, "x"), (batch, 3, 32, 32))
    y = torch.arange(batch) % 10
    where = pixels((0.5,) * 3, (0.25,) * 3, dtype=torch.float32, device=torch.device("cpu"))

    def ours(keep: str) -> Callable[[], object]:
        def predict(inputs: Tensor) -> Tensor:
            return net(params, {}, inputs, SILENT)

        options = {"epsilon": EPSILON, "where": where, "steps": STEPS, "keep": keep}
        return lambda: pgd(predict, x, y, random.key(0, "attack"), **options)  # type: ignore[arg-type]

    found = in_turns(
        {
            "epochal, last point": ours("last"),
            "epochal, best point": ours("best"),
            "plain loop": lambda: plain(module, x, y, where),
            "convolutions alone": convolutions(module, x),
        },
        rounds,
    )
    floor = found["convolutions alone"]
    lines = [
        "# Speed of PGD",
        "",
        (
            f"{place()}; PGD with {STEPS} steps, pre-activation ResNet18 of width 16, batches of {batch} "
            f"images of CIFAR-10's shape, {rounds} turns in one process. Medians with their range."
        ),
        "",
        "| way | images per second | times as fast as plain | share of the convolution rate |",
        "|---|---|---|---|",
    ]
    for name, took in found.items():
        rates = [batch / one for one in took]
        plainly = [theirs / one for theirs, one in zip(found["plain loop"], took, strict=True)]
        shares = [least / one for least, one in zip(floor, took, strict=True)]
        lines.append(
            f"| {name} | {spread(rates, '.0f')} | {spread(plainly, '.2f')} | {spread(shares, '.2f')} |"
        )
    return lines


class WithBorder(nn.Module):
    """Of images with one more row and column, which the network does not see."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.module(x[..., :-1, :-1])
        return inside


class Art:
    """adversarial-robustness-toolbox on a network of pixels in [0, 1], with its generator seeded."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], classes: int) -> None:
        from art.estimators.classification import PyTorchClassifier

        def wrapped(network: nn.Module, size: tuple[int, ...]) -> object:
            return PyTorchClassifier(network, nn.CrossEntropyLoss(), size, classes, clip_values=(0.0, 1.0))

        self.plain = wrapped(module, shape)
        channels, height, width = shape
        self.border = wrapped(WithBorder(module), (channels, height + 1, width + 1))
        self.share = height * width / ((height + 1) * (width + 1))

    def gradients(self, name: str, x: Tensor, y: Tensor, seed: int, *, norm: str, **given: float) -> Tensor:
        """``pgd``, ``apgd-ce`` or ``apgd-dlr``: epsilon, steps, restarts."""
        from art.attacks import evasion

        epsilon, steps, restarts = given["epsilon"], int(given["steps"]), int(given["restarts"])
        common = {"norm": torch.inf if norm == "linf" else 2, "eps": epsilon, "max_iter": steps,
                  "batch_size": len(x), "verbose": False}  # fmt: skip
        if name == "pgd":
            attack = evasion.ProjectedGradientDescent(
                self.plain, eps_step=2.5 * epsilon / steps, num_random_init=restarts, **common
            )
        else:
            loss = {"apgd-ce": "cross_entropy", "apgd-dlr": "difference_logits_ratio"}[name]
            attack = evasion.AutoProjectedGradientDescent(
                self.plain, eps_step=2 * epsilon, nb_random_init=restarts, loss_type=loss, **common
            )
        return self._found(attack, x, y, seed)

    def square(
        self, x: Tensor, y: Tensor, seed: int, *, epsilon: float, steps: int, with_border: bool
    ) -> Tensor:
        """Its squares never touch the last row and column (their first place is drawn below ``height -
        side``, the paper's set holds that number too): an image with a border lifts that. The share of
        pixels is scaled so that sides stay as they were."""
        from art.attacks import evasion

        attack = evasion.SquareAttack(
            self.border if with_border else self.plain, eps=epsilon, max_iter=steps, batch_size=len(x),
            p_init=0.8 * (self.share if with_border else 1.0), verbose=False,
        )  # fmt: skip
        if not with_border:
            return self._found(attack, x, y, seed)
        return self._found(attack, nn.functional.pad(x, (0, 1, 0, 1)), y, seed)[..., :-1, :-1]

    def _found(self, attack: Any, x: Tensor, y: Tensor, seed: int) -> Tensor:
        np.random.seed(seed)  # noqa: NPY002 - the generator that it draws from
        return torch.from_numpy(attack.generate(x.numpy(), y.numpy())).to(x.dtype)


def digits_network(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """An MLP on the digits in pixels, and validation images with their labels."""
    experiment = find("images")
    settings = {"data": "digits", "normalization": "raw", "width": 100, "batch_size": 100, "max_steps": 500,
                "learning_rate": 3e-3, "threads": 1, "record_every": 500, "probes": "accuracy"}  # fmt: skip
    program = experiment.build(experiment.request(settings).members)
    population = initial_population(program)
    list(train(program, population))
    module = program.network.materialise(population.flat[0], population.buffers[0])
    fields = {name: value[0] for name, value in program.fields.items()}
    batch = program.task.batch(program.task.index("val", fields)[:count], fields, random.key(0, "probe"))
    return module, batch.inputs, batch.targets


COLUMNS = ("norm", "epsilon", "attack", "effort", "epochal", "ART", "difference in points", "within 1")
EFFORTS: dict[AttackName, tuple[int, int]] = {"pgd": (20, 5), "apgd-ce": (100, 5), "apgd-dlr": (100, 5)}
QUERIES = 1000


def against_art(count: int, seeds: int) -> list[str]:
    """Robust accuracies in percent, means over seeds, on the same network, images and efforts."""
    module, x, y = digits_network(count)
    where = pixels((0.0,), (1.0,), dtype=torch.float32, device=x.device)
    art = Art(module, tuple(x.shape[1:]), 10)
    lines: list[str] = []

    def share(points: Tensor) -> float:
        with torch.no_grad():
            return 100 * float((module(points).argmax(-1) == y).double().mean())

    def compared(
        of: tuple[str, float, str, str], ours: Callable[[int], Tensor], theirs: Callable[[int], Tensor]
    ) -> None:
        found = [[share(one(seed)) for seed in range(seeds)] for one in (ours, theirs)]
        mine, other = (statistics.mean(values) for values in found)
        error = math.sqrt(sum(statistics.variance(values) / seeds for values in found))
        verdict = "yes" if abs(mine - other) <= 1 else "NO"
        gap = f"{mine - other:+.2f} +- {error:.2f}"
        cells = [of[0], f"{of[1]:g}", of[2], of[3], f"{mine:.2f}", f"{other:.2f}", gap, verdict]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)

    for norm, radius in (("linf", 0.05), ("linf", 0.1), ("l2", 0.4), ("l2", 0.8)):
        for name, (steps, restarts) in EFFORTS.items():
            given = {"norm": norm, "epsilon": radius, "steps": steps, "restarts": restarts}

            def ours(seed: int, name: AttackName = name, given: Any = given) -> Tensor:
                return attacked(name, module, x, y, random.key(seed, "attack"), where=where, **given)

            def theirs(seed: int, name: str = name, given: Any = given) -> Tensor:
                return art.gradients(name, x, y, seed, **given)

            compared((norm, radius, name, f"{steps} steps, {restarts} starts"), ours, theirs)
        if norm == "linf":
            for with_border in (True, False):

                def squares(seed: int, radius: float = radius) -> Tensor:
                    key = random.key(seed, "attack")
                    return square(module, x, y, key, epsilon=radius, where=where, steps=QUERIES)

                def of_art(seed: int, radius: float = radius, with_border: bool = with_border) -> Tensor:
                    return art.square(x, y, seed, epsilon=radius, steps=QUERIES, with_border=with_border)

                effort = f"{QUERIES} queries{', ART with a border' if with_border else ', ART as it is'}"
                compared((norm, radius, "square", effort), squares, of_art)
    return lines


def document(lines: list[str], count: int, seeds: int) -> str:
    import art

    head = f"""# Attacks against adversarial-robustness-toolbox

`python -m bench.attacks --art`, ART {art.__version__}, torch {torch.__version__}. One MLP (width 100) on the
digits in pixels, {count} validation images; robust accuracy in percent, means over {seeds} seeds, with the
standard error of the difference. Same radius, steps and starts on both sides.

Where single runs differ by more than a point, and why:

- **Square.** ART draws a square's first row below `height - side` and so never changes the last row and
  column, 15 of the 64 pixels here; algorithm 2 of Andriushchenko et al. 2020, and epochal, draw from `0 ..
  height - side`. With a border of one pixel around the image, which the network does not see, ART draws what
  the paper says. It also has one square and sign for a whole batch, which widens its scatter.
- **APGD.** Single starts scatter by .5 to 1 point from seed to seed in both. ART counts a step as a success
  if it beats the best so far, Croce & Hein 2020 (condition 1) and epochal if it beats the step before; ART
  gives the last point, algorithm 1 and epochal the best. Five starts leave little of either.
- **L2.** ART clamps to the box and then shrinks towards the input, which falls short of the nearest point of
  ball and box.

"""
    rule = "|" + "---|" * len(COLUMNS)
    return head + "\n".join([f"| {' | '.join(COLUMNS)} |", rule, *lines]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--art", action="store_true", help="compare with adversarial-robustness-toolbox")
    given = parser.parse_args()
    if given.art:
        size, seeds = (200, 2) if given.quick else (359, 3)
        found = against_art(size, seeds)
        if not given.quick:
            RESULTS.write_text(document(found, size, seeds))
    else:
        said = "\n".join(speed(32 if given.quick else 256, 3 if given.quick else 7)) + "\n"
        print(said)
        if not given.quick:
            SPEED.write_text(said)
