"""Direct random target projection: blocks are told the target itself, before there is any output."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.lesson import Lesson
from epochal.rules.dfa import DFA


@dataclass(frozen=True)
class DRTP(DFA):
    """``dfa`` with each example's one-hot target in place of its error: ``a_l = y B_l^T``.

    The error's sign is fixed by the target, so the target can stand for it; the sign of B carries no meaning.
    The head learns by its own gradient. As the target does not vanish, blocks are pushed for ever.

    Source: Frenkel, Lefebvre & Bol 2021, equation 4, whose B is uniform instead of normal.
    """

    called: ClassVar[str] = "drtp"

    def message(self, error: Float[Tensor, "B C"], lesson: Lesson) -> Float[Tensor, "B C"]:
        """The target as a one-hot vector."""
        classes = torch.arange(error.shape[-1], device=error.device)
        return (classes == lesson.batch.targets[:, None]).to(error.dtype)


rule = DRTP
