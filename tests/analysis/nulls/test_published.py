"""The published control: its quantities by hand, and a rule that says real whether or not anything is."""

import numpy as np
import pytest

from epochal.analysis.nulls import published, published_verdict
from epochal.core.values.errors import UserError
from tests.analysis.nulls.networks import Array, generator, mean_cosine, network


def layers(*seed: int, d: int = 32) -> tuple[Array, list[Array], list[Array]]:
    g = generator(*seed)
    known = network(g, n=60, d=d, classes=5, depth=3)
    return known.errors, known.gradients, [g.normal(size=(d, 5)) for _ in range(3)]


def test_quantities_by_hand() -> None:
    errors, gradients, feedbacks = layers(1)
    g = generator(2)
    fresh = [[g.normal(size=(32, 5)) for _ in range(3)] for _ in range(4)]
    found = published(errors, gradients, feedbacks, fresh=fresh)
    table = np.array(
        [
            [mean_cosine(errors @ one[i].T, gradients[l]) for l, i in enumerate((0, 1, 2, 2))]
            for one in [feedbacks, *fresh]
        ]
    )
    assert found.training == pytest.approx(table[0])
    assert found.fresh == pytest.approx(table[1:])
    assert found.training_deep == pytest.approx(table[0, 1:].mean())
    assert found.fresh_mean == pytest.approx(table[1:].mean(axis=0))
    assert found.pooled_sd == pytest.approx(np.std(table[1:, 1:], ddof=1))
    assert found.deep.statistic == pytest.approx(found.training_deep)
    assert published(errors, gradients, feedbacks).fresh.shape == (20, 4)


def test_its_rule_by_its_thresholds() -> None:
    known = [published_verdict(mean) for mean in (0.0, 0.049, -0.07, 0.05, 0.1, 0.101, -0.5)]
    assert known == ["real", "real", "mixed", "mixed", "mixed", "similar", "similar"]


def test_its_rule_calls_unrelated_feedback_real_and_the_null_does_not() -> None:
    """40 networks: at most 6 false claims at 5% but with probability .01."""
    said_real = adapted = 0
    for r in range(40):
        found = published(*layers(3, r, d=64), draws=99, seed=r)
        said_real += found.verdict == "real"
        adapted += found.adapted
    assert said_real >= 39
    assert adapted <= 6


def test_both_find_what_is_there_and_tell_it() -> None:
    errors, gradients, feedbacks = layers(4)
    for l in (1, 2):
        feedbacks[l] = np.asarray(np.linalg.lstsq(errors, gradients[l], rcond=None)[0].T, dtype=np.float64)
    found = published(errors, gradients, feedbacks)
    assert found.verdict == "real" and found.adapted and found.deep.p == 1 / 1000
    told = found.lines()
    assert len(told) == 1 + 20 + 4
    assert told[0].startswith("training B  l0 ") and "fresh B     l0 " in told[21]
    assert told[-2].startswith("published rule: real (") and told[-1].endswith(": adapted to this feedback")
    assert published(*layers(5)).lines()[-1].endswith(": as with feedback it never saw")


def test_a_zero_vector_is_a_zero_there_and_no_sample_here() -> None:
    errors, gradients, feedbacks = layers(6)
    gradients[1][:30] = 0
    found = published(errors, gradients, feedbacks)
    assert found.training[1] == pytest.approx(found.joint.sites[1].null.statistic / 2)
    assert found.joint.sites[1].null.num_zero_gradients == 30


def test_refusals() -> None:
    errors, gradients, feedbacks = layers(7)
    with pytest.raises(UserError, match="at least two layers"):
        published(errors, gradients[:1], feedbacks)
    with pytest.raises(UserError, match="at least one set, each of 3 as in training, or None for 20"):
        published(errors, gradients, feedbacks, fresh=[])
    with pytest.raises(UserError, match=r"sets of \[2, 3\] matrices"):
        published(errors, gradients, feedbacks, fresh=[feedbacks, feedbacks[:2]])
    with pytest.raises(UserError, match="feedback 0 has shape"):
        published(errors, gradients, [feedbacks[0].T, *feedbacks[1:]])
