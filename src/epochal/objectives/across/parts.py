"""A batch's examples by environment or by group: means within each, whatever a batch happens to hold."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.values.errors import UserError


class Means(NamedTuple):
    """``values`` per part, 0 where no example of it has a weight; which is what ``is_present`` tells."""

    values: Float[Tensor, " G"]
    is_present: Bool[Tensor, " G"]

    def mean(self) -> Float[Tensor, ""]:
        """Over the parts that are present, each as heavy."""
        return self.values.sum() / self.is_present.sum().clamp(min=1)

    def variance(self) -> Float[Tensor, ""]:
        """Of the parts that are present, about their mean: 0 where there is one."""
        apart = torch.where(self.is_present, self.values - self.mean(), 0.0)
        return apart.square().sum() / self.is_present.sum().clamp(min=1)


def means_by(factor: str, count: int, values: Float[Tensor, " B"], batch: Batch) -> Means:
    """Weighted means of ``values`` over the examples with each value 0 .. ``count`` - 1 of a factor.

    Raises:
        UserError: the examples have no such factor.
    """
    part = part_of(batch.factors, factor)
    is_in = part[:, None] == torch.arange(count, device=part.device)
    weight = torch.where(is_in, batch.weight[:, None], 0.0).to(values.dtype)
    total = weight.sum(0)
    is_present = total > 0
    return Means((weight * values[:, None]).sum(0) / torch.where(is_present, total, 1.0), is_present)


def part_of(factors: dict[str, Tensor], factor: str) -> Tensor:
    """The values of a factor.

    Raises:
        UserError: there is none.
    """
    if factor not in factors:
        raise UserError(
            f"this objective compares by {factor}, which these examples have none of; they have "
            f"{', '.join(factors) or 'nothing'}: give data with a cue (cue=patch), or another objective"
        )
    return factors[factor]
