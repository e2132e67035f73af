"""Chains of a plain MLP as explicit batched products, which saves what ``vmap`` costs per operation.

A ``Sequential`` of linear layers and elementwise activations, on inputs ``[N, D]``, is recognised; so is
cross-entropy on classes, whose slope is written out: torch's own forms cost more than the products of a
network with ten classes. All else takes the general way, with the same numbers to rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from epochal.core.tensors.layout import Layout
from epochal.probes.learning_coefficient.potential import RowsSlope

ELEMENTWISE = (
    nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Identity,
    nn.Dropout,
)  # fmt: skip
"""Dropout is the identity in evaluation mode."""


def stacked_slope(
    module: nn.Module, layout: Layout, loss: Callable[..., Tensor], examples: tuple[Tensor, Tensor]
) -> RowsSlope | None:
    """Loss and gradient of all rows at once; None where the module is no plain MLP."""
    inputs, targets = examples
    parts = list(_leaves(module))
    if type(module) is not nn.Sequential or inputs.ndim != 2 or not inputs.is_floating_point():
        return None
    linear = [part for _, part in parts if type(part) is nn.Linear]
    if not all(type(part) is nn.Linear or type(part) in ELEMENTWISE for _, part in parts):
        return None
    needed = {
        f"{name}.{kind}"
        for name, part in parts
        if type(part) is nn.Linear
        for kind, _ in part.named_parameters()
    }
    if needed != set(layout.names) or len(linear) != len({id(part) for part in linear}):
        return None
    if any(
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in module.modules()
    ):
        return None
    is_plain_entropy = _is_cross_entropy(loss, targets)

    def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            place = flat.detach().requires_grad_()
            values = layout.unflatten(place)
            h = inputs[index]
            for name, part in parts:
                if isinstance(part, nn.Linear):
                    weight = values[f"{name}.weight"].mT
                    bias = values.get(f"{name}.bias")
                    h = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias[:, None], h, weight)
                else:
                    h = part(h)
            if is_plain_entropy:
                with torch.no_grad():
                    value, error = cross_entropy_slope(h, targets[index])
                (gradient,) = torch.autograd.grad(h, place, error)
                return value, gradient
            of_rows = torch.vmap(loss)(h, targets[index])
            (gradient,) = torch.autograd.grad(of_rows.sum(), place)
        return of_rows.detach(), gradient

    return slope


def cross_entropy_slope(
    logits: Float[Tensor, "R B C"], targets: Int64[Tensor, "R B"]
) -> tuple[Float[Tensor, " R"], Float[Tensor, "R B C"]]:
    """Mean cross-entropy of each row, and its slope in the logits: ``(softmax - one hot) / B``."""
    wanted = targets[..., None]
    top = logits.amax(-1, keepdim=True)
    shifted = logits - top
    right = shifted.gather(-1, wanted)
    powers = shifted.exp_()
    total = powers.sum(-1, keepdim=True)
    value = (total.log() - right).mean((1, 2))
    share = 1.0 / logits.shape[1]
    error = powers.mul_(share / total)
    error.scatter_add_(-1, wanted, error.new_full((), -share).expand(wanted.shape))
    return value, error


def _leaves(module: nn.Module, prefix: str = "") -> Any:
    if type(module) is not nn.Sequential:
        yield prefix, module
        return
    for name, part in module._modules.items():
        assert part is not None
        yield from _leaves(part, f"{prefix}.{name}" if prefix else name)


def _is_cross_entropy(loss: Callable[..., Tensor], targets: Tensor) -> bool:
    """The mean over classes as targets, without weights, smoothing or targets to be left out."""
    if targets.dtype != torch.int64 or targets.ndim != 1 or int(targets.min()) < 0:
        return False
    if isinstance(loss, nn.CrossEntropyLoss):
        return loss.weight is None and loss.label_smoothing == 0 and loss.reduction == "mean"
    return loss is nn.functional.cross_entropy
