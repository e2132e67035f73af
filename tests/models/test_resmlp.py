"""The residual MLP against the same network written out in torch's layers, and how it starts."""

import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import recording
from epochal.experiments.catalog import find
from epochal.models.images.resmlp import ResMLP
from epochal.models.initialization import initializer

IMAGES = random.normal(random.key(0, "images"), (6, 3, 4, 4), torch.float64)


class Written(nn.Module):
    """Embed; blocks LN, Linear(d, d), GELU, Linear(d, d); out norm; head."""

    def __init__(self, inputs: int, width: int, classes: int, depth: int, residual: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.out_norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        self.residual = residual

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = [self.embed(images.flatten(1))]
        for block in self.blocks:
            change = block(hidden[-1])
            hidden.append(hidden[-1] + change if self.residual else change)
        return self.head(self.out_norm(hidden[-1])), hidden


def network(inputs: int = 48, classes: int = 7, depth: int = 3, width: int = 8, **rest: object) -> Network:
    arguments = {"num_inputs": inputs, "num_classes": classes, "depth": depth, "width": width, **rest}
    return Network(lambda: ResMLP(**arguments), initializer("torch"))  # type: ignore[arg-type]


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("depth", "classes"), [(0, 2), (1, 7), (4, 10)])
def test_logits_and_sites_are_those_of_the_written_network(depth: int, classes: int, residual: bool) -> None:
    net = network(classes=classes, depth=depth, residual=residual, w2_std=0.3)
    flat = net.init(random.key(1, "init"), torch.float64)[0]
    flat = flat + 0.1 * random.normal(random.key(2, "move"), flat.shape, torch.float64)
    values = list(net.layout.unflatten(flat).values())
    written = Written(48, 8, classes, depth, residual).double()
    own = list(written.parameters())
    assert [tuple(p.shape) for p in own] == [tuple(v.shape) for v in values]
    with torch.no_grad():
        for parameter, value in zip(own, values, strict=True):
            parameter.copy_(value)
        expected, hidden = written(IMAGES)
    tap, seen = recording()
    torch.testing.assert_close(
        net(net.layout.unflatten(flat), {}, IMAGES, tap), expected, rtol=1e-12, atol=1e-12
    )
    assert list(seen) == ["embed", *(f"block.{place}" for place in range(depth))]
    for mine, theirs in zip(seen.values(), hidden, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_it_has_as_many_parameters_as_the_written_network() -> None:
    count = sum(p.numel() for p in Written(3072, 256, 10, 4, True).parameters())
    assert network(3072, 10, 4, 256).layout.size == count == 1_318_154


@pytest.mark.parametrize("scheme", ["torch", "lecun", "orthogonal"])
def test_the_last_weights_of_a_block_start_at_their_own_deviation(scheme: str) -> None:
    build = lambda: ResMLP(num_inputs=5, num_classes=3, depth=2, width=128, w2_std=0.02)  # noqa: E731
    net = Network(build, initializer(scheme))
    values = net.layout.unflatten(net.init(random.key(0, "init"), torch.float64)[0])
    for place in range(2):
        weight = values[f"block.{place}.second.weight"]
        # Kurtosis 3 tells the normal from the uniform distribution (1.8); standard errors 0.6% and 0.04.
        assert abs(weight.std() / 0.02 - 1) < 0.03
        assert abs((weight / weight.std()).pow(4).mean() - 3) < 0.2
        assert values[f"block.{place}.first.weight"].std() > 0.04
    assert not torch.equal(values["block.0.second.weight"], values["block.1.second.weight"])


def test_fields_of_the_experiment_reach_it() -> None:
    settings = {"model": "resmlp", "depth": 3, "width": 6, "residual": "false", "w2_std": 0.5, "threads": 1}
    experiment = find("images")
    made = experiment.build(experiment.request({**settings, "batch_size": 8, "max_steps": 1}).members)
    assert isinstance(made.network.module, ResMLP)
    assert made.network.module.residual is False and len(made.network.module.block) == 3
    assert {getattr(block.second, "initial_std", 0) for block in made.network.module.block} == {0.5}
