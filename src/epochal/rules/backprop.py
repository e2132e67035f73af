"""Backpropagation: the surrogate is the loss itself."""

from dataclasses import dataclass

from epochal.core.tensors.rule import loss_through


@dataclass(frozen=True)
class Backprop:
    """Exact gradients (Rumelhart, Hinton & Williams 1986)."""

    surrogate = staticmethod(loss_through(None))


rule = Backprop
