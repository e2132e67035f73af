"""AdamW: Adam, and a decay that no gradient can drown."""

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Transform
from epochal.core.values.optimization import Optimization
from epochal.optim.chain import Chain, chain
from epochal.optim.decay import DecayToZero
from epochal.optim.optimizers.adam import Adam


def adamw() -> Chain:
    """``-lr (m_hat / (sqrt(v_hat) + epsilon) + weight_decay w)``: Adam, then decay to zero.

    Reads ``beta1``, ``beta2``, ``adam_epsilon``, ``weight_decay``.

    Source: Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the learning rate as in
    ``torch.optim.AdamW``, with which it agrees to rounding.
    """
    return chain(Adam(), DecayToZero())


def optimizer(spec: Optimization, layout: Layout) -> Transform:
    """Adam: the decay is a link of its own, of the kind that the spec says."""
    return Adam()
