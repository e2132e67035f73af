"""Snapshots sampled together: what one by one says, in groups of any size, whatever becomes of the others."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from epochal.core.tensors.view import GivenView, View
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.view import LiveView
from epochal.experiments.catalog import find
from epochal.probes.learning_coefficient.along import (
    GROUP_BYTES,
    MOST_AT_ONCE,
    loss_of,
    losses_along,
    num_at_once,
)
from epochal.probes.learning_coefficient.potential import EXAMPLES_AT_ONCE, NetworkLoss
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.llc import CoefficientOptions, llc

SHORT: dict[str, Any] = {"chains": 2, "draws": 20, "burn_in": 4, "gamma": 30.0, "n_beta": 40.0}
SAME = {**SHORT, "step_size": 1e-3}


def views(count: int, experiment: str = "algorithmic", **fields: Any) -> list[LiveView]:
    """One member at several steps: parameters grow by a tenth each, and what else there is moves, too."""
    given = {"device": "cpu", "threads": 1, "precision": "float64", **fields}
    found = find(experiment)
    program = found.build(found.request(given).members)
    start = initial_population(program)
    return [
        LiveView(
            program, step=step, flat=start.flat[0] * (1 + 0.1 * step), initial=start.flat[0],
            buffers=start.buffers[0] + 0.1 * step,
            fields={name: values[0] for name, values in program.fields.items()},
            objective={name: values[0] * (1 + step) for name, values in start.objective.items()},
        )
        for step in range(count)
    ]  # fmt: skip


def tiny(count: int) -> list[LiveView]:
    return views(count, modulus=5, model="mlp", width=8, depth=1)


def grouped(
    monkeypatch: pytest.MonkeyPatch, size: int, options: CoefficientOptions, trajectory: Iterable[View]
) -> list[dict[str, Tensor]]:
    monkeypatch.setattr("epochal.probes.llc.num_at_once", lambda *_: size)
    return list(llc.configured(options).along(trajectory, with_kept=True))


def agree(found: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, value in found.items():
        torch.testing.assert_close(value, other[name], rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"step_size": 1e-3},
        {"gamma": None, "overdispersed": 1.0, "thinning": 2},  # a step and a gamma of each snapshot's own
        {"sampler": "mala", "step_size": 1e-3},
        {"sampler": "sgnht", "step_size": 1e-4, "shared_batches": True},
        {"sampler": "rmsprop_sgld", "step_size": 1e-4},
        {"step_size": 1e-3, "blocks": ("readout",)},
    ],
)
def test_numbers_do_not_depend_on_how_snapshots_are_grouped(changes: Any, monkeypatch: Any) -> None:
    options, trajectory = CoefficientOptions(**(SHORT | changes)), tiny(3)
    alone = [llc.configured(options).measure(view, with_kept=True) for view in trajectory]
    for found, other in zip(grouped(monkeypatch, 2, options, trajectory), alone, strict=True):
        agree(found, other)
    assert len({float(found["llc"]) for found in alone}) == 3, "networks that differ"


def test_each_snapshot_has_its_own_running_statistics() -> None:
    """As its own loss has them: values and gradients of two chains around each."""
    trajectory = views(2, "images", data="digits", n_train=12, model="resnet18", width=1)
    index = torch.tensor([[0, 1, 2], [3, 4, 5]])
    both = torch.cat([view.flat + torch.zeros(2, 1) for view in trajectory])
    found = losses_along(trajectory).slope(both, index.repeat(2, 1))
    for number, view in enumerate(trajectory):
        own = loss_of(view).slope(both[2 * number : 2 * number + 2], index)
        for value, other in zip(found, own, strict=True):
            torch.testing.assert_close(value[2 * number : 2 * number + 2], other)
    mixed = loss_of(trajectory[0]).slope(both[2:], index)
    assert (mixed[0] - found[0][2:]).abs().min() > 1e-3, "statistics matter"


def test_a_snapshot_that_diverges_or_is_broken_spoils_no_other(monkeypatch: Any) -> None:
    trajectory = tiny(4)
    options = CoefficientOptions(**(SAME | {"blocks": ("readout",)}))
    sound = grouped(monkeypatch, 4, options, trajectory)
    trajectory[1].flat[0] = math.nan  # no parameters
    trajectory[2].flat *= 1e200  # no loss
    found = grouped(monkeypatch, 4, options, trajectory)
    for number in (0, 3):
        agree(found[number], sound[number])
    assert all(math.isnan(found[number][name]) for number in (1, 2) for name in ("llc", "llc_chains"))


def test_chains_that_diverge_at_one_snapshot_do_so_alone(monkeypatch: Any) -> None:
    trajectory, options = tiny(3), CoefficientOptions(**SAME)
    sound = grouped(monkeypatch, 3, options, trajectory)
    own_steps = iter([1e-3, 1e12, 1e-3] * 2)
    monkeypatch.setattr(
        "epochal.probes.learning_coefficient.sampling.steps_of", lambda *_, **__: (next(own_steps), 30.0)
    )
    found = grouped(monkeypatch, 3, options, trajectory)
    assert float(found[1]["llc_diverged"]) == 2 and math.isnan(found[1]["llc"])
    for number in (0, 2):
        agree(found[number], sound[number])


def test_a_group_is_as_many_as_fit() -> None:
    loss, flat = NetworkLoss.of(lambda flat, index: flat.exp().sum(), 2000), torch.zeros(10)
    of_chain = loss.bytes_kept(flat, 256)
    assert of_chain == 40, "exp keeps its result"
    settings = Settings(chains=4, draws=20)
    assert num_at_once(loss, flat, settings) == MOST_AT_ONCE
    large = torch.zeros(GROUP_BYTES // (4 * 4 * 7 * 3))  # 7 vectors of each of 4 chains, thrice
    assert num_at_once(loss, large, settings) == 3
    assert num_at_once(loss, torch.zeros(GROUP_BYTES), settings) == 1
    # On full batches never so many that a pass over the data has other pieces than one snapshot's.
    of_all = replace(settings, batch_size=2000)
    assert num_at_once(loss, flat, of_all) == min(MOST_AT_ONCE, EXAMPLES_AT_ONCE // 8000)
    assert num_at_once(replace(loss, size=20_000), flat, replace(settings, batch_size=20_000)) == 1


def test_values_come_as_groups_are_done_and_a_probe_that_loses_some_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr("epochal.probes.llc.num_at_once", lambda *_: 2)
    read: list[int] = []

    def one_by_one(trajectory: Sequence[View]) -> Iterator[View]:
        for number, view in enumerate(trajectory):
            read.append(number)
            yield view

    values = llc.configured(CoefficientOptions(**SAME)).along(one_by_one(tiny(5)))
    next(values)
    assert read == [0, 1]
    assert len(list(values)) == 4 and read == [0, 1, 2, 3, 4]
    forgetful = replace(
        llc, along=lambda options, views: (llc.measure(options, view) for view in list(views)[1:])
    )
    probe = forgetful.configured(CoefficientOptions(**SAME))
    with pytest.raises(UserError, match="gives 1 values along 2 snapshots"):
        list(probe.along([still(), still()]))


def still() -> GivenView:
    return GivenView(
        given_params={"w": torch.zeros(2, dtype=torch.float64)},
        given_targets={"train": [0] * 8},
        given_loss=lambda flat: 0.5 * flat.square().sum(),
    )
