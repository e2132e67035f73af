"""Do the features hold the core, whatever the read-out does? A new read-out on balanced groups."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader
from epochal.probes.shortcuts.forward import features
from epochal.probes.shortcuts.linear import equal_mass, logistic_scores
from epochal.probes.shortcuts.shares import is_in, lowest, mean_where
from epochal.probes.shortcuts.stamps import halves


class RetrainingOptions(Options):
    """Of the new read-out."""

    ridge: float = Field(default=1e-2, gt=0, description="l2 penalty on weights of standardised features")


@probe(
    columns=("dfr_accuracy", "dfr_worst_group_accuracy"),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="1 / number of classes, where features do not tell the target; the worst group then 0 to that",
    cost="one forward pass over probe_samples examples, and 20 Newton steps per class",
    source="Kirichenko et al. 2023, deep feature reweighting on validation data; l2 for l1, one split",
    requires=needs.a_cue("last_layer_retraining"),
)
def last_layer_retraining(options: RetrainingOptions, view: View) -> dict[str, Tensor]:
    """Logistic regression of the target on what arrives at the read-out, each class against the rest.

    Each group (target x agreement) is cut into two halves; one is fitted, with equal weight for every group,
    the other measured: all examples, and the worst of the groups that occur there.
    """
    batch = view.sample()
    targets, group, num = batch.targets, batch.factors["group"], view.task.num_classes
    half = halves(view, batch, group, 2 * num)
    weight = equal_mass(group, 2 * num, half == 0)
    scores = logistic_scores(features(view, batch.inputs), targets, num, weight, options.ridge)
    is_right, is_measured = (scores.argmax(-1) == targets).double(), half == 1
    by_group = mean_where(is_right, is_in(group, 2 * num) & is_measured)
    return {
        "dfr_accuracy": mean_where(is_right, is_measured),
        "dfr_worst_group_accuracy": lowest(by_group),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    yield cued(patch_reader), {"dfr_accuracy": 0.5, "dfr_worst_group_accuracy": 0.0}
    yield cued(core_reader), {"dfr_accuracy": 1.0, "dfr_worst_group_accuracy": 1.0}
    # A read-out that is wrong everywhere does not matter; nor does one that says nothing.
    against = cued(lambda inputs, tap: -core_reader(inputs, tap))
    yield against, {"dfr_accuracy": 1.0, "dfr_worst_group_accuracy": 1.0}
    silent = cued(lambda inputs, tap: 0 * core_reader(inputs, tap))
    yield silent, {"dfr_accuracy": 1.0, "dfr_worst_group_accuracy": 1.0}
