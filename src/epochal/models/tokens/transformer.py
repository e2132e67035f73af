"""Decoder-only transformer for short token sequences, as used for algorithmic tasks.

Causal attention, learned or sinusoidal positions, layer norm before, after or nowhere, read-out at the
last positions or as the mean over positions. What the read-out cannot see is not computed: with
``readout="last"`` the final block forms queries, attention and MLP at the last positions only.

Source: Vaswani et al. 2017. With the fields of the preset of that name it is the network of MIML-grokking, of
openai/grok (Power et al. 2022), of Nanda et al. 2023 (appendix A) or of Grokfast (Lee et al. 2024), number by
number of parameters.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from epochal.core.tensors.constant import constant
from epochal.core.tensors.tap import SILENT, Tap
from epochal.core.values.errors import UserError
from epochal.models.attention import causal_attention
from epochal.models.dense import dense

Norm = Literal["none", "pre", "post", "input"]
Activation = Literal["relu", "gelu"]
Position = Literal["learned", "sinusoidal"]
Readout = Literal["last", "mean"]
DropoutAt = Literal["all", "mlp"]


class Transformer(nn.Module):
    """Tokens ``[B, S]`` to logits ``[B, C]``, or ``[B, T, C]`` for an ``answer_length`` T above 1.

    Sites: ``embed [B, S, D]``; per block ``block.l.attention [B, Q, S, H]`` (weights that sum to one over
    S), ``block.l.mlp [B, Q, R D]`` (activations), ``block.l [B, Q, D]`` (residual stream after it);
    ``readout [B, D]`` (``[B, T, D]``). Q is T in the last block if only the last T positions are read, else
    S.

    In training, dropout of rate ``dropout`` acts on the embedding, the attention weights, and what
    attention and MLP add to the residual stream (Vaswani et al. 2017, section 5.4); with
    ``dropout_at="mlp"`` on what the MLP adds only (openai/grok).

    ``layer_norm``: ``post`` normalises the sum of stream and branch, ``pre`` what a branch gets, ``input`` is
    ``pre`` where the stream too goes on from the normalised input of a block (Grokfast's code). ``pre`` and
    ``input`` end with one more.

    Raises:
        UserError: the mean over positions is one answer, not several.
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
        dropout_at: DropoutAt = "all",
        mlp_bias: bool = True,
        attention_bias: bool = False,
        answer_length: int = 1,
    ) -> None:
        super().__init__()
        if readout == "mean" and answer_length > 1:
            raise UserError(
                f"readout=mean gives one answer, the task asks for {answer_length}: give readout=last"
            )
        self.dropout = dropout if dropout_at == "all" else 0.0
        self.num_read = answer_length if readout == "last" else 0
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
                dropout_at=dropout_at,
                mlp_bias=mlp_bias,
                attention_bias=attention_bias,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width) if layer_norm in ("pre", "input") else None
        self.unembed = nn.Linear(width, num_classes, bias=False)

    def forward(self, tokens: Int64[Tensor, "B S"], tap: Tap = SILENT) -> Float[Tensor, "B *answer C"]:
        h = nn.functional.embedding(tokens, self.embed.weight)
        if self.position is not None:
            h = h + self.position.weight
        else:
            h = h + sinusoidal(tokens.shape[1], h.shape[-1], h.dtype, h.device)
        h = tap.dropout("embed", tap("embed", h), self.dropout)
        for place, block in enumerate(self.block):
            is_last = place == len(self.block) - 1
            h = block(h, tap, f"block.{place}", num_read=self.num_read if is_last else 0)
        if self.num_read == 0:
            h = h.mean(1)
        elif self.num_read == 1:
            h = h.squeeze(1)
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
        dropout_at: DropoutAt,
        mlp_bias: bool,
        attention_bias: bool,
    ) -> None:
        super().__init__()
        self.dropout_mlp = dropout
        self.dropout = dropout if dropout_at == "all" else 0.0
        self.heads = heads
        self.layer_norm = layer_norm
        self.activation = torch.relu_ if activation == "relu" else nn.functional.gelu
        self.query = nn.Linear(width, width, bias=attention_bias)
        self.key = nn.Linear(width, width, bias=attention_bias)
        self.value = nn.Linear(width, width, bias=attention_bias)
        self.output = nn.Linear(width, width, bias=attention_bias)
        self.up = nn.Linear(width, hidden, bias=mlp_bias)
        self.down = nn.Linear(hidden, width, bias=mlp_bias)
        self.norm_attention = nn.LayerNorm(width) if layer_norm != "none" else None
        self.norm_mlp = nn.LayerNorm(width) if layer_norm != "none" else None

    def forward(
        self, h: Float[Tensor, "B S D"], tap: Tap, site: str, *, num_read: int
    ) -> Float[Tensor, "B Q D"]:
        """``num_read``: how many of the last positions are formed; 0 is all."""
        pre, post = self.layer_norm in ("pre", "input"), self.layer_norm == "post"
        source = self.norm_attention(h) if pre and self.norm_attention else h
        h = source if self.layer_norm == "input" else h
        if num_read:  # sliced once where both are the same: the backward of a slice fills a whole tensor
            h, stream = h[:, -num_read:], h
            queries = h if source is stream else source[:, -num_read:]
        else:
            queries = source
        attended = self._attend(queries, source, tap, f"{site}.attention")
        h = h + tap.dropout(f"{site}.attended", attended, self.dropout)
        h = self.norm_attention(h) if post and self.norm_attention else h
        inner = self.norm_mlp(h) if pre and self.norm_mlp else h
        # As rows, the shape of the products before and after: compiled, the non-linearity is part of their
        # kernels then; otherwise it works in place, in memory that the product has just written.
        rows = dense(self.up, inner.flatten(0, 1))
        tap.before(f"{site}.mlp", rows.unflatten(0, inner.shape[:-1]))
        hidden = tap(f"{site}.mlp", self.activation(rows).unflatten(0, inner.shape[:-1]))
        h = h + tap.dropout(f"{site}.down", dense(self.down, hidden), self.dropout_mlp)
        h = self.norm_mlp(h) if post and self.norm_mlp else h
        return tap(site, h)

    def _attend(
        self, queries: Float[Tensor, "B Q D"], source: Float[Tensor, "B S D"], tap: Tap, site: str
    ) -> Float[Tensor, "B Q D"]:
        # Sequences have a handful of positions: products and sums over whole activations beat thousands
        # of 3 x 32 matrix products, and have a double backward, which fused attention lacks. A pass that only
        # trains needs neither that nor the weights.
        q, k, v = dense(self.query, queries), dense(self.key, source), dense(self.value, source)
        if queries.shape[1] > 1 and tap.training and tap.edit is None and self.dropout == 0:
            return dense(self.output, causal_attention(q, k, v, self.heads))
        split = (self.heads, queries.shape[-1] // self.heads)
        q, k, v = (
            q.unflatten(-1, split)[:, :, None],
            k.unflatten(-1, split)[:, None],
            v.unflatten(-1, split)[:, None],
        )
        scores = (q * k).sum(-1) / math.sqrt(split[1])
        if queries.shape[1] > 1:
            mask = _causal(source.shape[1], scores.dtype, scores.device)[-queries.shape[1] :]
            scores = scores + mask[:, :, None]
        weights = tap.dropout(site, tap(site, scores.softmax(2)), self.dropout)
        return dense(self.output, (weights[..., None] * v).sum(2).flatten(-2))


@constant(maxsize=32)
def sinusoidal(length: int, width: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "S D"]:
    """Fixed positions: sines in even columns, cosines in odd ones (Vaswani et al. 2017, section 3.5)."""
    column = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10_000.0 ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(device, dtype)


@constant(maxsize=32)
def _causal(length: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "S S"]:
    return torch.full((length, length), -math.inf, dtype=dtype, device=device).triu(1)


model = Transformer
