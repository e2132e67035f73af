"""Inverse participation ratio: on how many frequencies the weights of a neuron live."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.shares import share
from epochal.probes.modular.waves import power
from epochal.probes.modular.weights import WeightOptions, profiles


@probe(
    columns={"inverse_participation_ratio": 0, "inverse_participation_ratio_of_neurons": 1},
    unit="fraction",
    low=0.0,
    high=1.0 + 1e-9,
    null="2 / (F + 1) for random weights and F frequencies, which is about 4 / p",
    cost="one pass over a weight matrix",
    source="Gromov 2023 and Doshi et al. 2024 (r = 2), on the power of each frequency without the constant",
)
def inverse_participation_ratio(options: WeightOptions, view: View) -> dict[str, Tensor]:
    """``sum_f P_f^2 / (sum_f P_f)^2`` of a neuron's power spectrum: 1 for one frequency, 1 / k for k equal
    ones.

    The mean over neurons, and all of them. A neuron is a column of the embedding or, with ``parameter``, a
    unit of another matrix that reads or writes numbers (once for each operand that enters it). 0 where it has
    no spectrum. Literature that counts the frequencies f and -f apart gives half of it.
    """
    spectra = power(profiles(view, options.parameter))[1:]
    ratios = share((spectra**2).sum(0), spectra.sum(0) ** 2)
    return {"inverse_participation_ratio": ratios.mean(), "inverse_participation_ratio_of_neurons": ratios}


def truth() -> Iterator[tuple[Any, ...]]:
    both = closed_form(11, {2: 3.0, 5: 4.0})
    yield (
        both,
        {"inverse_participation_ratio": 1.0, "inverse_participation_ratio_of_neurons": [1, 1, 1, 1]},
    )
    embedding = both.given_params["embed.weight"]
    mixed = closed_form(11, {2: 3.0, 5: 4.0})
    mixed.given_params = {
        "embed.weight": embedding[:, :1] + embedding[:, 2:]
    }  # one column, then two mixtures
    yield (
        mixed,
        {"inverse_participation_ratio": 0.5, "inverse_participation_ratio_of_neurons": [0.5, 0.5]},
    )
