"""AdamW: Adam, and a decay that no gradient can drown."""

from epochal.optim.adam import Adam
from epochal.optim.chain import Chain, chain
from epochal.optim.decay import DecayToZero


def adamw() -> Chain:
    """``-lr (m_hat / (sqrt(v_hat) + epsilon) + weight_decay w)``: Adam, then decay to zero.

    Reads ``beta1``, ``beta2``, ``epsilon``, ``weight_decay``.

    Source: Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the learning rate as in
    ``torch.optim.AdamW``, with which it agrees to rounding.
    """
    return chain(Adam(), DecayToZero())
