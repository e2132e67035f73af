"""The embedding's Fourier spectrum: its length at every frequency."""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.waves import power
from epochal.probes.modular.weights import WeightOptions, profiles


@probe(
    columns={"embedding_spectrum": 1},
    unit="1",
    low=0.0,
    high=math.inf,
    null="flat: every frequency from 1 on is as strong as the others",
    cost="one pass over a weight matrix",
    source="Nanda et al. 2023, section 4.1 and figure 3; cosine and sine of a frequency together",
)
def embedding_spectrum(options: WeightOptions, view: View) -> dict[str, Tensor]:
    """Norm per frequency 0 .. p // 2, over all columns of the embedding; place f of the array is frequency f.

    The squares add up to the squared norm of the rows that stand for numbers.
    """
    return {"embedding_spectrum": power(profiles(view, options.parameter)).sum(-1).sqrt()}


def truth() -> Iterator[tuple[Any, ...]]:
    strength = math.sqrt(11)  # p / 2 each in cosine and sine
    yield closed_form(11, {2: 3.0, 5: 4.0}), {"embedding_spectrum": [0, 0, strength, 0, 0, strength]}
