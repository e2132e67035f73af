"""What every rule must pass: finite scalars, members apart, purity, neighbours of a diverging member, SAM."""

from collections.abc import Callable
from dataclasses import replace

import torch

from epochal.check.case import Outcome, outcome, population_of, same_bits
from epochal.core.tensors.rule import Rule
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.rules.wrappers.sam import SAM
from epochal.rules.wrappers.weight_noise import WeightNoise

UPDATES = 5


def check_rule(rule: Rule) -> list[Outcome]:
    """Every check of this kind."""

    def run(check: Callable[[Rule], None]) -> Callable[[], None]:
        return lambda: check(rule)

    return [outcome(name, run(check)) for name, check in CHECKS.items()]


def it_trains(rule: Rule) -> None:
    made = _with(rule, seed="0:2")
    population = _trained(made)
    assert population.is_alive.all(), f"it diverges: {population.outcomes(UPDATES)[0].reason or 'not finite'}"
    assert not same_bits(population.flat, population.initial), "no parameter moves"


def members_train_apart(rule: Rule) -> None:
    """The same network in a pack, under vmap, as alone."""
    pack = _trained(_with(rule, seed="0:3", precision="float64"))
    for seed in range(3):
        alone = _trained(_with(rule, seed=seed, precision="float64"))
        apart = (alone.flat[0] - pack.flat[seed]).abs().max().item()
        scale = pack.flat[seed].abs().max().item()
        assert apart <= 1e-9 * scale, (
            f"member {seed} alone differs from itself in a pack of three by {apart / scale:.1e} of its size"
        )


def it_is_pure(rule: Rule) -> None:
    made, generator = _with(rule, seed="0:2"), torch.random.get_rng_state()
    first, second = _trained(made), _trained(made)
    assert same_bits(first.flat, second.flat), "the same updates twice differ"
    assert torch.equal(generator, torch.random.get_rng_state()), (
        "it moves the global generator: draw from its key"
    )


def a_diverging_member_leaves_its_neighbours_alone(rule: Rule) -> None:
    made = _with(rule, seed="0:3")
    calm, wild = _trained(made), _trained(made, explode=1)
    for member in (0, 2):
        assert same_bits(calm.flat[member], wild.flat[member]), f"member {member} changes with its neighbour"


def it_works_inside_others(rule: Rule) -> None:
    """Sharpness-aware minimisation and weight noise, which ask it at other points."""
    made = _with(SAM(WeightNoise(rule)), seed="0:2", sam_rho=0.05, weight_noise=0.01)
    assert _trained(made).flat.isfinite().all(), "it diverges inside SAM and weight noise"


CHECKS: dict[str, Callable[[Rule], None]] = {
    "it trains": it_trains,
    "members train apart": members_train_apart,
    "it is pure": it_is_pure,
    "a diverging member leaves its neighbours alone": a_diverging_member_leaves_its_neighbours_alone,
    "it works inside SAM and weight noise": it_works_inside_others,
}


def _with(rule: Rule, **settings: object) -> Program:
    return replace(population_of(settings), rule=rule)


def _trained(made: Program, *, explode: int | None = None) -> Population:
    population, stepper = initial_population(made), Stepper(made)
    if explode is not None:
        population.flat[explode] = torch.inf
    for _ in range(UPDATES):
        stepper.update(population)
    return population
