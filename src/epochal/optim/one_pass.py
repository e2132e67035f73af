"""Adam's update in one pass over memory, by the kernel of ``torch.optim.AdamW(fused=True)``."""

import torch
from jaxtyping import Float
from torch import Tensor

Rows = tuple[float, float, float, float]
"""Rate, ``beta1``, ``beta2`` and ``epsilon`` of a member."""

FEWEST_NUMBERS = 10_000
"""Of a member: with fewer, a call per kind of member may take longer than single operations on all."""


def applies(delta: Float[Tensor, "M P"]) -> bool:
    """The kernel walks through memory of the processor's; nothing here depends on who else is in the pack."""
    is_whole = delta.is_contiguous() and delta.device.type == "cpu"
    is_float = delta.dtype in (torch.float32, torch.float64)
    return is_whole and is_float and delta.shape[1] >= FEWEST_NUMBERS


def adam(
    gradient: Float[Tensor, "M P"],
    mean: Float[Tensor, "M P"],
    square: Float[Tensor, "M P"],
    hyperparameters: list[Rows],
    time: int,
    onto: Float[Tensor, "M P"] | None = None,
) -> Float[Tensor, "M P"]:
    """The update ``-lr m_hat / (sqrt(v_hat) + epsilon)``; ``mean`` and ``square`` move in place.

    The kernel subtracts from parameters; parameters of zero, or what another link adds (``onto``), give the
    update itself. It reads and writes 8 numbers per parameter where single operations take 21.
    """
    delta = torch.zeros_like(gradient) if onto is None else onto
    steps = torch.tensor(float(time))
    for chosen in dict.fromkeys(hyperparameters):
        lr, beta1, beta2, epsilon = chosen
        rows = [row for row, of_row in enumerate(hyperparameters) if of_row == chosen]
        # Row by row, so that a member's last few numbers are computed alike whoever stands beside it.
        delta_rows, gradient_rows, mean_rows, square_rows = (
            [matrix[row] for row in rows] for matrix in (delta, gradient, mean, square)
        )
        torch._fused_adamw_(
            delta_rows, gradient_rows, mean_rows, square_rows, [], [steps] * len(rows),
            lr=lr, beta1=beta1, beta2=beta2, weight_decay=0.0, eps=epsilon, amsgrad=False, maximize=False,
        )  # fmt: skip
    return delta
