"""Credit of stored runs against feedback they never saw: the right matrices, sites, sharing and null."""

from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.analysis.nulls import credit_cosine
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.experiments.restore import program_of, restore
from epochal.launch.credit.null import Judged, judge, without_null
from epochal.store.run import Run

SMALL: dict[str, Any] = {
    "preset": "credit", "data": "digits", "crop_padding": 0, "flip": False, "width": 12, "depth": 2,
    "epochs": 1, "snapshot_every": "1ep", "probes": "weight_norm", "probe_samples": 40, "threads": 1,
    "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rules = "dfa,fa,backprop,kolen_pollack"
    return epochal.run("images", runs=tmp_path_factory.mktemp("runs"), rule=rules, seed=3, **SMALL)


def of(judged: Judged, site: str, step: int) -> float:
    (found,) = [s.null.statistic for s in judged.joint.sites if (s.name, s.checkpoint) == (site, step)]
    return found


def test_direct_credit_is_error_times_the_feedback_of_training_at_the_output_of_each_block(run: Run) -> None:
    # By hand: an ordinary module, its own autograd, the feedback that the run's seed draws.
    step = run.snapshots[-1]
    judged = judge(run, 0, draws=99)
    program = program_of(run, (0,), executor="loop")
    feedback = {site: value[0] for site, value in initial_population(program).memory.items()}
    fields = {name: values[0] for name, values in program.fields.items()}
    batch = program.task.batch(program.task.index("val", fields)[:40], fields, torch.tensor(0))
    module = restore(run, 0, step)
    held: dict[str, torch.Tensor] = {}

    def tap(site: str, activation: torch.Tensor) -> torch.Tensor:
        held[site] = activation
        activation.retain_grad()
        return activation

    logits = module(batch.inputs, Tap(edit=tap))
    torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum").backward()
    error = (logits.softmax(-1) - torch.nn.functional.one_hot(batch.targets, 10)).detach()
    for site, activation in held.items():
        assert activation.grad is not None
        expected = credit_cosine(error, activation.grad, feedback[site], draws=99)
        assert of(judged, site, step) == pytest.approx(expected.statistic, abs=1e-5)
        told = torch.nn.functional.cosine_similarity(error @ feedback[site].T, activation.grad, eps=1e-30)
        assert of(judged, site, step) == pytest.approx(float(told.mean()), abs=1e-5)


def test_draws_are_shared_as_feedback_was_in_training(run: Run) -> None:
    # The embedding and block 0 share B_0; at the start the blocks hardly change the stream, so that sites
    # with one feedback move together over draws and others do not.
    judged = judge(run, 0, draws=199, steps=[0])
    null: Any = np.corrcoef(judged.joint.null_statistics.T)
    assert null[0, 1] > 0.99
    assert abs(null[0, 2]) < 0.3


def test_the_published_layers_are_the_inputs_of_blocks_with_the_feedback_of_the_block(run: Run) -> None:
    # Layer 1 (the stream after block 0) is compared with the feedback of block 1, the last of both sites.
    judged = judge(run, 0, draws=99)
    step = run.snapshots[-1]
    control = judged.published[step]
    assert len(control.training) == 3
    assert control.training[0] == pytest.approx(of(judged, "embed", step), abs=1e-9)  # B_0 is shared
    assert control.training[2] == pytest.approx(of(judged, "block.1", step), abs=1e-9)  # and so is the last
    assert control.training[1] != pytest.approx(of(judged, "block.0", step), abs=1e-6)


def test_feedback_that_passes_through_the_network_is_drawn_again_and_used_again(run: Run) -> None:
    judged = judge(run, 1, draws=39)
    assert judged.published == {}
    assert {site.checkpoint for site in judged.joint.sites} == set(run.snapshots)
    assert all(site.null.isometric_reference is None for site in judged.joint.sites)
    # The same seeds draw the same feedback for both checkpoints; another seed gives another null.
    assert np.array_equal(judged.joint.null_statistics, judge(run, 1, draws=39).joint.null_statistics)
    other = judge(run, 1, draws=39, seed=1)
    assert not np.array_equal(judged.joint.null_statistics, other.joint.null_statistics)
    assert [s.null.statistic for s in other.joint.sites] == [s.null.statistic for s in judged.joint.sites]


def test_rules_without_a_null_say_why(run: Run) -> None:
    assert set(without_null(run, range(4))) == {2, 3}
    with pytest.raises(UserError, match="its credit is the gradient"):
        judge(run, 2)
    with pytest.raises(UserError, match="learns its feedback"):
        judge(run, 3)


def test_too_few_draws_are_refused_and_the_message_says_how_many(run: Run) -> None:
    with pytest.raises(UserError, match="at least 19 draws"):
        judge(run, 0, draws=9)


def test_own_number_of_examples(run: Run) -> None:
    assert judge(run, 0, draws=19, samples=7).num_samples == 7
    assert judge(run, 0, draws=19).num_samples == 40


def test_a_step_that_is_not_there(run: Run) -> None:
    with pytest.raises(UserError, match="no snapshot"):
        judge(run, 0, steps=[1])
