"""An update that cannot fit into memory is refused before anything is written."""

from typing import Any

import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.spec import Spec
from epochal.experiments import catalog
from epochal.launch.fits import FEW, check_fits
from epochal.launch.working_set import bytes_kept

LARGE = {"num_operands": 4, "modulus": 31, "n_train": 300_000, "n_val": 100, "width": 256, "depth": 6}


def spec(**fields: Any) -> Spec:
    return catalog.find("algorithmic").spec_class(**fields)


def test_an_update_beyond_all_memory_is_refused_with_the_remedy() -> None:
    member = spec(**LARGE, batch_size="full")
    with pytest.raises(UserError, match=r"an update on 300000 examples.* GB.*batch_size=512"):
        check_fits(catalog.find("algorithmic"), member)


def test_the_same_in_batches_is_not() -> None:
    member = spec(**LARGE, batch_size=512)
    check_fits(catalog.find("algorithmic"), member)


def test_what_is_kept_grows_with_the_examples() -> None:
    experiment = catalog.find("algorithmic")

    def kept(size: int) -> int:
        return bytes_kept(experiment.build((spec(modulus=53, batch_size=size),)))

    assert kept(4 * FEW) - kept(2 * FEW) == pytest.approx(2 * (kept(2 * FEW) - kept(FEW)), rel=0.02)
