"""Probes of a split refuse one that the data do not have, before anything is measured."""

import pytest

from epochal.core.values.errors import UserError
from epochal.experiments.catalog import find

ASKED = {
    "local_complexity": "split", "segment_density": "split", "robust_accuracy": "split", "hessian": "split",
    "gradient_noise_scale": "split", "irm": "split", "groups": "split", "accuracy": "splits",
    "loss": "splits",
}  # fmt: skip


@pytest.mark.parametrize("probe", ASKED)
def test_digits_have_no_test_split(probe: str) -> None:
    experiment = find("images")
    field = ASKED[probe]
    given = {"data": "digits", "probes": probe, f"probe_options.{probe}.{field}": "test"}
    with pytest.raises(UserError, match=rf"{probe}.{field}=test, and these data have no test split: choose"):
        experiment.build(experiment.request(given).members)
