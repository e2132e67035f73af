"""Tensors that a pass needs again and again and that never change: positions, masks, offsets.

Kept between calls, except in a compiled pass: the compiler looks through a cache, with a warning.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def constant(maxsize: int) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Keeps the tensors of the ``maxsize`` latest arguments. Nobody may write into them."""

    def keeping(make: Callable[P, Tensor]) -> Callable[P, Tensor]:
        kept = lru_cache(maxsize)(make)

        @wraps(make)
        def get(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            if torch.compiler.is_compiling():
                return make(*args, **kwargs)
            return kept(*args, **kwargs)  # type: ignore[arg-type]

        return get

    return keeping
