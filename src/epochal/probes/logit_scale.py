"""How far apart the logits of an example are."""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import NoOptions
from epochal.probes.sites.example import chain


@probe(
    columns=("logit_scale",),
    unit="logit",
    low=0.0,
    high=math.inf,
    null="0, where all classes have one logit; about 1 is where softmax leaves its linear range",
    cost="one forward pass over probe_samples examples, shared with other probes of sites",
    source="standard deviation over classes, root mean square over examples",
)
def logit_scale(options: NoOptions, view: View) -> dict[str, Tensor]:
    """``sqrt(mean_ic (z_ic - mean_c z_ic)^2)``: what is added to all logits of an example changes nothing."""
    logits = view.passage().logits
    logits = logits.to(wide(logits.device))
    centred = logits - logits.mean(-1, keepdim=True)
    return {"logit_scale": centred.square().mean().sqrt()}


def truth() -> Iterator[tuple[Any, ...]]:
    # Logits (6, 8), (0, 2), (12, 16): deviations 1, 1, 2.
    yield chain(), {"logit_scale": math.sqrt(2.0)}
