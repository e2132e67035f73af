"""Attacks: images per second of PGD on the width-16 ResNet against the plain form, and agreement with ART.

    python bench/attacks.py [--quick] [--art]

Three columns in one process, one after the other in turns: epochal's PGD as the probe calls it (under the
network as a function, best points kept, and with the last point only), the usual loop over
``torch.autograd.grad`` on an ``nn.Module``, and the bare convolutions: forward and backward in the inputs of
every convolution of the network at its shapes, which no attack can beat. ``--art`` needs
adversarial-robustness-toolbox: robust accuracies on one trained network, which must agree within a point.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from epochal.attacks.apgd import apgd
from epochal.attacks.ball import Pixels, pixels
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
                torch.nn.grad.conv2d_input(given.shape, m.weight, out, m.stride, m.padding)

    return run


def seconds(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Medians, in turns, so that what else the machine does falls on all."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(rounds):
        for name, case in cases.items():
            begin = time.perf_counter()
            case()
            taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in taken.items()}


def speed(batch: int, rounds: int) -> None:
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

    found = seconds(
        {
            "epochal, last point": ours("last"),
            "epochal, best point": ours("best"),
            "plain loop": lambda: plain(module, x, y, where),
            "convolutions alone": convolutions(module, x),
        },
        rounds,
    )
    print(f"PGD-{STEPS}, width 16, batch {batch}, {torch.get_num_threads()} thread(s)")
    for name, took in found.items():
        share = found["convolutions alone"] / took
        print(f"{name:22} {batch / took:8.1f} images/s   {share:5.0%} of the convolution rate")


def against_art(count: int) -> None:
    """One MLP on the digits in pixels; each attack of both, the same radius, steps and step."""
    from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent, SquareAttack
    from art.estimators.classification import PyTorchClassifier

    experiment = find("images")
    settings = {"data": "digits", "normalization": "raw", "width": 100, "batch_size": 100, "max_steps": 500,
                "learning_rate": 3e-3, "threads": 1, "record_every": 500, "probes": "accuracy"}  # fmt: skip
    program = experiment.build(experiment.request(settings).members)
    population = initial_population(program)
    list(train(program, population))
    module = program.network.materialise(population.flat[0], population.buffers[0])
    fields = {name: value[0] for name, value in program.fields.items()}
    batch = program.task.batch(program.task.index("val", fields)[:count], fields, random.key(0, "probe"))
    x, y, where = (
        batch.inputs,
        batch.targets,
        pixels((0.0,), (1.0,), dtype=torch.float32, device=batch.inputs.device),
    )
    wrapped = PyTorchClassifier(module, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0.0, 1.0))
    key = random.key(0, "attack")

    def share(points: Tensor) -> float:
        with torch.no_grad():
            return float((module(points).argmax(-1) == y).double().mean())

    for norm, radius in (("linf", 0.05), ("linf", 0.1), ("l2", 0.4), ("l2", 0.8)):
        common = {
            "norm": torch.inf if norm == "linf" else 2,
            "eps": radius,
            "batch_size": count,
            "verbose": False,
        }
        step = 2.5 * radius / 20
        theirs = {
            "pgd": ProjectedGradientDescent(wrapped, eps_step=step, max_iter=20, num_random_init=5, **common),
            "apgd-ce": AutoProjectedGradientDescent(
                wrapped, eps_step=2 * radius, max_iter=100, nb_random_init=1, loss_type="cross_entropy",
                **common
            ),
            "apgd-dlr": AutoProjectedGradientDescent(
                wrapped, eps_step=2 * radius, max_iter=100, nb_random_init=1,
                loss_type="difference_logits_ratio", **common
            ),
        }  # fmt: skip
        options = {"epsilon": radius, "norm": norm, "where": where}
        ours = {
            "pgd": share(pgd(module, x, y, key, steps=20, restarts=5, **options)),
            "apgd-ce": share(apgd(module, x, y, key, steps=100, **options)),
            "apgd-dlr": share(apgd(module, x, y, key, steps=100, loss="dlr", **options)),
        }
        if norm == "linf":
            theirs["square"] = SquareAttack(
                wrapped, eps=radius, max_iter=3000, p_init=0.8, batch_size=count, verbose=False
            )
            ours["square"] = share(square(module, x, y, key, epsilon=radius, where=where, steps=3000))
        for name, mine in ours.items():
            other = share(torch.from_numpy(theirs[name].generate(x.numpy(), y.numpy())).to(x.dtype))
            gap = f"{100 * (mine - other):+.2f} points"
            print(f"{norm} {radius:4} {name:9} epochal {mine:6.2%}   ART {other:6.2%}   {gap}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--art", action="store_true", help="compare with adversarial-robustness-toolbox")
    given = parser.parse_args()
    if given.art:
        against_art(200 if given.quick else 359)
    else:
        speed(32 if given.quick else 256, 3 if given.quick else 7)
