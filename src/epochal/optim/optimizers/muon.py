"""Muon: momentum whose singular values are made equal."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Entry, Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.core.values.optimization import Optimization
from epochal.optim.optimizers.adam import Adam
from epochal.optim.route import route

Scale = Literal["original", "match_rms_adamw"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic: a steep slope at zero, at the price that singular values end near 1, not at 1."""
NUM_ITERATIONS = 5
SMALLEST_NORM = 1e-7


@dataclass(frozen=True)
class Muon:
    """``b = mu b + (1 - mu) g``, then ``-lr s O``, mu = ``muon_momentum``. Reads ``muon_momentum``.

    O is ``(1 - mu) g + mu b`` (b without ``nesterov``) with its singular values brought near 1 by five
    Newton-Schulz steps. It has no size of its own: a gradient of any size gives the same step. mu lies in
    [0, 1). A tensor [A, ...] counts as a matrix [A, B]. ``scale`` says what s is: "match_rms_adamw"
    0.2 sqrt(max(A, B)), an update about as large as AdamW's, so that one learning rate serves both;
    "original" sqrt(max(1, A / B)). State: ``momentum`` [M, P].

    Every tensor that it gets must be a matrix: use it through ``route(layout, {hidden_matrix: ...})``.
    Tensors of one shape share their products.

    Raises:
        ValueError: a tensor has fewer than two dimensions.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); scale: Liu et al. 2025
    (arXiv:2502.16982), section 2.2. ``chain(Muon("original"), DecayToZero())`` is ``torch.optim.Muon``,
    except that torch iterates in bfloat16 whatever the parameters are; ``dtype=torch.bfloat16`` does so too,
    None keeps theirs.
    """

    scale: Scale = "match_rms_adamw"
    nesterov: bool = True
    dtype: torch.dtype | None = None

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"momentum": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        mu = context.fields["muon_momentum"]
        running = state["momentum"].lerp_(delta, (1 - mu).to(delta.dtype))
        # Its own tensor either way: the result is written into delta below.
        ahead = delta.lerp(running, mu.to(delta.dtype)) if self.nesterov else running
        for (rows, columns), entries in _by_shape(context.layout).items():
            stacked = torch.cat([ahead[:, entry.slice] for entry in entries])
            matrices = stacked.reshape(-1, rows, columns).to(self.dtype or delta.dtype)
            results = orthogonalised(matrices).to(delta.dtype).reshape(len(entries), len(delta), -1)
            factor = (-context.learning_rate * _scale(self.scale, rows, columns)).to(delta.dtype)
            for entry, result in zip(entries, results, strict=True):
                torch.mul(result, factor, out=delta[:, entry.slice])
        return delta, state


def orthogonalised(matrices: Float[Tensor, "N A B"]) -> Float[Tensor, "N A B"]:
    """``U p(S) V^T`` for ``U S V^T``, p five times ``a s + b s^3 + c s^5``; S of Frobenius norm 1."""
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices  # the smaller Gram matrix
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=SMALLEST_NORM)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def hidden_matrix(entry: Entry) -> bool:
    """Whether Muon suits a tensor: a matrix or kernel that is no embedding and no read-out, told by name."""
    return len(entry.shape) >= 2 and NOT_HIDDEN.isdisjoint(entry.name.split("."))


NOT_HIDDEN = frozenset({"embed", "embedding", "position", "unembed", "readout", "head", "classifier", "fc"})


def _scale(scale: Scale, rows: int, columns: int) -> float:
    if scale == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))


def _by_shape(layout: Layout) -> dict[tuple[int, int], list[Entry]]:
    shapes: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    for entry in layout.entries:
        if len(entry.shape) < 2:
            raise ValueError(
                f"Muon needs matrices, {entry.name} has shape {entry.shape}: route it to another transform"
            )
        shapes[entry.shape[0], math.prod(entry.shape[1:])].append(entry)
    return shapes


def optimizer(spec: Optimization, layout: Layout) -> Transform:
    """Muon for hidden matrices, Adam for all else."""
    return route(layout, {hidden_matrix: Muon(), "*": Adam()})
