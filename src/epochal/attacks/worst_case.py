"""The strongest of several attacks, example by example."""

from collections.abc import Callable, Sequence

from jaxtyping import Float, Int64
from torch import Tensor

from epochal.attacks.search import Best, Predict, margin_at

Found = Callable[[], Float[Tensor, "B ..."]]


def worst_case(
    predict: Predict,
    inputs: Float[Tensor, "B ..."],
    targets: Int64[Tensor, " B"],
    attacks: Sequence[Found],
) -> Float[Tensor, "B ..."]:
    """Of what the attacks find, and the inputs, each example's point with the largest margin.

    An example counts as robust only if no attack breaks it: robust accuracy is at most the lowest of theirs.

    Source: Croce & Hein 2020, section 5 (AutoAttack), with the attacks that are given.
    """
    best = Best(inputs, margin_at(predict, inputs, targets))
    for attack in attacks:
        found = attack()
        best.see(found, margin_at(predict, found, targets))
    return best.points
