"""The null of one site: by hand, invariances, level, power, and what is refused."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from epochal.analysis.nulls import credit_cosine, draws_needed, null_of
from epochal.analysis.nulls.directions import directions
from epochal.analysis.nulls.fresh import by_images, by_products, fresh_statistics
from epochal.core.values.errors import UserError
from tests.analysis.nulls.networks import Array, generator, mean_cosine, network


def some(*seed: int, n: int = 60, d: int = 16, classes: int = 4) -> tuple[Array, Array, Array]:
    g = generator(*seed)
    known = network(g, n=n, d=d, classes=classes, depth=1)
    return known.errors, known.gradients[0], g.normal(size=(d, classes))


def test_statistic_and_p_by_hand() -> None:
    errors, gradients, feedback = some(1)
    found = credit_cosine(errors, gradients, feedback, draws=199, keep_draws=True)
    assert found.statistic == pytest.approx(mean_cosine(errors @ feedback.T, gradients), abs=1e-12)
    assert found.z == found.statistic / found.null_sd
    null = found.null_statistics
    assert null is not None and len(null) == found.draws == 199
    assert found.p == (1 + sum(abs(t) >= abs(found.statistic) for t in null)) / 200
    assert credit_cosine(errors, gradients, feedback, draws=199).null_statistics is None


@pytest.mark.parametrize(("d", "classes"), [(4, 3), (40, 10), (40, 50)])
def test_draws_are_mean_cosines_of_fresh_feedback(d: int, classes: int) -> None:
    g = generator(2, d, classes)
    at = directions(g.normal(size=(1100, classes)), g.normal(size=(1100, d)))
    feedbacks = g.standard_normal((3, d, classes))
    by_hand = [1100 * mean_cosine(at.errors @ one.T, at.gradients) for one in feedbacks]
    for numbers, tolerance in ((feedbacks, 1e-9), (feedbacks.astype(np.float32), 2e-3)):
        assert by_products(at, numbers) == pytest.approx(by_hand, abs=tolerance)
        assert by_images(at, numbers) == pytest.approx(by_hand, abs=tolerance)


def test_draws_do_not_depend_on_how_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    g = generator(3)
    at = directions(g.normal(size=(50, 5)), g.normal(size=(50, 33)))
    whole = fresh_statistics([at], draws=101, seed=4)
    monkeypatch.setattr("epochal.analysis.nulls.fresh.NUMBERS", 33 * 5 * 7)
    assert fresh_statistics([at], draws=101, seed=4) == pytest.approx(whole, abs=1e-6)
    assert fresh_statistics([at], draws=20, seed=4) == pytest.approx(whole[:20], abs=1e-6)
    assert np.abs(fresh_statistics([at], draws=101, seed=5) - whole).min() > 1e-6


def test_what_must_not_matter() -> None:
    errors, gradients, feedback = some(5)
    g = generator(6)
    found = credit_cosine(errors, gradients, feedback)
    order, turn = g.permutation(len(errors)), np.linalg.qr(g.normal(size=(16, 16)))[0]
    scale, other = np.exp(g.normal(size=(2, len(errors), 1)))
    turned = credit_cosine(errors, gradients @ turn.T, turn @ feedback)
    for same in (
        credit_cosine(errors * scale, gradients * other, feedback),
        credit_cosine(errors * 1e-250, gradients * 1e-300, feedback * 1e20),
        credit_cosine(errors[order], gradients[order], feedback),
    ):
        assert (same.statistic, same.null_sd, same.p) == pytest.approx(
            (found.statistic, found.null_sd, found.p), abs=1e-9
        )
    # Rotated with its feedback: the same statistic and sd; other draws, so p to its error.
    assert (turned.statistic, turned.null_sd) == pytest.approx((found.statistic, found.null_sd), rel=1e-9)
    assert turned.p == pytest.approx(found.p, abs=4 * math.sqrt(0.25 / 999))
    flipped = credit_cosine(errors, gradients, -feedback)
    assert flipped.statistic == pytest.approx(-found.statistic)
    assert flipped.p == found.p


def test_level_of_p_and_of_z_and_failure_of_the_z_test_over_samples() -> None:
    """2,000 replicates: a rate of .05 has a standard error of .005, and three of these are allowed."""
    rejected = {"p": 0, "z": 0, "naive": 0}
    for r in range(2000):
        errors, gradients, feedback = some(7, r, n=40, d=16, classes=3)
        found = credit_cosine(errors, gradients, feedback, draws=99, seed=r)
        rejected["p"] += found.p <= 0.05
        rejected["z"] += abs(found.z) > norm.isf(0.025)
        credit = errors @ feedback.T
        cosines = np.sum(credit * gradients, axis=1)
        cosines /= np.linalg.norm(credit, axis=1) * np.linalg.norm(gradients, axis=1)
        rejected["naive"] += abs(cosines.mean()) > norm.isf(0.025) * cosines.std(ddof=1) / math.sqrt(40)
    assert 0.035 < rejected["p"] / 2000 < 0.065
    assert 0.035 < rejected["z"] / 2000 < 0.065
    assert rejected["naive"] / 2000 > 0.5


def test_planted_alignment_is_found_at_the_size_that_the_null_sd_tells() -> None:
    """80% power at 2.8 null sd: 200 replicates have a standard error of .03."""
    found = 0
    for r in range(200):
        errors, gradients, feedback = some(8, r, n=40, d=64, classes=5)
        null_sd = credit_cosine(errors, gradients, feedback, draws=99).null_sd
        head = np.linalg.lstsq(errors, gradients, rcond=None)[0].T
        head *= np.linalg.norm(feedback) / np.linalg.norm(head)
        leaning = feedback + 2.8 * null_sd / credit_cosine(errors, gradients, head, draws=99).statistic * head
        found += credit_cosine(errors, gradients, leaning, draws=199, seed=r).p <= 0.05
    assert 0.7 < found / 200 < 0.9


def test_samples_without_a_direction_are_left_out_and_counted() -> None:
    errors, gradients, feedback = some(9)
    errors[:3], gradients[2:7] = 0, 0
    found = credit_cosine(errors, gradients, feedback)
    rest = credit_cosine(errors[7:], gradients[7:], feedback)
    assert (found.num_samples, found.num_zero_errors, found.num_zero_gradients) == (53, 3, 5)
    assert (found.statistic, found.null_sd, found.p) == pytest.approx((rest.statistic, rest.null_sd, rest.p))
    none = credit_cosine(errors[:7], gradients[:7] * 0, feedback)
    assert none.num_samples == 0
    assert all(math.isnan(x) for x in (none.statistic, none.null_sd, none.z, none.p))


def test_samples_that_cancel_have_no_variance() -> None:
    for r in range(30):
        g = generator(14, r)
        errors, gradients = (np.repeat(g.normal(size=(20, k)), 2, axis=0) for k in (5, 40))
        errors *= np.exp(g.normal(size=(40, 1)))
        gradients[::2] *= -np.exp(g.normal(size=(20, 1)))
        found = credit_cosine(errors, gradients, g.normal(size=(40, 5)), draws=19)
        assert found.null_sd == pytest.approx(0, abs=1e-8)
        assert found.statistic == pytest.approx(0, abs=1e-15) and found.p == 1


def test_draws_that_the_level_needs() -> None:
    assert [draws_needed(0.05), draws_needed(0.05, 5), draws_needed(0.001)] == [19, 99, 999]
    errors, gradients, feedback = some(10)
    credit_cosine(errors, gradients, feedback, draws=19)
    with pytest.raises(UserError, match="at least 19 draws, better 999"):
        credit_cosine(errors, gradients, feedback, draws=18)
    with pytest.raises(
        UserError, match=r"shared by 60 tests asks for 0.00083: at least 1199 draws, better 11990"
    ):
        credit_cosine(errors, gradients, feedback, num_tests=60)


@pytest.mark.parametrize("rule", ["kolen-pollack", "weight_mirror", "Weight mirror"])
def test_learned_feedback_has_no_fresh_null(rule: str) -> None:
    errors, gradients, feedback = some(11)
    with pytest.raises(UserError, match="learns its feedback"):
        credit_cosine(errors, gradients, feedback, rule=rule)


def test_rules_and_their_nulls() -> None:
    assert (null_of("dfa"), null_of("FA"), null_of("pepita"), null_of("drtp")) == (
        "fresh feedback",
        *["redraw"] * 3,
    )
    errors, gradients, feedback = some(12)
    with pytest.raises(UserError, match="use redraw"):
        credit_cosine(errors, gradients, feedback, rule="fa")
    for rule, why in (
        ("backprop", "is the gradient"),
        ("sign-symmetry", "the sign"),
        ("nonsense", "not known"),
    ):
        with pytest.raises(UserError, match=why):
            null_of(rule)


def test_refusals() -> None:
    errors, gradients, feedback = some(13)
    with pytest.raises(UserError, match="give its transpose"):
        credit_cosine(errors, gradients, feedback.T)
    with pytest.raises(UserError, match="same samples"):
        credit_cosine(errors[1:], gradients, feedback)
    with pytest.raises(UserError, match=r"shape \[60\]: give \[n, C\]"):
        credit_cosine(errors[:, 0], gradients, feedback)
    with pytest.raises(UserError, match="zero everywhere"):
        credit_cosine(errors, gradients, 0 * feedback)
    gradients[3, 2] = math.inf
    with pytest.raises(UserError, match="gradients has 1 numbers that are not finite"):
        credit_cosine(errors, gradients, feedback)
