"""Does a rule send its credit where the true gradient points? Cosine of the two, site by site."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import NoOptions
from epochal.probes.sites.example import chain
from epochal.probes.sites.rows import Directions, cosines

COLUMNS = {
    "credit_alignment": "credit_alignment_undefined",
    "credit_alignment_input": "credit_alignment_input_undefined",
}


def _labels(options: NoOptions, view: View) -> Mapping[str, Sequence[str]]:
    sites = list(view.passage().activations)
    at_input = [after for _, after in _neighbours(view)]
    at = {"credit_alignment": sites, "credit_alignment_input": at_input}
    return {name: at[main] for main, counter in COLUMNS.items() for name in (main, counter)}


@probe(
    columns=dict.fromkeys([name for pair in COLUMNS.items() for name in pair], 1),
    unit="cosine",
    low=-1.0,
    high=1.0,
    null="0 on average for feedback independent of the network; deviation near 1 / sqrt(D (C - 1))",
    cost="one forward and two backward passes over probe_samples examples",
    source="Lillicrap et al. 2016; per example and averaged, as the gamma of snapshot-evolution scripts",
    labels=_labels,
)
def credit_alignment(options: NoOptions, view: View) -> dict[str, Tensor]:
    """1 is backpropagation. Mean over examples of the cosine of credit and their own loss's gradient.

    ``credit_alignment`` compares them at the site that the credit is given to: a block's output, where the
    rule acts. ``credit_alignment_input`` compares the same credit with the gradient at the site before, the
    block's input, for sites whose predecessor has their shape (as published gammas do). Without an epsilon.
    Examples whose credit or gradient is zero or not finite have no angle: they are left out, their share
    stands in the columns ``..._undefined``, and without any other the cosine is NaN (as for frozen blocks).
    """
    told, true = view.credit(view.passage().batch), view.passage().directions
    credit = {site: Directions.of(told[site]) for site in true}
    gradients = {site: Directions.of(slope) for site, slope in true.items()}
    at_output = [cosines(credit[site], gradients[site]) for site in true]
    at_input = [cosines(credit[after], gradients[before]) for before, after in _neighbours(view)]
    columns = {}
    for (main, counter), found in zip(COLUMNS.items(), (at_output, at_input), strict=True):
        means = [_mean(each) for each in found]
        none = view.passage().errors.new_zeros(0)
        columns[main] = torch.stack([mean for mean, _ in means]) if means else none
        columns[counter] = torch.stack([share for _, share in means]) if means else none
    return columns


def _mean(found: Float[Tensor, " N"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Over those that are defined; and the share of the others."""
    is_defined = ~found.isnan()
    count = is_defined.sum(-1)
    mean = torch.where(is_defined, found, 0.0).sum(-1) / count  # 0 / 0 is NaN
    return mean, 1 - count / len(found)


def _neighbours(view: View) -> list[tuple[str, str]]:
    """Sites with the one before them, where both have one shape."""
    seen = view.passage().activations
    return [(a, b) for a, b in pairwise(seen) if seen[a].shape == seen[b].shape]


def truth() -> Iterator[tuple[Any, ...]]:
    # Gradients are (2, 6), then (1, 3). Credit to the first site: along it, across it, none.
    first = [[1.0, 3.0], [3.0, -1.0], [0.0, 0.0]]
    second = torch.tensor([[1e-150, 3e-150], [-1.0, -3.0], [1.0, 0.0]], dtype=torch.float64)
    yield (
        chain(given_credit={"first": first, "second": second}),
        {
            "credit_alignment": [0.5, 1 / math.sqrt(90)],
            "credit_alignment_undefined": [1 / 3, 0.0],
            "credit_alignment_input": [1 / math.sqrt(90)],
            "credit_alignment_input_undefined": [0.0],
        },
    )
    nothing = [[0.0, 0.0]] * 3
    yield (
        chain(given_credit={"first": nothing, "second": nothing}),
        {
            "credit_alignment": [math.nan, math.nan],
            "credit_alignment_undefined": [1.0, 1.0],
            "credit_alignment_input": [math.nan],
            "credit_alignment_input_undefined": [1.0],
        },
    )
