"""What is looked at while chains run: positions, and a function of them."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from epochal.core.values.errors import UserError

if TYPE_CHECKING:
    from epochal.samplers.chains import Setting

Observe = Callable[[Tensor], Tensor]
"""``positions [..., chains, d] -> [..., chains, *O]``, at every kept step."""


class Kept:
    """Gathers positions ``[R, S, d]`` and observations ``[R, S, *O]`` of every ``thinning``-th step."""

    def __init__(self, setting: "Setting") -> None:
        self._setting = setting
        self._positions: list[Tensor] = []
        self._observed: list[Tensor] = []

    @property
    def steps(self) -> range:
        made = self._setting
        return range(made.burn_in, made.num_steps, made.thinning)

    def look(self, w: Tensor, number: int) -> None:
        """At the positions ``[R, d]`` of a step, before it is made."""
        made = self._setting
        if number not in self.steps:
            return
        if made.keeps:
            self._positions.append(w.clone())
        if made.observe is not None:
            seen = made.observe(w.reshape(*made.lead, w.shape[-1]))
            if seen.shape[: len(made.lead)] != made.lead:
                raise UserError(
                    f"observe gives {tuple(seen.shape)} for chains {made.lead}: it must begin with these"
                )
            self._observed.append(seen.detach().reshape(len(w), *seen.shape[len(made.lead) :]).clone())

    def tensors(self, diverged: Mapping[int, int], like: Tensor) -> tuple[Tensor, Tensor | None]:
        """Both, NaN from where a row diverged; no observations where nobody observes."""
        positions = like.new_zeros(len(like), 0, like.shape[-1])
        if self._positions:
            positions = torch.stack(self._positions, dim=1)
        observed = torch.stack(self._observed, dim=1) if self._observed else None
        for row, number in diverged.items():
            moments = [place for place, at in enumerate(self.steps) if at >= number]
            if self._positions:
                positions[row, moments] = math.nan
            if observed is not None:
                observed[row, moments] = math.nan
        return positions, observed
