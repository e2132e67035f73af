"""Small networks and populations on which rules with feedback are tried."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson, Memory
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective
from epochal.core.tensors.rule import Rule, gradient_of, initial_memory, surrogate_of
from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.images.mlp import MLP
from epochal.models.initialization import initializer
from epochal.objectives.cross_entropy import cross_entropy

MEMBERS, BATCH, CLASSES = 3, 7, 4
KEYS = random.key(torch.arange(MEMBERS), "step", 5)


class Residual(nn.Module):
    """Embedding, blocks ``h + W2 gelu(W1 LN h)``, norm, head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 5)
        self.norm = nn.ModuleList(nn.LayerNorm(5) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))
        self.out_norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, inputs: Tensor, tap: Tap = SILENT) -> Tensor:
        h = tap("embed", self.embed(inputs))
        for place in range(3):
            h = tap(f"block.{place}", h + self.branch(place, h))
        logits: Tensor = self.head(self.out_norm(h))
        return logits

    def branch(self, place: int, h: Tensor) -> Tensor:
        inner = nn.functional.gelu(self.up[place](self.norm[place](h)))
        found: Tensor = self.down[place](inner)
        return found


class Convolutions(nn.Module):
    """Sites with spatial axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3)
        self.second = nn.Conv2d(3, 2, 2)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, images: Tensor, tap: Tap = SILENT) -> Tensor:
        h = tap("first", torch.tanh(self.first(images)))
        h = tap("second", torch.tanh(self.second(h)))
        logits: Tensor = self.head(h.flatten(1))
        return logits


def network(build: Callable[[], nn.Module]) -> Network:
    return Network(build, initializer("torch"))


RESIDUAL, CONVOLUTIONS = network(Residual), network(Convolutions)
PLAIN = network(lambda: MLP(num_inputs=6, num_classes=CLASSES, depth=2, width=5, activation="tanh"))
SHAPES = {RESIDUAL: (6,), CONVOLUTIONS: (1, 5, 5), PLAIN: (6,)}


def batches(net: Network) -> Batch:
    """Of all members, ``[M, B, ...]``; the last example weighs half."""
    key = random.key(11, "batch")
    inputs = random.normal(key, (MEMBERS, BATCH, *SHAPES[net]), torch.float64)
    targets = (random.uniform(random.fold(key, 1), (MEMBERS, BATCH), torch.float64) * CLASSES).long()
    weight = torch.ones(MEMBERS, BATCH, dtype=torch.float64)
    weight[:, -1] = 0.5
    return Batch(inputs=inputs, targets=targets, weight=weight, factors={})


def of_member(batch: Batch, member: int) -> Batch:
    return Batch(batch.inputs[member], batch.targets[member], batch.weight[member], {})


def start(net: Network) -> Tensor:
    """Far enough from zero for every derivative to matter."""
    keys = [random.key(member, "init") for member in range(MEMBERS)]
    return torch.stack([net.init(key, torch.float64, scale=2.0)[0] for key in keys])


def memories(rule: Rule, net: Network) -> Memory:
    flat, batch = start(net), batches(net)
    kept = [
        initial_memory(
            rule,
            net,
            net.layout.unflatten(flat[member]),
            {},
            Batch(batch.inputs[member][:1], batch.targets[member][:1], batch.weight[member][:1], {}),
            random.key(member, "feedback"),
        )
        for member in range(MEMBERS)
    ]
    return {name: torch.stack([one[name] for one in kept]) for name in kept[0]}


def gradients(
    rule: Rule,
    net: Network,
    objective: Objective = cross_entropy,
    memory: Memory | None = None,
    fields: Mapping[str, Tensor] = {},
) -> Tensor:
    """As the engine takes them: all members under ``vmap``, one backward."""
    kept = memories(rule, net) if memory is None else memory

    def one(flat: Tensor, x: Tensor, t: Tensor, w: Tensor, key: Tensor, own: Any) -> Any:
        params = net.layout.unflatten(flat)
        lesson = Lesson(objective, net, params, {}, Batch(x, t, w, {}), fields, key, memory=own)
        return surrogate_of(rule)(lesson)

    def surrogates(flat: Tensor) -> Any:
        b = batches(net)
        return torch.vmap(one)(flat, b.inputs, b.targets, b.weight, KEYS, kept)

    return gradient_of(rule, surrogates, start(net), {}, KEYS).gradient
