"""The part of a network's logits that depends on the sum of the operands, as waves of each frequency.

Logits ``z[i, j, c]`` over all pairs are projected on ``cos(w(i + j))`` and ``sin(w(i + j))``, ``w = 2 pi f /
n``, one class at a time (Nanda et al. 2023, section 5.1). Variances are over pairs and answer classes, of
logits from which the mean over classes (which softmax does not see) and over pairs was taken.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.probes.modular.pairs import Pairs, by_sum, pairs_of
from epochal.probes.modular.shares import share
from epochal.probes.modular.waves import coefficients, waves


@dataclass(frozen=True, eq=False)
class LogitWaves:
    """Logits of all pairs, ``[n, n, C]`` in float64, and what follows from them. Frequencies count from 1."""

    pairs: Pairs
    logits: Float[Tensor, "n n C"]

    @property
    def num_frequencies(self) -> int:
        return self.pairs.group.order // 2

    @cached_property
    def summed(self) -> Float[Tensor, "n C"]:
        """Sum over the pairs of each sum."""
        return by_sum(self.logits).sum(0)

    @cached_property
    def variance(self) -> Float[Tensor, ""]:
        """Total, not mean: the squared length of the centred logits of the answer classes."""
        n = self.pairs.group.order
        answers = self.logits.reshape(n * n, -1).index_select(-1, self.pairs.classes)
        centred = answers - answers.mean(-1, keepdim=True)
        return ((centred - centred.mean(0)) ** 2).sum()

    @cached_property
    def shares(self) -> Float[Tensor, " F"]:
        """Share of the variance in ``cos(w(i + j))`` and ``sin(w(i + j))``, over all classes."""
        answers = self.summed.index_select(-1, self.pairs.classes)
        cosine, sine = coefficients(answers - answers.mean(-1, keepdim=True))
        energy = (cosine**2 + sine**2).sum(-1)[1:] / self.pairs.group.order
        return share(energy, self.variance)

    @cached_property
    def alignment(self) -> Float[Tensor, " F"]:
        """Share of the variance along ``cos(w(i + j - k))``, k the element of the class."""
        n = self.pairs.group.order
        answers = self.summed.index_select(-1, self.pairs.classes)
        k = torch.arange(n, device=answers.device)
        by_distance = answers[(k[:, None] + k) % n, k].sum(-1)  # [distance i + j - k]
        along = (waves(n, answers.device)[0] @ by_distance)[1:] / n
        return share(along**2, self.variance)

    def part(self, is_kept: Bool[Tensor, " F"]) -> Float[Tensor, "n C"]:
        """The part of the logits in the waves of these frequencies, for every sum of operands."""
        n = self.pairs.group.order
        cosines, sines = waves(n, self.logits.device)
        cosine, sine = coefficients(self.summed)
        kept = is_kept.to(cosine.dtype)[:, None]
        return (cosines[1:].T @ (kept * cosine[1:]) + sines[1:].T @ (kept * sine[1:])) / n

    def restricted(self, is_kept: Bool[Tensor, " F"]) -> Float[Tensor, "n C"]:
        """Logits for every sum of operands: the mean over all pairs and the waves of these frequencies."""
        return self.logits.mean((0, 1)) + self.part(is_kept)

    def excluded(self, is_left_out: Bool[Tensor, " F"]) -> Float[Tensor, "n n C"]:
        """Logits of all pairs without the waves of these frequencies."""
        i = torch.arange(self.pairs.group.order, device=self.logits.device)
        return self.logits - self.part(is_left_out)[(i[:, None] + i) % len(i)]


def logit_waves(view: View) -> LogitWaves:
    """Those of a view.

    Raises:
        UserError: its task is no complete table of two operands.
    """
    pairs = pairs_of(view)
    train, val = view.logits("train"), view.logits("val")
    if train.ndim != 2:
        raise UserError(
            f"this probe measures logits [N, C] of one answer; here they are {tuple(train.shape)}"
        )
    n = pairs.group.order
    return LogitWaves(pairs, pairs.arranged(train, val).double().reshape(n, n, -1))
