"""Euclidean norm of the true gradient: in all parameters, or of each example's loss at every site."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import Rank, probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options
from epochal.probes.sites.example import chain
from epochal.probes.sites.names import named
from epochal.probes.sites.rows import lengths

AT_SITES = ("gradient_norm", "gradient_norm_frobenius")


class GradientOptions(Options):
    """With respect to what."""

    of: Literal["parameters", "sites"] = Field(
        default="parameters",
        description="parameters: one number, over the training set; sites: one per site of the network",
    )


def _columns(options: GradientOptions) -> Mapping[str, Rank]:
    return {"gradient_norm": 0} if options.of == "parameters" else dict.fromkeys(AT_SITES, 1)


def _labels(options: GradientOptions, view: View) -> Mapping[str, Sequence[str]]:
    return {} if options.of == "parameters" else named(*AT_SITES)(options, view)


@probe(
    columns=_columns,
    unit="nat",
    low=0.0,
    high=math.inf,
    null="0, at a stationary point",
    cost="one forward and one backward pass, over the training set or over probe_samples examples",
    source="l2 norm of the full-batch gradient; per site as snapshot-evolution scripts log it",
    labels=_labels,
)
def gradient_norm(options: GradientOptions, view: View) -> dict[str, Tensor]:
    """Free of minibatch noise, whatever the batch size of training. Its true gradient, whatever the rule.

    With ``of=sites`` each example's own loss is differentiated in what passes a site (nat per unit of
    activation): ``gradient_norm`` is the median over examples, ``gradient_norm_frobenius`` the root of all
    squares' sum. Losses are summed, not averaged: no floor depends on how many examples there are.
    """
    if options.of == "parameters":
        return {"gradient_norm": torch.linalg.vector_norm(view.loss_gradient("train").double())}
    passage = view.passage()
    found = [lengths(slope) * passage.error_lengths for slope in passage.directions.values()]
    return {
        "gradient_norm": torch.stack([each.median(-1).values for each in found]),
        "gradient_norm_frobenius": torch.stack([torch.linalg.vector_norm(each) for each in found]),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    yield GivenView(given_gradients={"train": [3.0, -4.0, 0.0]}), {"gradient_norm": 5.0}
    yield GivenView(given_gradients={"train": [0.0, 0.0]}), {"gradient_norm": 0.0}
    # (2, 6) and (1, 3) for each of three examples.
    median = [math.sqrt(40), math.sqrt(10)]
    frobenius = [math.sqrt(120), math.sqrt(30)]
    expected = {"gradient_norm": median, "gradient_norm_frobenius": frobenius}
    yield GradientOptions(of="sites"), chain(), expected
