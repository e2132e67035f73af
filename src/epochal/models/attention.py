"""Causal attention over a handful of positions, pair by pair, with its gradient written out.

Products of 3 x 32 matrices by the thousand are slow, and so is automatic differentiation of broadcast
products: it forms all pairs of positions, masked ones too, several times. Here each pair costs seven passes
over ``[B, D]``, forward and backward together, and the first position, which sees only itself, costs none.
Sequences of two, as the operands alone are, have one pair that matters, and need its differences only.
"""

import inspect
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def causal_attention(
    query: Float[Tensor, "B Q D"], key: Float[Tensor, "B S D"], value: Float[Tensor, "B S D"], heads: int
) -> Float[Tensor, "B Q D"]:
    """``softmax(q k / sqrt(D / heads)) v`` per head; the Q queries belong to the last of S positions.

    Has a gradient but no second derivative worth its name: a training pass needs none.
    """
    function = _OfTwo if query.shape[1] == key.shape[1] == 2 else _Causal
    mixed: Tensor = function.apply(query, key, value, heads)[0]  # type: ignore[no-untyped-call]
    return mixed


class _OfTwo(torch.autograd.Function):
    """Of two positions the second weighs both, and a softmax of two is a logistic of their difference.

    Gives the result, the weight of the second key ``[B, H, 1]``, and the differences of keys and values
    ``[B, H, D / H]``.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, heads: int) -> tuple[Tensor, ...]:
        (_, q), (k_0, k_1), (v_0, v_1) = (_by_head(part, heads) for part in (query, key, value))
        keys, values = k_1 - k_0, v_1 - v_0
        weight = (q * keys).sum(-1, keepdim=True).mul_(1 / math.sqrt(q.shape[-1])).sigmoid_()
        return torch.stack((v_0, v_0.addcmul(values, weight)), 1).flatten(-2), weight, keys, values

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.heads = inputs[-1]
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(inputs[0], *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Any, ...]:
        query, weight, keys, values = ctx.saved_tensors
        q, (pull_0, pull) = _by_head(query, ctx.heads)[1], _by_head(gradient, ctx.heads)
        slope = weight * (1 - weight) * (1 / math.sqrt(q.shape[-1]))
        on_score = (pull * values).sum(-1, keepdim=True) * slope
        to_query, to_key, to_value = on_score * keys, on_score * q, weight * pull
        parts = (
            (torch.zeros_like(to_query), to_query),
            (-to_key, to_key),
            (pull_0 + pull - to_value, to_value),
        )
        return *(torch.stack(part, 1).flatten(-2) for part in parts), None


class _Causal(torch.autograd.Function):
    """Gives the result and, per query that sees more than itself, its weights ``[B, H, seen]``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, heads: int) -> tuple[Tensor, ...]:
        q, k, v = (_by_head(part, heads) for part in (query, key, value))
        scale = 1 / math.sqrt(q[0].shape[-1])
        mixed, kept = [], []
        for place, own in enumerate(q, start=len(k) - len(q)):
            if place == 0:
                mixed.append(v[0])
                continue
            seen = range(place + 1)
            weights = _softmax(torch.stack([(own * k[j]).sum(-1) for j in seen], -1) * scale)
            mixed.append(_weighted(weights, v))
            kept.append(weights)
        return torch.stack(mixed, 1).flatten(-2), *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        query, key, value, ctx.heads = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(query, key, value, *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Any, ...]:
        query, key, value, *kept = ctx.saved_tensors
        q, k, v, g = (_by_head(part, ctx.heads) for part in (query, key, value, gradient))
        scale = 1 / math.sqrt(q[0].shape[-1])
        of_query = iter(kept)
        to_query: list[Tensor] = []
        to_key: list[Tensor | None] = [None] * len(k)
        to_value: list[Tensor | None] = [None] * len(k)
        for place, (own, pull) in enumerate(zip(q, g, strict=True), start=len(k) - len(q)):
            if place == 0:
                to_query.append(torch.zeros_like(own))
                to_value[0] = pull.clone()
                continue
            weights, seen = next(of_query), range(place + 1)
            on_weights = torch.stack([(pull * v[j]).sum(-1) for j in seen], -1)
            mean = (weights * on_weights).sum(-1, keepdim=True)
            on_scores = weights * (on_weights - mean) * scale
            to_query.append(_weighted(on_scores, k))
            for j in seen:
                to_value[j] = _added(to_value[j], pull, weights[..., j, None])
                to_key[j] = _added(to_key[j], own, on_scores[..., j, None])
        # Without a gradient is only the key of a sequence of one.
        keys, values = (
            [torch.zeros_like(k[0]) if t is None else t for t in part] for part in (to_key, to_value)
        )
        return *(torch.stack(part, 1).flatten(-2) for part in (to_query, keys, values)), None


def _softmax(scores: Float[Tensor, "B H seen"]) -> Float[Tensor, "B H seen"]:
    """torch's own takes five times as long over an axis this short."""
    odds = (scores - scores.amax(-1, keepdim=True)).exp_()
    return odds.div_(odds.sum(-1, keepdim=True))


def _by_head(part: Tensor, heads: int) -> tuple[Tensor, ...]:
    """``[B, H, D / H]`` of every position."""
    rows: tuple[Tensor, ...] = part.unflatten(-1, (heads, part.shape[-1] // heads)).unbind(1)
    return rows


def _weighted(weights: Float[Tensor, "B H seen"], rows: tuple[Tensor, ...]) -> Float[Tensor, "B H d"]:
    total = weights[..., 0, None] * rows[0]
    for j in range(1, weights.shape[-1]):
        total = total.addcmul(weights[..., j, None], rows[j])
    return total


def _added(total: Tensor | None, rows: Tensor, weights: Tensor) -> Tensor:
    more: Tensor = rows * weights if total is None else total.addcmul(rows, weights)
    return more


for _function in (_OfTwo, _Causal):  # torch asks for it in every call, and to find it takes 50 us
    _function.forward.__signature__ = inspect.signature(_function.forward)  # type: ignore[attr-defined]
