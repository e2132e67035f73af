"""Area under the ROC by ranks."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def area(score: Float[Tensor, " N"], is_positive: Bool[Tensor, " N"]) -> Float[Tensor, ""]:
    """The chance that a positive example scores above a negative one, ties counting 1/2.

    The Mann-Whitney statistic over the number of pairs, from mid-ranks; NaN without either kind, or where a
    score is not a number.
    """
    score = score.contiguous()
    ordered = score.sort().values
    below = torch.searchsorted(ordered, score)
    up_to = torch.searchsorted(ordered, score, right=True)
    rank = (below + up_to + 1).double() / 2
    positive = is_positive.sum(-1)
    wins = torch.where(is_positive, rank, 0.0).sum(-1) - positive * (positive + 1) / 2
    found = wins / (positive * (score.shape[-1] - positive))
    return torch.where(score.isnan().any(-1), torch.nan, found)
