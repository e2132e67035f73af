"""Backward passes without weight transport: linear maps and convolutions send errors through other matrices.

Known by the identity of their weight, so that any model is served whose weights reach
``torch.nn.functional.linear`` or ``conv2d`` as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import SILENT
from epochal.core.values.errors import UserError

Given = Mapping[str, Any]
"""The arguments of one call: ``input``, ``weight`` and, where given, the others by their names."""

Replace = Callable[[str, Callable[..., Tensor], Given], Tensor]

_LINEAR = ("input", "weight", "bias")
_CONV2D = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
ARGUMENTS = {nn.functional.linear: _LINEAR, nn.functional.conv2d: _CONV2D}


class Calls(TorchFunctionMode):
    """Within the block ``replace`` computes every linear map and convolution with one of these weights."""

    def __init__(self, weights: Mapping[str, Tensor], replace: Replace) -> None:
        super().__init__()
        self._names = {id(weight): name for name, weight in weights.items()}
        self._weights = weights  # held, so that no other tensor gets one of their ids
        self._replace = replace

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        names = ARGUMENTS.get(func)
        if names is None:
            return func(*args, **kwargs)
        given = dict(zip(names, args, strict=False)) | kwargs
        name = self._names.get(id(given["weight"]))
        return func(**given) if name is None else self._replace(name, func, given)


def matrices(
    rule: str, network: Network, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], batch: Batch
) -> dict[str, Tensor]:
    """The weights that pass errors on, in the order of the forward pass; embeddings pass none.

    ``rule`` is what messages call the rule.

    Raises:
        UserError: there are none, or a weight is used in another way.
    """
    met: dict[str, Tensor] = {}
    own = network.cast(params)

    def note(name: str, func: Callable[..., Tensor], given: Given) -> Tensor:
        met[name] = params[name]
        return func(**given)

    with Calls(own, note):
        network(own, buffers, batch.inputs, SILENT)
    embedded = {
        f"{path}.weight"
        for path, module in network.module.named_modules()
        if isinstance(module, nn.Embedding)
    }
    others = [name for name, value in params.items() if value.ndim > 1 and name not in {*met, *embedded}]
    if others or not met:
        what = f"{others[0]} is used in another way" if others else "this model has none"
        raise UserError(
            f"rule={rule} replaces the backward pass of linear layers and 2-d convolutions; {what}: give "
            "another model or rule"
        )
    return met


def transported(lesson: Lesson, feedback: Mapping[str, Tensor]) -> Judged:
    """The loss, whose errors pass the tensors of ``feedback`` in place of the weights of their names.

    These have the weights' shapes: a layer ``y = W x`` sends ``B^T dy`` to x and ``dy x^T`` to W. With B = W
    it is backpropagation.
    """

    def logits_fn(inputs: Tensor) -> Tensor:
        # In bfloat16 a network casts its parameters when it is called; it keeps those that are cast already.
        own, dtype = lesson.network.cast(lesson.params), next(iter(lesson.params.values())).dtype
        with Calls({name: own[name] for name in feedback}, substitute):
            return lesson._replace(params=own).logits(inputs, lesson.training()).to(dtype)

    def substitute(name: str, func: Callable[..., Tensor], given: Given) -> Tensor:
        x, weight = given["input"], given["weight"]
        exact = func(**{**given, "input": x.detach()})
        other = {**given, "weight": feedback[name].to(weight.dtype).detach()}
        other.pop("bias", None)
        shadow = func(**other)
        return exact + (shadow - shadow.detach())  # adds exactly 0

    loss, after = lesson.loss(logits_fn)
    return loss, loss.detach(), after


def rms(weight: Tensor) -> Float[Tensor, ""]:
    """Root mean square of a weight; where it starts at 0, ``1 / sqrt(fan_in)``."""
    size = weight.square().mean().sqrt()
    return torch.where(size > 0, size, weight[0].numel() ** -0.5)
