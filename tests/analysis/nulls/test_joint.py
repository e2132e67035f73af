"""Sites and checkpoints as one family: against single sites, copies, sharing, and their level together."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from epochal.analysis.nulls import Site, credit_cosine, expected_cosine, joint, shared_feedback
from epochal.core.values.errors import UserError
from tests.analysis.nulls.networks import Array, generator, network


def sites(*seed: int, depth: int = 3, d: int = 16) -> tuple[list[Site], list[Array]]:
    g = generator(*seed)
    known = network(g, n=40, d=d, classes=4, depth=depth)
    index = shared_feedback(depth + 1, depth)
    given = [
        Site(name=f"l{l}", errors=known.errors, gradients=gradients, feedback=i)
        for l, (gradients, i) in enumerate(zip(known.gradients, index, strict=True))
    ]
    return given, [g.normal(size=(d, 4)) for _ in range(depth)]


def test_sharing_of_feedback() -> None:
    assert shared_feedback(5, 4) == [0, 1, 2, 3, 3]
    assert shared_feedback(3, 3) == [0, 1, 2]
    assert shared_feedback(3, 1) == [0, 0, 0]
    with pytest.raises(UserError, match="at least one"):
        shared_feedback(0, 1)


def test_one_site_alone_is_credit_cosine() -> None:
    given, feedbacks = sites(1, depth=1)
    found = joint(given[:1], feedbacks, seed=3).sites[0]
    alone = credit_cosine(given[0].errors, given[0].gradients, feedbacks[0], seed=3)
    assert asdict(found.null) == asdict(alone)
    assert found.adjusted_p == alone.p == joint(given[:1], feedbacks, seed=3).p


def test_copies_and_checkpoints_that_changed_nothing_cost_nothing() -> None:
    given, feedbacks = sites(2)
    again = [
        Site(name=s.name, errors=s.errors, gradients=s.gradients, feedback=s.feedback, checkpoint=100)
        for s in given
    ]
    once, twice = joint(given, feedbacks), joint([*given, *again], feedbacks)
    assert twice.p == once.p
    adjusted = [site.adjusted_p for site in twice.sites]
    assert adjusted == [site.adjusted_p for site in once.sites] * 2
    assert all(site.adjusted_p >= site.null.p for site in twice.sites)
    assert twice.null_statistics[:, 0] == pytest.approx(twice.null_statistics[:, 4], abs=1e-12)


def test_draws_repeat_the_sharing() -> None:
    given, feedbacks = sites(3)
    null = joint(given, feedbacks, draws=4000).null_statistics
    together = np.asarray(np.corrcoef(null.T))
    # 4,000 draws: a correlation of 0 has a standard error of .016.
    assert np.abs(together[[0, 0, 1], [1, 2, 2]]).max() < 0.08
    assert together[2, 3] > 0.3


def test_mean_over_layers_has_the_sd_of_the_mean() -> None:
    """Closed form: of sites with one feedback and the same errors, T of the sum of their unit gradients."""
    given, feedbacks = sites(4)
    found = joint(given, feedbacks, draws=20_000)
    variance = 0.0
    errors = np.asarray(given[0].errors)
    errors = errors / np.linalg.norm(errors, axis=1, keepdims=True)
    expected = expected_cosine(errors @ errors.T, 16)
    for group in ([1], [2, 3]):
        units = [np.asarray(given[l].gradients) for l in group]
        total = np.sum([u / np.linalg.norm(u, axis=1, keepdims=True) for u in units], axis=0)
        variance += float(np.sum((total @ total.T) * expected)) / (40**2 * 16) / 9
    deep = found.mean(["l1", "l2", "l3"])
    assert deep.null_sd == pytest.approx(math.sqrt(variance), rel=0.02)
    assert deep.statistic == pytest.approx(np.mean([s.null.statistic for s in found.sites[1:]]))
    assert deep.z == deep.statistic / deep.null_sd
    with pytest.raises(UserError, match="the names are l0, l1, l2, l3"):
        found.mean(["l9"])
    with pytest.raises(UserError, match="checkpoint 5"):
        found.mean(checkpoint=5)


def test_level_of_all_sites_together() -> None:
    """500 replicates: standard error .01; testing each site at 5% claims far more often."""
    any_adjusted = any_plain = 0
    for r in range(500):
        given, feedbacks = sites(5, r, d=16)
        found = joint(given, feedbacks, draws=99, seed=r)
        any_adjusted += found.p <= 0.05
        any_plain += any(site.null.p <= 0.05 for site in found.sites)
    assert 0.02 < any_adjusted / 500 < 0.08
    assert any_plain / 500 > 0.1


def test_a_site_that_is_aligned_is_the_one_found() -> None:
    given, feedbacks = sites(6, d=64)
    target = given[1]
    feedbacks[1] = np.linalg.lstsq(np.asarray(target.errors), np.asarray(target.gradients), rcond=None)[0].T
    found = joint(given, feedbacks)
    assert found.p == found.sites[1].adjusted_p == 1 / 1000
    assert min(site.adjusted_p for site in found.sites if site.name != "l1") > 0.05


def test_a_site_without_any_gradient_is_no_member_of_the_family() -> None:
    given, feedbacks = sites(7)
    dead = Site(name="dead", errors=given[0].errors, gradients=0 * np.asarray(given[0].gradients), feedback=0)
    with_, without = joint([dead, *given], feedbacks), joint(given, feedbacks)
    assert math.isnan(with_.sites[0].adjusted_p) and with_.sites[0].null.num_zero_gradients == 40
    assert [s.adjusted_p for s in with_.sites[1:]] == [s.adjusted_p for s in without.sites]
    assert math.isnan(joint([dead], feedbacks).p)


def test_refusals() -> None:
    given, feedbacks = sites(8)
    with pytest.raises(UserError, match="there are 2: 0 to 1"):
        joint(given, feedbacks[:2])
    with pytest.raises(UserError, match="'l0' of checkpoint 0 is given twice"):
        joint([given[0], *given], feedbacks)
    with pytest.raises(UserError, match="no sites"):
        joint([], feedbacks)
    with pytest.raises(UserError, match=r"feedback 1 has shape \[4, 16\].*transpose"):
        joint(given, [feedbacks[0], feedbacks[1].T, feedbacks[2]])
    with pytest.raises(UserError, match="at least 19 draws"):
        joint(given, feedbacks, draws=10)
