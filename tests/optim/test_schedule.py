"""Learning rates against torch's schedulers, and against closed forms, per member."""

import math

import pytest
import torch

from epochal.core.values.spec import Spec
from epochal.experiments.optimization import learning_rate_of
from epochal.optim.schedule import cosine, one_later, schedule, step_decay, warm_up, warmed_up
from tests.optim.examples import columns

FIELDS = {
    "learning_rate": [0.5, 1e-3, 2.0, 1.0],
    "warmup_steps": [0.0, 0.0, 0.0, 0.0],
    "anneal_steps": [0.0, 1.0, 17.0, 90.0],
    "anneal_every": [1.0, 1.0, 1.0, 1.0],
    "anneal_final_fraction": [0.1, 0.1, 0.0, 0.5],
    "rate_decay_steps": [0.0, 1.0, 7.0, 30.0],
    "rate_decay_factor": [0.1, 0.9, 0.5, 0.1],
}
STEPS = 100


def rates(name: str, member: int) -> list[float]:
    """What torch makes of a member's fields."""
    fields = {field: values[member] for field, values in FIELDS.items()}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=fields["learning_rate"])
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if name == "step decay":
        scheduler = torch.optim.lr_scheduler.StepLR(
            optimizer, int(fields["rate_decay_steps"]) or STEPS + 1, fields["rate_decay_factor"]
        )
    else:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer,
            int(fields["anneal_steps"]) or STEPS + 1,
            fields["learning_rate"] * fields["anneal_final_fraction"],
        )
    seen = []
    for _ in range(STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_a_rate_per_epoch_is_torchs_scheduler_stepped_after_each_epoch() -> None:
    epochs, updates = 6, 5
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    expected = []
    for _ in range(epochs):
        for _ in range(updates):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
        scheduler.step()
    per_epoch: dict[str, list[float]] = {
        "anneal_steps": [epochs * updates],
        "anneal_every": [updates],
        "anneal_final_fraction": [0.0],
    }
    fields = columns({"learning_rate": [0.5], "warmup_steps": [0], **per_epoch})
    ours = [schedule(cosine)(fields, step).item() for step in range(epochs * updates)]
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["step decay", "cosine"])
def test_it_agrees_with_torch(name: str) -> None:
    fields = columns(FIELDS)
    rate = schedule(step_decay if name == "step decay" else cosine)
    ours = torch.cat([rate(fields, step) for step in range(STEPS)], dim=1)
    for member in range(4):
        if name == "cosine" and FIELDS["anneal_steps"][member] == 0:
            expected = [FIELDS["learning_rate"][member]] * STEPS
        else:
            expected = rates(name, member)
        if name == "cosine" and (last := int(FIELDS["anneal_steps"][member])):
            expected[last:] = [expected[last]] * (STEPS - last)  # torch's turns round and rises again
        torch.testing.assert_close(
            ours[member], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-15
        )


def test_annealing_starts_with_the_first_full_rate() -> None:
    """openai/grok's rule in its own terms, by its step t; our step is its t - 1."""
    peak, warmup, anneal = 0.3, 10, 40

    def published(t: int) -> float:
        if t <= warmup:
            return t / warmup * peak
        if t <= anneal + warmup:
            cos = (1 + math.cos(math.pi * (t - warmup) / anneal)) / 2
            return peak / 10 + (peak - peak / 10) * cos
        return peak / 10

    fields = columns(
        {
            "learning_rate": [peak],
            "warmup_steps": [warmup],
            "anneal_steps": [anneal],
            "anneal_every": [1],
            "anneal_final_fraction": [0.1],
        }
    )
    rate = schedule(warm_up, cosine)
    for step in range(80):
        assert math.isclose(float(rate(fields, step)), published(step + 1), rel_tol=1e-13)


def test_factors_multiply_and_warm_up_alone_is_warmed_up() -> None:
    fields = columns(FIELDS | {"warmup_steps": [0.0, 3.0, 10.0, 40.0]})
    for step in (0, 2, 9, 50):
        assert torch.equal(schedule(warm_up)(fields, step), warmed_up(fields, step))
        product = (
            fields["learning_rate"] * warm_up(fields, step) * cosine(fields, step) * step_decay(fields, step)
        )
        torch.testing.assert_close(schedule(warm_up, cosine, step_decay)(fields, step), product)
        assert (schedule()(fields, step) == fields["learning_rate"]).all()


@pytest.mark.parametrize("annealed", [False, True])
def test_an_update_later_is_the_published_schedule_step_by_step(annealed: bool) -> None:
    """MIML's and openai/grok's ``_scheduler_lr`` under ``LambdaLR``: the first update has rate 0."""
    peak, warmup, anneal = 0.3, 10, 40

    def published(step: int) -> float:
        if step <= warmup:
            return step / warmup * peak
        if not annealed:
            return peak
        t = min((step - warmup) / anneal, 1.0)
        return peak / 10 + (peak - peak / 10) * (1 + math.cos(math.pi * t)) / 2

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, published)
    spec = Spec(warmup_from_zero=True)
    fields = columns(
        {
            "learning_rate": [peak],
            "warmup_steps": [warmup],
            "anneal_steps": [anneal if annealed else 0],
            "anneal_every": [1],
            "anneal_final_fraction": [0.1],
            "rate_decay_steps": [0],
            "rate_decay_factor": [0.1],
        }
    )
    rate = learning_rate_of(spec)
    for step in range(80):
        assert math.isclose(rate(fields, step).item(), optimizer.param_groups[0]["lr"], abs_tol=1e-15), step
        optimizer.step()
        scheduler.step()
    assert rate(fields, 0).item() == 0.0
    for step in range(1, 20):
        assert one_later(warm_up)(fields, step).item() == warm_up(fields, step - 1).item()


def test_a_rate_falls_with_the_update_that_completes_its_period() -> None:
    """49 times the reciprocal of 49 is less than 1; a step may be a number or a tensor of steps."""
    periods = [float(period) for period in range(1, 200)]
    fields = columns({"rate_decay_steps": periods, "rate_decay_factor": [0.5] * len(periods)})
    for times in (1, 2, 3):
        for place, period in enumerate(periods):
            steps = torch.tensor([times * int(period) - 1, times * int(period)])[:, None, None]
            found = step_decay(fields, steps)[:, place, 0]
            torch.testing.assert_close(found, torch.tensor([2.0, 1.0]).double() / 2**times)
            assert torch.equal(step_decay(fields, times * int(period))[place, 0], found[1])


def test_many_steps_at_once_are_each_step_by_itself() -> None:
    fields = columns(FIELDS | {"warmup_steps": [0, 7, 10, 49]})
    rate = schedule(warm_up, cosine, step_decay)
    together = rate(fields, torch.arange(STEPS)[:, None, None])
    for step in range(STEPS):
        assert torch.equal(together[step], rate(fields, step))
