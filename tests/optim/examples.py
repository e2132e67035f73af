"""Every transform in an example, and what the tests of transforms share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.optim.chain import chain
from epochal.optim.clip import Clip
from epochal.optim.decay import CoupledDecay, DecayToInitial, DecayToZero, JiggledDecay
from epochal.optim.grokfast import GrokfastEMA, GrokfastMA
from epochal.optim.noise import UpdateNoise
from epochal.optim.norm import ConstantNorm
from epochal.optim.optimizers.adam import Adam
from epochal.optim.optimizers.adamw import adamw
from epochal.optim.optimizers.lion import Lion
from epochal.optim.optimizers.muon import Muon, hidden_matrix
from epochal.optim.optimizers.rmsprop import RMSprop
from epochal.optim.optimizers.sgd import SGD
from epochal.optim.orthogonal import OrthogonalGradient
from epochal.optim.route import route
from epochal.optim.schedule import warmed_up

MEMBERS = 3
FIELDS: dict[str, list[float]] = {
    "learning_rate": [1e-3, 0.05, 0.2],
    "weight_decay": [0.0, 0.3, 1.0],
    "beta1": [0.9, 0.0, 0.5],
    "beta2": [0.98, 0.999, 0.5],
    "adam_epsilon": [1e-8, 1e-3, 1e-8],
    "momentum": [0.0, 0.9, 0.5],
    "muon_momentum": [0.95, 0.5, 0.0],
    "rmsprop_alpha": [0.99, 0.9, 0.5],
    "update_noise": [0.0, 0.1, 1.0],
    "grokfast_alpha": [0.98, 0.0, 0.5],
    "grokfast_lambda": [0.0, 2.0, 0.3],
    "gradient_clip": [0.0, 0.1, 3.0],
    "warmup_steps": [0, 1, 25],
}
LAYOUT = Layout.of(
    {
        "embed.weight": (5, 4), "block.up.weight": (6, 4), "block.up.bias": (6,), "block.down.weight": (4, 6),
        "block.gate.weight": (6, 4), "unembed.weight": (3, 4), "gain": (1,),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """``moves_alone``: whether it changes parameters without gradient and without decay."""

    transform: Transform
    moves_alone: bool = False


EXAMPLES: dict[str, Example] = {
    "adam": Example(Adam()),
    "adamw": Example(chain(Clip(), adamw())),
    "clip block": Example(chain(Clip("block"), SGD())),
    "clip tensor": Example(chain(Clip("tensor"), SGD())),
    "constant norm": Example(chain(adamw(), ConstantNorm())),
    "constant norm of tensors": Example(chain(SGD(), ConstantNorm("tensor"))),
    "coupled": Example(chain(CoupledDecay(), Adam())),
    "grokfast ema": Example(chain(GrokfastEMA(), adamw())),
    "grokfast ma": Example(chain(GrokfastMA(window=4), SGD())),
    "jiggled": Example(chain(Adam(), JiggledDecay())),
    "lion": Example(chain(Lion(), DecayToZero())),
    "muon": Example(
        route(LAYOUT, {hidden_matrix: chain(Muon(), DecayToZero()), "*": chain(adamw(), JiggledDecay())})
    ),
    "muon in bfloat16": Example(
        route(LAYOUT, {hidden_matrix: Muon("original", dtype=torch.bfloat16), "*": SGD()})
    ),
    "noise": Example(chain(Adam(), UpdateNoise()), moves_alone=True),
    "orthogonal": Example(chain(OrthogonalGradient(), adamw())),
    "rmsprop": Example(chain(CoupledDecay(), RMSprop())),
    "sgd": Example(SGD()),
    "nesterov": Example(chain(SGD(nesterov=True), DecayToZero())),
    "to initial": Example(chain(Adam(), DecayToInitial())),
}


def columns(fields: Mapping[str, list[float]] = FIELDS) -> dict[str, Tensor]:
    return {name: torch.tensor(values, dtype=torch.float64)[:, None] for name, values in fields.items()}


def starting(layout: Layout = LAYOUT, members: int = MEMBERS, dtype: torch.dtype = torch.float64) -> Tensor:
    return random.normal(random.key(torch.arange(members), "init")[:, None], torch.arange(layout.size), dtype)


def context(
    flat: Tensor,
    *,
    initial: Tensor | None = None,
    fields: Mapping[str, Tensor] | None = None,
    layout: Layout = LAYOUT,
    step: int = 0,
    seeds: Tensor | None = None,
) -> Context:
    """``fields`` are columns; those of ``FIELDS`` where none are given."""
    fields = columns() if fields is None else fields
    seeds = torch.arange(len(flat)) if seeds is None else seeds
    rate = warmed_up(fields, step) if "warmup_steps" in fields else fields["learning_rate"]
    return Context(
        flat=flat, initial=flat if initial is None else initial, layout=layout, fields=fields,
        learning_rate=rate, key=_key(tuple(seeds.tolist()), step), step=step,
    )  # fmt: skip


def gradient(flat: Tensor, step: int, seeds: Tensor) -> Tensor:
    """Of a bumpy well, plus noise: bounded slope, neither constant nor separable."""
    return (
        flat + torch.sin(flat.roll(1, -1)) + _noise(tuple(seeds.tolist()), step, flat.shape[1]).to(flat.dtype)
    )


# Drawn once: type checks make random numbers slow in tests.
@cache
def _key(seeds: tuple[int, ...], step: int) -> Tensor:
    return random.key(torch.tensor(seeds), "step", step)


@cache
def _noise(seeds: tuple[int, ...], step: int, size: int) -> Tensor:
    return random.normal(
        random.key(torch.tensor(seeds), "noise", step)[:, None], torch.arange(size), torch.float64
    )


def steps(
    transform: Transform,
    start: Tensor,
    *,
    first: int = 0,
    until: int,
    flat: Tensor | None = None,
    state: State | None = None,
    fields: Mapping[str, Tensor] | None = None,
    layout: Layout = LAYOUT,
    seeds: Tensor | None = None,
    of: Callable[[Tensor, int, Tensor], Tensor] = gradient,
) -> tuple[Tensor, State]:
    """Parameters and state after the updates ``first .. until - 1``, from ``flat`` (else ``start``)."""
    flat = start.clone() if flat is None else flat.clone()
    state = transform.init(start) if state is None else state
    seeds = torch.arange(len(start)) if seeds is None else seeds
    for step in range(first, until):
        now = context(flat, initial=start, fields=fields, layout=layout, step=step, seeds=seeds)
        delta, state = transform.update(of(flat, step, seeds), state, now)
        flat = flat + delta
    return flat, state
