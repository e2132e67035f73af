"""Every transform that torch has agrees with torch: float64, 1e-12 over 100 steps, members apart."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context, Transform
from epochal.optim.adamw import AdamW
from epochal.optim.chain import chain
from epochal.optim.clip import Clip
from epochal.optim.schedule import warmed_up

FIELDS: dict[str, list[float]] = {
    "learning_rate": [1e-3, 0.05, 0.2],
    "weight_decay": [0.0, 0.3, 1.0],
    "beta1": [0.9, 0.0, 0.5],
    "beta2": [0.98, 0.999, 0.5],
    "epsilon": [1e-8, 1e-3, 1e-8],
    "gradient_clip": [0.0, 0.1, 3.0],
    "warmup_steps": [0, 1, 25],
}
MEMBERS, SIZE, STEPS = 3, 20, 100
LAYOUT = Layout.of({"weight": (4, 5)})


def gradient(flat: Tensor, step: int) -> Tensor:
    """Of a quartic well plus noise: neither constant nor separable."""
    noise = random.normal(
        random.key(torch.arange(MEMBERS), "noise", step)[:, None], torch.arange(SIZE), torch.float64
    )
    return flat**3 + flat.roll(1, -1) + noise


def ours(transform: Transform, start: Tensor) -> Tensor:
    columns = {name: torch.tensor(values, dtype=torch.float64)[:, None] for name, values in FIELDS.items()}
    flat, state = start.clone(), transform.init(start)
    for step in range(STEPS):
        context = Context(
            flat=flat, initial=start, layout=LAYOUT, fields=columns, learning_rate=warmed_up(columns, step),
            key=random.key(torch.arange(MEMBERS), "update", step), step=step,
        )  # fmt: skip
        delta, state = transform.update(gradient(flat, step), state, context)
        flat = flat + delta
    return flat


def theirs(
    make: Callable[[Tensor, Mapping[str, float]], torch.optim.Optimizer], start: Tensor, *, clip: bool
) -> Tensor:
    """torch's own, one member at a time, with its own warm-up and clipping."""
    ends = []
    for member in range(MEMBERS):
        fields = {name: values[member] for name, values in FIELDS.items()}
        parameter = torch.nn.Parameter(start[member].clone())
        optimizer = make(parameter, fields)
        for step in range(STEPS):
            ramp = min(1.0, (step + 1) / fields["warmup_steps"]) if fields["warmup_steps"] else 1.0
            optimizer.param_groups[0]["lr"] = fields["learning_rate"] * ramp
            everyone = torch.zeros(MEMBERS, SIZE, dtype=torch.float64)
            everyone[member] = parameter.detach()
            parameter.grad = gradient(everyone, step)[member]
            if clip and fields["gradient_clip"] > 0:
                torch.nn.utils.clip_grad_norm_([parameter], fields["gradient_clip"])
            optimizer.step()
        ends.append(parameter.detach())
    return torch.stack(ends)


def adamw(parameter: Tensor, fields: Mapping[str, float]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [parameter],
        betas=(fields["beta1"], fields["beta2"]),
        eps=fields["epsilon"],
        weight_decay=fields["weight_decay"],
    )


@pytest.mark.parametrize("clip", [False, True])
def test_adamw_agrees_with_torch(clip: bool) -> None:
    start = random.normal(
        random.key(torch.arange(MEMBERS), "init")[:, None], torch.arange(SIZE), torch.float64
    )
    transform = chain(Clip(), AdamW()) if clip else chain(AdamW())
    torch.testing.assert_close(
        ours(transform, start), theirs(adamw, start, clip=clip), rtol=1e-12, atol=1e-12
    )


def test_clip_leaves_small_gradients_alone_and_bounds_large_ones() -> None:
    columns = {"gradient_clip": torch.tensor([[0.0], [1.0], [100.0]], dtype=torch.float64)}
    context = Context(
        flat=torch.zeros(3, 2), initial=torch.zeros(3, 2), layout=LAYOUT, fields=columns,
        learning_rate=torch.ones(3, 1), key=random.key(0, "update"), step=0,
    )  # fmt: skip
    given = torch.tensor([[30.0, 40.0]] * 3)
    clipped, _ = Clip().update(given.clone(), {}, context)
    assert torch.equal(clipped[0], given[0]) and torch.equal(clipped[2], given[2])
    torch.testing.assert_close(clipped[1], torch.tensor([0.6, 0.8]), rtol=1e-6, atol=0)


def test_float32_hyperparameters_are_derived_in_float64() -> None:
    """A first AdamW step is the rate exactly, whatever beta2: 1 - 0.999 in float32 is off by 1.3e-5."""
    columns = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in
               {"beta1": 0.9, "beta2": 0.9999, "epsilon": 1e-30, "weight_decay": 0.0}.items()}  # fmt: skip
    context = Context(
        flat=torch.zeros(1, 4), initial=torch.zeros(1, 4), layout=LAYOUT, fields=columns,
        learning_rate=torch.ones(1, 1, dtype=torch.float64), key=random.key(0, "update"), step=0,
    )  # fmt: skip
    transform = AdamW()
    delta, _ = transform.update(
        torch.tensor([[1.0, -2.0, 1e-3, 50.0]]), transform.init(context.flat), context
    )
    torch.testing.assert_close(delta, torch.tensor([[-1.0, 1.0, -1.0, -1.0]]), rtol=5e-7, atol=0)
