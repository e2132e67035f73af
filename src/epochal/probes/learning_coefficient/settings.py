"""How chains are sampled: what is given, what follows from the data."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean

Sampler = Literal["sgld", "rmsprop_sgld", "sgnht", "mala"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to sample; None is chosen from the data's size and the loss's curvature."""

    chains: int = 4
    draws: int = 1000
    burn_in: int | None = None
    thinning: int = 1
    n_beta: float | None = None
    gamma: float | None = None
    step_size: float | None = None
    batch_size: int | None = None
    sampler: str = "sgld"
    shared_batches: bool = False
    overdispersed: float = 0.0
    seed: int = 0

    def checked(self, size: int) -> "Settings":
        """With what follows from ``size`` examples alone.

        Raises:
            UserError: one is out of its range.
        """
        if self.sampler not in get_args(Sampler):
            near = did_you_mean(self.sampler, get_args(Sampler))
            raise UserError(
                f"sampler={self.sampler} is unknown{near}; there are {', '.join(get_args(Sampler))}"
            )
        for name, least in (("chains", 1), ("draws", 1), ("thinning", 1), ("burn_in", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name}={value} is too few: at least {least}")
        for name in ("n_beta", "step_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name}={value} is not positive and finite")
        for name in ("gamma", "overdispersed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"{name}={value} is not 0 or more and finite")
        if size < 3 and self.n_beta is None:
            raise UserError(f"n log n needs more than {size} examples: give n_beta")
        if self.batch_size is not None and not 1 <= self.batch_size <= size:
            raise UserError(f"batch_size={self.batch_size} is outside 1 .. {size}, the number of examples")
        return replace(
            self,
            burn_in=self.draws * self.thinning if self.burn_in is None else self.burn_in,
            n_beta=size / math.log(size) if self.n_beta is None else self.n_beta,
            batch_size=(size if self.sampler == "mala" else min(256, size))
            if self.batch_size is None
            else self.batch_size,
        )
