"""Curvature of the training loss: extreme eigenvalues of its Hessian, and its trace."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import probe
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options
from epochal.probes.curvature.lanczos import ritz_values


class HessianOptions(Options):
    """On which examples, and how exactly."""

    split: Split = Field(default="train", description="train, val or test")
    samples: int = Field(default=1024, ge=1, description="examples, or all where there are fewer")
    eigenvalues: int = Field(default=3, ge=1, le=100, description="how many of the largest")
    iterations: int = Field(default=30, ge=1, le=1000, description="of Lanczos's method; each keeps a vector")
    draws: int = Field(default=16, ge=2, le=10_000, description="random vectors for the trace")


@probe(
    columns={"top_eigenvalues": 1, "smallest_eigenvalue": 0, "trace": 0, "trace_error": 0},
    unit="nat",
    low=-math.inf,
    high=math.inf,
    null="0, where the loss is linear",
    cost="iterations + draws products with the Hessian, each about two gradients of `samples` examples",
    source="Lanczos 1950 and Hutchinson 1990, on Pearlmutter's 1994 products; as Ghorbani et al. 2019",
)
def hessian(options: HessianOptions, view: View) -> dict[str, Tensor]:
    """``top_eigenvalues``: the largest, descending (NaN beyond the number of parameters); of the objective.

    Lanczos's values never leave the spectrum: the largest is a lower bound of the true one, the smallest an
    upper bound, exact with as many iterations as parameters. ``trace`` is the mean of z^T H z over vectors of
    random signs, ``trace_error`` its standard error: 0 where H is diagonal, or near 0 where one vector says
    what all say. NaN where the parameters are not finite.
    """
    batch = view.drawn(options.split, options.samples)
    flat = view.flat
    key = random.key(view.fields.get("seed", 0), "hessian").to(flat.device)

    def loss(at: Tensor) -> Tensor:
        return view.loss_on(batch, at)

    pulled: Any = torch.func.vjp(torch.func.grad(loss), flat)

    def product(vector: Tensor) -> Tensor:
        found: Tensor = pulled[1](vector)[0]
        return found

    values = ritz_values(product, key, flat.shape[-1], options.iterations, flat.dtype)
    missing = values.new_full((max(0, options.eigenvalues - len(values)),), math.nan)
    exact = wide(flat.device)
    traces = []
    for draw in range(options.draws):
        signs = random.bernoulli(random.fold(random.fold(key, "trace"), draw), tuple(flat.shape), 0.5)
        vector = torch.where(signs.to(flat.device), 1.0, -1.0).to(flat.dtype)
        traces.append((vector.to(exact) * product(vector).to(exact)).sum())
    each = torch.stack(traces)
    return {
        "top_eigenvalues": torch.cat([values.flip(0)[: options.eigenvalues], missing]),
        "smallest_eigenvalue": values[0],
        "trace": each.mean(),
        "trace_error": each.std() / math.sqrt(options.draws),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    place = {"w": torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)}
    scale = torch.tensor([5.0, -1.0, 2.0, 2.0], dtype=torch.float64)
    view = GivenView(
        given_params=place,
        given_inputs={"train": torch.zeros(2, 1)},
        given_targets={"train": [0, 1]},
        given_loss=lambda flat: (scale * flat**2).sum() / 2 + flat.sum(),
    )
    # A double eigenvalue among them.
    yield (
        view,
        {
            "top_eigenvalues": [5.0, 2.0, 2.0],
            "smallest_eigenvalue": -1.0,
            "trace": 8.0,
            "trace_error": 0.0,
        },
    )
