"""Decoder-only transformer for short token sequences, as used for algorithmic tasks.

Causal attention, learned or sinusoidal positions, layer norm before, after or nowhere, read-out at the
last position or as the mean over positions. What the read-out cannot see is not computed: with
``readout="last"`` the final block forms queries, attention and MLP at the last position only.

Source: Vaswani et al. 2017; without layer norm and with learned positions, one block and four heads it
is the model of Nanda et al. 2023, appendix A.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.dense import dense

Norm = Literal["none", "pre", "post"]
Activation = Literal["relu", "gelu"]
Position = Literal["learned", "sinusoidal"]
Readout = Literal["last", "mean"]


class Transformer(nn.Module):
    """Tokens ``[B, S]`` to logits ``[B, C]``, or ``[B, T, C]`` of the last T = ``answer_length`` positions.

    Sites: ``embed [B, S, D]``; per block ``block.l.attention [B, Q, S, H]`` (weights that sum to one over
    S), ``block.l.mlp [B, Q, R D]`` (activations), ``block.l [B, Q, D]`` (residual stream after it);
    ``readout [B, D]``. Q is 1 in the last block if only the last position is read, else S.

    In training, dropout of rate ``dropout`` acts on the embedding, the attention weights, and what
    attention and MLP add to the residual stream (Vaswani et al. 2017, section 5.4).
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        sequence_length: int,
        num_classes: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        layer_norm: Norm,
        activation: Activation,
        position: Position,
        readout: Readout,
        dropout: float = 0.0,
        answer_length: int = 1,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.readout = readout
        self.answer_length = answer_length
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(sequence_length, width) if position == "learned" else None
        self.block = nn.ModuleList(
            Block(
                width=width,
                heads=heads,
                hidden=round(mlp_ratio * width),
                layer_norm=layer_norm,
                activation=activation,
                dropout=dropout,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width) if layer_norm == "pre" else None
        self.unembed = nn.Linear(width, num_classes, bias=False)

    def forward(self, tokens: Int64[Tensor, "B S"], tap: Tap = SILENT) -> Float[Tensor, "B *T C"]:
        h = nn.functional.embedding(tokens, self.embed.weight)
        if self.position is not None:
            h = h + self.position.weight
        else:
            h = h + sinusoidal(tokens.shape[1], h.shape[-1], h.dtype, h.device)
        h = tap.dropout("embed", tap("embed", h), self.dropout)
        for place, block in enumerate(self.block):
            is_last = place == len(self.block) - 1
            is_short = self.readout == "last" and self.answer_length == 1
            h = block(h, tap, f"block.{place}", last_only=is_last and is_short)
        if self.readout == "mean":
            h = h.mean(1)
        else:
            h = h.squeeze(1) if self.answer_length == 1 else h[:, -self.answer_length :]
        if self.norm is not None:
            h = self.norm(h)
        return dense(self.unembed, tap("readout", h))


class Block(nn.Module):
    """Attention, then an MLP, each added to the residual stream."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        hidden: int,
        layer_norm: Norm,
        activation: Activation,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.heads = heads
        self.layer_norm = layer_norm
        self.activation = nn.functional.relu if activation == "relu" else nn.functional.gelu
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.norm_attention = nn.LayerNorm(width) if layer_norm != "none" else None
        self.norm_mlp = nn.LayerNorm(width) if layer_norm != "none" else None

    def forward(
        self, h: Float[Tensor, "B S D"], tap: Tap, site: str, *, last_only: bool
    ) -> Float[Tensor, "B Q D"]:
        pre, post = self.layer_norm == "pre", self.layer_norm == "post"
        source = self.norm_attention(h) if pre and self.norm_attention else h
        if last_only:  # sliced once where both are the same: the backward of a slice fills a whole tensor
            h = h[:, -1:]
            queries = source[:, -1:] if pre else h
        else:
            queries = source
        attended = self._attend(queries, source, tap, f"{site}.attention")
        h = h + tap.dropout(f"{site}.attended", attended, self.dropout)
        h = self.norm_attention(h) if post and self.norm_attention else h
        inner = self.norm_mlp(h) if pre and self.norm_mlp else h
        hidden = tap(f"{site}.mlp", self.activation(dense(self.up, inner)))
        h = h + tap.dropout(f"{site}.down", dense(self.down, hidden), self.dropout)
        h = self.norm_mlp(h) if post and self.norm_mlp else h
        return tap(site, h)

    def _attend(
        self, queries: Float[Tensor, "B Q D"], source: Float[Tensor, "B S D"], tap: Tap, site: str
    ) -> Float[Tensor, "B Q D"]:
        # Sequences have a handful of positions: products and sums over whole activations beat thousands
        # of 3 x 32 matrix products, and have a double backward, which fused attention lacks.
        split = (self.heads, queries.shape[-1] // self.heads)
        q = dense(self.query, queries).unflatten(-1, split)[:, :, None]
        k = dense(self.key, source).unflatten(-1, split)[:, None]
        v = dense(self.value, source).unflatten(-1, split)[:, None]
        scores = (q * k).sum(-1) / math.sqrt(split[1])
        if queries.shape[1] > 1:
            scores = scores + _causal(source.shape[1], scores.dtype, scores.device)[:, :, None]
        weights = tap.dropout(site, tap(site, scores.softmax(2)), self.dropout)
        return dense(self.output, (weights[..., None] * v).sum(2).flatten(-2))


@lru_cache(maxsize=32)
def sinusoidal(length: int, width: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "S D"]:
    """Fixed positions: sines in even columns, cosines in odd ones (Vaswani et al. 2017, section 3.5)."""
    column = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10_000.0 ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(device, dtype)


@lru_cache(maxsize=32)
def _causal(length: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "S S"]:
    return torch.full((length, length), -math.inf, dtype=dtype, device=device).triu(1)


model = Transformer
