"""How a weight depends on the number that is an operand or an answer: a profile over the group each."""

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.probes.modular.group import EXCLUDED
from epochal.probes.modular.pairs import Pairs, pairs_of


class WeightOptions(Options):
    """Which weight matrix."""

    parameter: str = "embed.weight"


def profiles(view: View, parameter: str) -> Float[Tensor, "n K"]:
    """In float64, a row per group element, a column per neuron (twice as many where both operands enter a
    layer).

    ``embed.weight`` has a row per token and gives those of the first operand; ``unembed.weight`` has a row
    per class. Any other matrix is read as a layer on one-hot operands, side by side.

    Raises:
        UserError: the network has no such matrix, or the task is no table of two operands.
    """
    pairs = pairs_of(view)
    weight = view.params.get(parameter)
    if weight is None or weight.ndim != 2:
        have = [name for name, other in view.params.items() if other.ndim == 2]
        raise UserError(
            f"parameter={parameter} is no weight matrix of this network; it has {', '.join(have) or 'none'}"
        )
    if parameter.endswith("unembed.weight"):
        return weight.double()[pairs.classes]
    if parameter.endswith("embed.weight"):
        return weight.double()[pairs.tokens]
    return _of_one_hot_operands(weight.double(), pairs, parameter)


def _of_one_hot_operands(weight: Float[Tensor, "H I"], pairs: Pairs, parameter: str) -> Float[Tensor, "n K"]:
    p = pairs.modulus
    if weight.shape[1] not in (p, 2 * p):
        raise UserError(
            f"parameter={parameter} has {weight.shape[1]} inputs, not {p} or {2 * p}: it reads no numbers"
        )
    by_number: Tensor = weight.unflatten(1, (-1, p)).flatten(0, 1).T
    group, numbers = pairs.group, [0] * pairs.group.order
    for number, element in enumerate(group.first):
        if element != EXCLUDED:
            numbers[element] = number
    return by_number[numbers]
