"""Images in the engine: a pack trains as its members do alone, with batch norm, dropout and augmentation."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from epochal import probes
from epochal.core.tensors.network import Network
from epochal.core.tensors.transform import Context
from epochal.core.values.schedule import Schedule
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.train import train
from epochal.models.images.mlp import MLP
from epochal.models.initialization import initializer
from epochal.models.resnet import PreActivationResNet18, ResNet18
from epochal.objectives.cross_entropy import cross_entropy
from epochal.rules.backprop import Backprop
from epochal.tasks.datasets.digits import load_digits
from epochal.tasks.images import Images

DIGITS = load_digits()
CPU = torch.device("cpu")
Kind = Literal["mlp", "resnet", "pre-activation"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose by a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(kind: Kind) -> torch.nn.Module:
    if kind == "mlp":
        return MLP(num_inputs=64, num_classes=10, depth=2, width=32)
    if kind == "resnet":
        return ResNet18(num_classes=10, in_channels=1, width=2, stem="small")
    return PreActivationResNet18(num_classes=10, in_channels=1, width=2)


class Descent:
    """Plain gradient descent: these tests are not about optimisers."""

    def init(self, flat: Tensor) -> dict[str, Tensor]:
        return {}

    def update(
        self, delta: Tensor, state: dict[str, Tensor], context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return -context.learning_rate.to(delta.dtype) * delta, state


def program(kind: Kind, seeds: list[int], *, dtype: torch.dtype = torch.float64, **changes: Any) -> Program:
    of_seeds = torch.tensor(seeds)
    fields = {f"{stream}_seed": of_seeds for stream in ("split", "init", "order")} | {"seed": of_seeds}
    given: dict[str, Any] = {
        "network": Network(lambda: network(kind), initializer("torch")),
        "task": Images(
            image_set=DIGITS, dtype=dtype, device=CPU, n_train=64, held_out_fraction=0.02, crop_padding=1,
            flip=True,
        ),
        "objective": cross_entropy,
        "rule": Backprop(),
        "transform": Descent(),
        "learning_rate": lambda columns, step: torch.full((len(seeds), 1), 0.05, dtype=torch.float64),
        "fields": fields,
        "batch_size": 16,
        "max_steps": 10,
        "probes": tuple((probes.find(name).configured(), Schedule(every=5)) for name in ("loss", "accuracy")),
        "snapshots": Schedule(),
        "dtype": dtype,
        "device": CPU,
    }  # fmt: skip
    return Program(**(given | changes))


def trained(made: Program) -> tuple[Population, list[Any]]:
    population = initial_population(made)
    return population, list(train(made, population))


@pytest.mark.parametrize("kind", ["mlp", "resnet", "pre-activation"])
def test_a_member_alone_is_the_same_member_in_a_pack(kind: Kind) -> None:
    together, _ = trained(program(kind, [4, 5, 6]))
    for member, seed in enumerate((4, 5, 6)):
        alone, _ = trained(program(kind, [seed]))
        torch.testing.assert_close(together.flat[member], alone.flat[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.buffers[member], alone.buffers[0], rtol=1e-9, atol=1e-9)
    if kind != "mlp":
        fresh = initial_population(program(kind, [4, 5, 6])).buffers
        assert ((together.buffers - fresh).abs() > 1e-6).double().mean() > 0.9, "statistics moved"


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_probes_change_nothing_and_a_resumed_run_is_the_same(kind: Kind) -> None:
    made = program(kind, [1, 2])
    whole, _ = trained(made)
    unseen, _ = trained(program(kind, [1, 2], probes=()))
    half, _ = trained(program(kind, [1, 2], max_steps=4))
    kept = {name: value.clone() for name, value in half.tensors().items()}
    resumed = initial_population(made).restored(4, kept)
    for _ in train(made, resumed):
        pass
    for other in (unseen, resumed):
        assert torch.equal(whole.flat, other.flat) and torch.equal(whole.buffers, other.buffers)


def test_an_mlp_learns_digits() -> None:
    task = Images(image_set=DIGITS, dtype=torch.float32, device=CPU)
    made = program("mlp", [0, 1], dtype=torch.float32, task=task, batch_size=128, max_steps=300)
    _, moments = trained(made)
    accuracy = moments[-1].record["val_accuracy"]
    assert (accuracy > 0.9).all(), accuracy


def test_training_sees_augmented_images_and_evaluation_does_not() -> None:
    plain = Images(image_set=DIGITS, dtype=torch.float64, device=CPU, n_train=64, held_out_fraction=0.02)
    augmented_run, augmented = trained(program("mlp", [1, 2]))
    plain_run, untouched = trained(program("mlp", [1, 2], task=plain))
    assert (augmented_run.flat != plain_run.flat).any()
    assert (augmented[0].record["train_loss"] == untouched[0].record["train_loss"]).all()
