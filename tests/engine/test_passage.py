"""What probes of sites see: the network that is trained, each example's own gradient, the rule's credit."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.passage import Passage
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.engine.observe import Observer, measure
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.probes import find
from epochal.probes.gradient_norm import GradientOptions
from epochal.rules.feedback.direct import credit
from tests.engine.programs import images, records, same_bits, trained

AT_SITES = find("gradient_norm").configured(GradientOptions(of="sites"))
PROBES = [find("hidden_norm").configured(), AT_SITES, find("credit_alignment").configured()]
SAMPLES = 30


def made(**settings: Any) -> Program:
    usual = {"model": "resmlp", "depth": 3, "w2_std": 0.2, "precision": "float64", "probe_samples": SAMPLES}
    return images(**{**usual, "seed": "0:2", "learning_rate": 0.01, **settings})


def by_hand(
    program: Program, population: Population, member: int
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Hidden states, each example's gradients and the errors, with torch's own modules and one backward."""
    fields = {name: column[member] for name, column in program.fields.items()}
    index = program.task.index("val", fields)[:SAMPLES]
    batch = program.task.batch(index, fields, torch.tensor(0))
    module: Any = program.network.materialise(population.flat[member], population.buffers[member])
    hidden = [module.embed(batch.inputs.flatten(1))]
    for block in module.block:
        change = block.second(torch.nn.functional.gelu(block.first(block.norm(hidden[-1]))))
        hidden.append(hidden[-1] + change if module.residual else change)
    logits = module.readout(module.norm(hidden[-1]))
    summed = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
    *slopes, error = torch.autograd.grad(summed, [*hidden, logits])
    return hidden, list(slopes), error


@pytest.mark.parametrize("residual", [True, False])
def test_norms_and_gradients_are_those_of_the_network_that_is_trained(residual: bool) -> None:
    program = made(residual=residual)
    population, _ = trained(program)
    seen = measure(program, population, PROBES)
    for member in range(2):
        hidden, slopes, _ = by_hand(program, population, member)
        norms = [h.norm(dim=1).median().item() for h in hidden]
        medians = [g.norm(dim=1).median().item() for g in slopes]
        np.testing.assert_allclose(seen["hidden_norm"][member], norms, rtol=1e-10)
        np.testing.assert_allclose(seen["gradient_norm"][member], medians, rtol=1e-10)
        whole = [g.norm().item() for g in slopes]
        np.testing.assert_allclose(seen["gradient_norm_frobenius"][member], whole, rtol=1e-10)


@pytest.mark.parametrize("residual", [True, False])
def test_backprops_credit_is_the_gradient_at_every_site(residual: bool) -> None:
    program = made(residual=residual)
    population, _ = trained(program)
    seen = measure(program, population, PROBES)
    np.testing.assert_allclose(seen["credit_alignment"], 1.0, rtol=0, atol=1e-12)
    assert (seen["credit_alignment_undefined"] == 0).all()
    _, slopes, _ = by_hand(program, population, 0)
    cosine = torch.nn.functional.cosine_similarity
    before = [cosine(a, b, dim=1).mean().item() for a, b in zip(slopes[1:], slopes[:-1], strict=True)]
    np.testing.assert_allclose(seen["credit_alignment_input"][0], before, rtol=1e-9)


def test_frozen_blocks_have_no_angle_and_say_so() -> None:
    program = made(rule="frozen")
    seen = measure(program, initial_population(program), PROBES)
    assert np.isnan(seen["credit_alignment"]).all() and seen["credit_alignment"].shape == (2, 4)
    assert (seen["credit_alignment_undefined"] == 1).all()


