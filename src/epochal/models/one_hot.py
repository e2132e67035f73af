"""A linear layer on one-hot vectors, as what it is: a sum of the weight rows that tokens name."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class OneHot(nn.Module):
    """``x W + b``, x the one-hot vectors of ``slots`` tokens, one after another: tokens ``[..., slots]`` to
    ``[..., E]``.

    ``weight [slots V, E]`` is the transpose of ``torch.nn.Linear``'s; row ``s V + t`` belongs to token t in
    slot s. No one-hot vector is made: a product with V columns costs V times as much as the rows it picks.
    ``fan_in`` is what initial distributions count as inputs (``slots V`` unless given).
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, vocabulary: int, outputs: int, *, slots: int = 1, bias: bool = True, fan_in: int | None = None
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.fan_in = slots * vocabulary if fan_in is None else fan_in
        self.weight = nn.Parameter(torch.empty(slots * vocabulary, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, tokens: Int64[Tensor, "*lead slots"]) -> Float[Tensor, "*lead E"]:
        first_row = torch.arange(tokens.shape[-1], device=tokens.device) * self.vocabulary
        rows = nn.functional.embedding(tokens + first_row, self.weight)
        summed = rows.squeeze(-2) if tokens.shape[-1] == 1 else rows.sum(-2)
        return summed if self.bias is None else summed + self.bias
