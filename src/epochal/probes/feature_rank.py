"""Over how many directions the features spread: what arrives at the read-out, for validation examples."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options
from epochal.probes.shortcuts.forward import features
from epochal.probes.sites import spectrum

Rank = Literal["feature_rank", "stable_rank", "participation_ratio", "rankme"]

MEASURES: dict[Rank, Callable[[Float[Tensor, " K"]], Tensor]] = {
    "feature_rank": spectrum.effective_rank,
    "stable_rank": spectrum.stable_rank,
    "participation_ratio": spectrum.participation_ratio,
    "rankme": spectrum.rankme,
}


class FeatureRankOptions(Options):
    """Which ranks, of which matrix."""

    ranks: tuple[Rank, ...] = Field(
        default=("feature_rank",),
        min_length=1,
        description="columns: feature_rank, stable_rank, participation_ratio, rankme",
    )
    is_centred: bool = Field(default=False, description="subtracts the mean feature vector first")


@probe(
    columns=lambda options: tuple(dict.fromkeys(options.ranks)),
    unit="directions",
    low=0.0,
    high=math.inf,
    null="1, where all examples point the same way; at most the smaller of examples and features",
    cost="one forward pass over probe_samples examples, and the singular values of their features",
    source="Roy & Vetterli 2007 (feature_rank); others: the definitions in its text",
)
def feature_rank(options: FeatureRankOptions, view: View) -> dict[str, Tensor]:
    """Real-valued. Of the matrix of examples times features at the last site before the logits, float64.

    With s its singular values: ``feature_rank`` is ``exp(-sum p log p)``, ``p = s / sum s``; ``rankme`` the
    same with ``p + 1e-7``; ``stable_rank`` is ``sum s^2 / max s^2``; ``participation_ratio`` is
    ``(sum s^2)^2 / sum s^4``. Not centred unless ``is_centred``. 0 where all features are 0.
    """
    matrix = features(view, view.sample().inputs)
    singular = spectrum.singular_values(matrix - matrix.mean(0) if options.is_centred else matrix)
    return {name: MEASURES[name](singular) for name in dict.fromkeys(options.ranks)}


def truth() -> Iterator[tuple[Any, ...]]:
    def features_of(matrix: list[list[float]]) -> GivenView:
        return GivenView(
            given_inputs={"val": matrix},
            given_targets={"val": [0] * len(matrix)},
            given_network=lambda inputs, tap: 2.0 * tap("last", tap("first", 0 * inputs) + inputs),
        )

    every = FeatureRankOptions(ranks=("feature_rank", "stable_rank", "participation_ratio", "rankme"))
    # Singular values 3 and 1.
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    p, q = 0.75 + 1e-7, 0.25 + 1e-7
    yield (
        every,
        features_of([[3.0, 0.0], [0.0, 1.0]]),
        {
            "feature_rank": math.exp(entropy),
            "stable_rank": 10 / 9,
            "participation_ratio": 100 / 82,
            "rankme": math.exp(-p * math.log(p) - q * math.log(q)),
        },
    )
    yield features_of([[0.0, 0.0], [0.0, 0.0]]), {"feature_rank": 0.0}
    yield features_of([[1.0, 2.0], [2.0, 4.0]]), {"feature_rank": 1.0}
    centred = FeatureRankOptions(ranks=("stable_rank", "feature_rank"), is_centred=True)
    yield centred, features_of([[5.0, 1.0], [7.0, 1.0]]), {"stable_rank": 1.0, "feature_rank": 1.0}
