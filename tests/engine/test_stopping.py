"""Early stopping: judged by its own evaluations, a member leaves where it stops, records change nothing."""

import math
from typing import Any

import pytest
import torch

from epochal.core.values.schedule import Schedule
from epochal.engine.population import initial_population
from epochal.engine.stopping import Stopping
from epochal.engine.train import train
from epochal.probes import find
from tests.engine.programs import program, records, same_bits, trained

# Seeds memorise 60% of a small table at different steps.
STOPS: dict[str, Any] = {
    "seed": "0:4", "batch_size": 16, "stop_metric": "train_accuracy", "stop_at": 0.5, "stop_every": 5,
    "learning_rate": 1e-2, "weight_decay": 0, "max_steps": 80, "gradient_clip": 0,
}  # fmt: skip


def stopping(**more: Any) -> Stopping:
    given: dict[str, Any] = {"is_rising": True, "at": None, "patience": 0} | more
    return Stopping(probe=find("loss").configured(), column="x", schedule=Schedule(every=1), **given)


def judged(rule: Stopping, values: list[float]) -> int | None:
    """The place of the value at which a member stops."""
    best, waited = torch.tensor([-math.inf]), torch.zeros(1)
    for place, value in enumerate(values):
        stops, best, waited = rule.judge(torch.tensor([value]), best, waited)
        if bool(stops):
            return place
    return None


@pytest.mark.parametrize(
    ("rule", "values", "place"),
    [
        (stopping(at=0.9), [0.1, 0.89, 0.9, 0.2], 2),
        (stopping(at=0.1, is_rising=False), [0.5, 0.11, 0.1], 2),
        (stopping(patience=2), [0.1, 0.3, 0.2, 0.3, 0.9], 3),
        (stopping(patience=2), [0.1, 0.3, 0.2, 0.4, 0.3, 0.9], None),
        (stopping(patience=2, is_rising=False), [3.0, 1.0, 2.0, math.nan], 3),
        (stopping(patience=3, at=0.9), [0.5, 0.4, 0.95], 2),
    ],
)
def test_when_a_member_stops(rule: Stopping, values: list[float], place: int | None) -> None:
    assert judged(rule, values) == place


def test_members_leave_where_their_evaluation_says_so() -> None:
    _, whole = trained(program(**STOPS | {"stop_metric": "none", "stop_at": None}, record_every=5))
    curve = records(whole, "train_accuracy")
    first = [int((curve[1:, m] >= 0.5).argmax() + 1) * 5 for m in range(4)]
    assert len(set(first)) > 1, "the case needs members that stop at different steps"
    population, moments = trained(program(**STOPS, record_every=1000))
    outcomes = population.outcomes(80)
    assert {outcome.status for outcome in outcomes} == {"stopped_early"}
    # Until the first leaves, the pack is the same one; afterwards it differs by rounding only.
    assert min(outcome.step for outcome in outcomes) == min(first)
    assert all(abs(outcome.step - step) <= 5 for outcome, step in zip(outcomes, first, strict=True))
    kept = {m.step for m in moments if m.is_snapshot_due and m.record is not None}
    assert {outcome.step for outcome in outcomes} <= kept, "the last record and the last network are kept"


def test_records_do_not_change_when_a_member_stops() -> None:
    ends = [
        trained(program(**STOPS, **more))
        for more in ({"record_every": 3}, {"record_every": 50, "probes": ""})
    ]
    (first, _), (second, _) = ends
    assert [o.step for o in first.outcomes(80)] == [o.step for o in second.outcomes(80)]
    assert torch.equal(first.stopped_at, second.stopped_at)


@pytest.mark.parametrize("pause", [1, 22, 41])
def test_a_restored_population_goes_on_without_those_who_left(pause: int) -> None:
    made = program(**STOPS | {"stop_at": 0.6})
    whole, _ = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == pause:
            break
    # Members leave after the moment in which they stop (step 20 is one): its state still holds their rows.
    stored = {name: tensor.clone() for name, tensor in population.tensors().items()}
    resumed = initial_population(made).restored(pause, stored)
    list(train(made, resumed))
    assert [o.step for o in resumed.outcomes(80)] == [o.step for o in whole.outcomes(80)]
    assert all(same_bits(tensor, whole.tensors()[name]) for name, tensor in resumed.tensors().items())