def test_direct_feedback_is_compared_at_the_blocks_output_and_at_their_input() -> None:
    program = made(rule="dfa", residual=False)
    population, _ = trained(program)
    seen = measure(program, population, PROBES)
    cosine = torch.nn.functional.cosine_similarity
    for member in range(2):
        _, slopes, error = by_hand(program, population, member)
        told = [credit(error, feedback[member], "none") for feedback in population.memory.values()]
        at_output = [cosine(a, g, dim=1).mean().item() for a, g in zip(told, slopes, strict=True)]
        at_input = [cosine(a, g, dim=1).mean().item() for a, g in zip(told[1:], slopes[:-1], strict=True)]
        np.testing.assert_allclose(seen["credit_alignment"][member], at_output, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(seen["credit_alignment_input"][member], at_input, rtol=1e-7, atol=1e-9)


def test_no_number_depends_on_how_many_examples_there_are() -> None:
    """Each example's own gradient: the same rows from all examples as from some."""
    program = made()
    population, _ = trained(program)

    def gradients(samples: int) -> list[float]:
        few = made(probe_samples=samples)
        found = measure(few, population, [AT_SITES])["gradient_norm_frobenius"][0]
        return [float(value) for value in found**2]

    some, more = np.array(gradients(10)), np.array(gradients(20))
    _, slopes, _ = by_hand(program, population, 0)
    extra = [g[10:20].square().sum().item() for g in slopes]
    np.testing.assert_allclose(more - some, extra, rtol=1e-8)


def test_gradients_far_below_the_smallest_float32_are_there() -> None:
    """softmax - one-hot is e^-200 here; a backward pass in float32 of the loss gives exactly 0."""
    inputs = torch.tensor([[200.0, 0.0], [150.0, 0.0]])

    def run(x: Tensor, tap: Tap) -> Tensor:
        return 2 * tap("site", x / 2)

    batch = Batch(inputs=inputs, targets=torch.tensor([0, 0]), weight=torch.ones(2), factors={})

    def loss(logits_of: Any, batch: Batch) -> Tensor:
        # log(1 + e^-gap) as cross-entropy has it, without the cancellation of 1 - p
        logits = logits_of(batch.inputs)
        return torch.nn.functional.softplus(logits[:, 1] - logits[:, 0]).mean()

    slopes = Passage(run, loss, batch).gradients["site"]
    expected = 2 * 2**0.5 * torch.tensor([-200.0, -150.0], dtype=torch.float64).exp()
    torch.testing.assert_close(slopes.norm(dim=1), expected, rtol=1e-6, atol=0)


def test_the_effect_of_blocks_adds_up_to_the_losses_fall() -> None:
    program = made(learning_rate=0.003)
    population, _ = trained(program)
    population.step -= 1  # one more update within the program
    before = measure(program, population, [find("sample_accuracy").configured()])["sample_loss"]
    Stepper(program).update(population)
    seen = measure(
        program, population, [p.configured() for p in map(find, ("sample_accuracy", "block_loss_share"))]
    )
    fall = before - seen["sample_loss"]
    assert (np.abs(fall) > 1e-5).all()
    np.testing.assert_allclose(seen["block_loss_decrease"].sum(1), fall, rtol=1e-2)
    np.testing.assert_allclose(seen["block_loss_share"].sum(1), 1.0, rtol=1e-12)
    assert seen["block_loss_decrease"].shape == (2, 6), "embed, three blocks, norm, readout"


def test_the_last_update_is_known_while_training_only() -> None:
    program = made(max_steps=4, record_every=1, probes="block_loss_share")
    population, moments = trained(program)
    seen = records(moments, "block_loss_decrease")
    assert (seen[0] == 0).all() and (seen[1:] != 0).any(-1).all()
    population.last_update = None
    with pytest.raises(UserError, match="while training only"):
        Observer(program).measure_all(population)


def test_watching_sites_changes_nothing() -> None:
    probes = "hidden_norm,gradient_norm,credit_alignment,effective_rank,block_loss_share,weight_alignment"
    for rule in ("backprop", "dfa", "fa"):
        quiet, _ = trained(made(probes="", rule=rule))
        watched, _ = trained(
            made(probes=probes, record_every=1, rule=rule, **{"probe_options.gradient_norm.of": "sites"})
        )
        assert all(same_bits(value, quiet.tensors()[key]) for key, value in watched.tensors().items())


def test_feedback_of_kolen_and_pollack_comes_to_the_weights_and_fixed_feedback_starts_apart() -> None:
    probe = [find("weight_alignment").configured()]
    learned, fixed = (made(rule=rule, weight_decay=50.0, max_steps=40) for rule in ("kolen_pollack", "fa"))
    start = measure(learned, initial_population(learned), probe)["weight_alignment"]
    assert start.shape == (2, 8) and (np.abs(start) < 0.6).all()
    assert (measure(learned, trained(learned)[0], probe)["weight_alignment"] > 0.999).all()
    assert (measure(fixed, trained(fixed)[0], probe)["weight_alignment"] < 0.9).all()


@pytest.mark.parametrize("seed", ["0", "0:3"])
def test_an_evaluation_that_the_passage_has_made_already_has_the_same_bits(seed: str) -> None:
    program = made(seed=seed, probe_samples=2000, precision="float32")
    population, _ = trained(program)
    plain = [find(name).configured() for name in ("loss", "accuracy")]
    alone, beside = (measure(program, population, [*first, *plain]) for first in ([], PROBES))
    for column, values in alone.items():
        assert values.tobytes() == beside[column].tobytes(), column
