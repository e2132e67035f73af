"""Residual MLP: a stream of one width, to which every block adds what it makes of it."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.dense import dense


class ResMLP(nn.Module):
    """Inputs ``[B, ...]`` to logits ``[B, C]``: embedding, ``depth`` blocks, layer norm, read-out.

    ``h_0 = E x``, ``h_{l+1} = h_l + f_l(h_l)`` with ``f_l(h) = W2 gelu(W1 norm(h))``, logits ``R norm(h_L)``;
    ``residual=False`` leaves out the ``h_l +``. All linear maps have biases, all norms gains and shifts.
    Weights of ``W2`` start as N(0, ``w2_std``^2), everything else as the scheme of initialisation has it.

    Sites: ``embed [B, D]`` (h_0) and ``block.l [B, D]`` (h_{l+1}), the residual stream.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        num_classes: int,
        depth: int,
        width: int,
        residual: bool = True,
        w2_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.embed = nn.Linear(num_inputs, width)
        self.block = nn.ModuleList(Block(width, w2_std) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, num_classes)

    def forward(self, inputs: Float[Tensor, "B ..."], tap: Tap = SILENT) -> Float[Tensor, "B C"]:
        h = tap("embed", tap.enter(partial(dense, self.embed), inputs.flatten(1)))
        for place, block in enumerate(self.block):
            change = block(h, tap, f"block.{place}")
            h = tap(f"block.{place}", h + change if self.residual else change)
        return dense(self.readout, self.norm(h))


class Block(nn.Module):
    """``W2 gelu(W1 norm(h))``; ``initial_std`` of W2 is read by the initialisation."""

    def __init__(self, width: int, w2_std: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.second = GaussianLinear(width, width, initial_std=w2_std)

    def forward(self, h: Float[Tensor, "B D"], tap: Tap = SILENT, units: str = "") -> Float[Tensor, "B D"]:
        hidden = tap.before(units, dense(self.first, self.norm(h)))
        return dense(self.second, torch.nn.functional.gelu(hidden))


class GaussianLinear(nn.Linear):
    """A linear map whose weights start as N(0, ``initial_std``^2) in every scheme of initialisation."""

    def __init__(self, inputs: int, outputs: int, *, initial_std: float) -> None:
        super().__init__(inputs, outputs)
        self.initial_std = initial_std


model = ResMLP
