"""LSTM for short token sequences, in matrix products: torch's own has no batching rule for populations.

Source: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000), in the form of ``torch.nn.LSTM``.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.dense import dense


class LSTM(nn.Module):
    """Tokens ``[B, S]`` to logits ``[B, C]``, read out from the last hidden state of the last layer.

    Sites: ``embed [B, S, D]``; ``layer.l [B, S, D]``, the hidden states of a layer, before dropout of rate
    ``dropout`` between layers (in training); ``readout [B, D]``. ``layer.l.input`` maps what comes from below
    to the gates input, forget, cell, output (in this order), ``layer.l.recurrent`` the state before it; each
    has a bias, as in torch.
    """

    def __init__(
        self, *, vocabulary: int, num_classes: int, width: int, depth: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.embed = nn.Embedding(vocabulary, width)
        self.layer = nn.ModuleList(Layer(width) for _ in range(depth))
        self.unembed = nn.Linear(width, num_classes, bias=False)

    def forward(self, tokens: Int64[Tensor, "B S"], tap: Tap = SILENT) -> Float[Tensor, "B C"]:
        h = tap("embed", nn.functional.embedding(tokens, self.embed.weight))
        for place, layer in enumerate(self.layer):
            h = tap(f"layer.{place}", layer(h))
            if place < len(self.layer) - 1:
                h = tap.dropout(f"layer.{place}", h, self.dropout)
        return dense(self.unembed, tap("readout", h[:, -1]))


class Layer(nn.Module):
    """``c = f c + i g``, ``h = o tanh(c)`` over the positions, from zeros; i, f, o sigmoids, g a tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(width, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width)

    def forward(self, below: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        from_below = dense(self.input, below)  # all positions in one product
        hidden = torch.zeros_like(below[:, 0])
        cell, states = hidden, []
        for position in range(below.shape[1]):
            gates = from_below[:, position] + dense(self.recurrent, hidden)
            i, f, g, o = gates.chunk(4, dim=-1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            states.append(hidden)
        return torch.stack(states, dim=1)


model = LSTM
