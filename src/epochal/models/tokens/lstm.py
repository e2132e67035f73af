"""LSTM for short token sequences, in matrix products: torch's own has no batching rule for populations.

Source: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000), in the form of ``torch.nn.LSTM``.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.dense import dense
from epochal.models.one_hot import OneHot

Embedding = Literal["auto", "learned", "onehot"]


class LSTM(nn.Module):
    """Tokens ``[B, S]`` to logits ``[B, C]``, read out from the last hidden state of the last layer.

    For an ``answer_length`` T above 1 the last T states give ``[B, T, C]``. ``embedding="onehot"`` feeds
    one-hot vectors to the first layer instead of learned embeddings.

    Sites: ``embed [B, S, D]`` where embeddings are learned; ``layer.l [B, S, D]``, the hidden states of a
    layer, before dropout of rate ``dropout`` between layers (in training); ``readout [B, D]`` (``[B, T,
    D]``). ``layer.l.input`` maps what comes from below to the gates input, forget, cell, output (in this
    order), ``layer.l.recurrent`` the state before it; each has a bias, as in torch.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        num_classes: int,
        width: int,
        depth: int,
        dropout: float = 0.0,
        embedding: Embedding = "auto",
        readout_bias: bool = False,
        answer_length: int = 1,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.answer_length = answer_length
        learned = embedding != "onehot"  # auto is learned
        self.embed = nn.Embedding(vocabulary, width) if learned else None
        self.layer = nn.ModuleList(
            Layer(width, vocabulary=None if place or learned else vocabulary) for place in range(depth)
        )
        self.unembed = nn.Linear(width, num_classes, bias=readout_bias)

    def forward(self, tokens: Int64[Tensor, "B S"], tap: Tap = SILENT) -> Float[Tensor, "B *answer C"]:
        h: Tensor = tokens
        if self.embed is not None:
            h = tap("embed", nn.functional.embedding(tokens, self.embed.weight))
        for place, layer in enumerate(self.layer):
            h = tap(f"layer.{place}", layer(h, tap, f"layer.{place}"))
            if place < len(self.layer) - 1:
                h = tap.dropout(f"layer.{place}", h, self.dropout)
        last = h[:, -1] if self.answer_length == 1 else h[:, -self.answer_length :]
        return dense(self.unembed, tap("readout", last))


class Layer(nn.Module):
    """``c = f c + i g``, ``h = o tanh(c)`` over the positions, from zeros; i, f, o sigmoids, g a tanh.

    With a ``vocabulary`` it takes tokens, as one-hot vectors.
    """

    def __init__(self, width: int, vocabulary: int | None = None) -> None:
        super().__init__()
        # torch draws all weights of an LSTM by its width, however many inputs there are.
        self.input: nn.Linear | OneHot = (
            OneHot(vocabulary, 4 * width, fan_in=width) if vocabulary else nn.Linear(width, 4 * width)
        )
        self.recurrent = nn.Linear(width, 4 * width)

    def forward(self, below: Tensor, tap: Tap, units: str) -> Float[Tensor, "B S D"]:
        # All positions in one product.
        from_below = (
            dense(self.input, below) if isinstance(self.input, nn.Linear) else self.input(below[..., None])
        )
        hidden = from_below.new_zeros(below.shape[0], self.recurrent.in_features)
        cell, states = hidden, []
        for position in range(below.shape[1]):
            gates = tap.before(units, from_below[:, position] + dense(self.recurrent, hidden))
            i, f, g, o = gates.chunk(4, dim=-1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            states.append(hidden)
        return torch.stack(states, dim=1)


model = LSTM
