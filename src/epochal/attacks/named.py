"""Attacks by name, with what a radius and an effort mean to each."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.attacks.apgd import apgd
from epochal.attacks.ball import Norm, Pixels
from epochal.attacks.pgd import pgd
from epochal.attacks.search import Predict
from epochal.attacks.square import square
from epochal.attacks.worst_case import worst_case
from epochal.core.tensors import random
from epochal.core.tensors.random import Key
from epochal.core.values.errors import UserError

AttackName = Literal["pgd", "apgd-ce", "apgd-dlr", "square", "worst_case"]


def attacked(
    name: AttackName,
    predict: Predict,
    inputs: Float[Tensor, "B ..."],
    targets: Int64[Tensor, " B"],
    key: Key,
    *,
    epsilon: float | Float[Tensor, ""],
    norm: Norm = "linf",
    where: Pixels | None = None,
    steps: int = 10,
    restarts: int = 1,
    step_size: float | Float[Tensor, ""] = 0.0,
) -> Float[Tensor, "B ..."]:
    """``steps`` are gradients, for ``square`` queries. ``step_size`` is of ``pgd`` alone.

    ``worst_case``: the union of pgd, apgd-ce, apgd-dlr (from three classes on) and, in L-inf, square with ten
    times as many queries, since a query costs a third of a gradient.

    Raises:
        UserError: square in L2; dlr with fewer than three classes.
    """
    usual: dict[str, Any] = {"epsilon": epsilon, "where": where, "restarts": restarts}

    def later(one: str) -> Callable[[], Tensor]:
        return lambda: found(one)

    def found(one: str) -> Tensor:
        own = random.fold(key, one)
        match one:
            case "pgd":
                return pgd(
                    predict, inputs, targets, own, norm=norm, steps=steps, step_size=step_size, **usual
                )
            case "square":
                queries = 10 * steps if name == "worst_case" else steps
                return square(predict, inputs, targets, own, steps=queries, **usual)
            case _:
                loss = one.removeprefix("apgd-")
                return apgd(predict, inputs, targets, own, norm=norm, steps=steps, loss=loss, **usual)

    if name == "square" and norm != "linf":
        raise UserError(f"attack=square is of norm=linf, not {norm}; give attack=apgd-ce")
    if name != "worst_case":
        return found(name)
    with torch.no_grad():
        classes = predict(inputs[:1]).shape[-1]
    names = [
        "pgd",
        "apgd-ce",
        *(["apgd-dlr"] if classes > 2 else []),
        *(["square"] if norm == "linf" else []),
    ]
    return worst_case(predict, inputs, targets, [later(one) for one in names])
