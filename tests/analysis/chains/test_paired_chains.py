"""Changes between potentials sampled with the same noise: their error covers, and is the smaller one."""

import math

import numpy as np

from epochal.analysis.chains.chain_mixing import mean_error
from epochal.analysis.chains.paired_chains import change

STRENGTH = 0.9


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    noise = rng.normal(size=shape)
    found = np.empty(shape)
    found[..., 0] = noise[..., 0] / math.sqrt(1 - STRENGTH**2)
    for t in range(1, shape[-1]):
        found[..., t] = STRENGTH * found[..., t - 1] + noise[..., t]
    return found


def test_the_error_of_a_change_covers_and_is_smaller_than_that_of_its_parts() -> None:
    rng = np.random.default_rng(0)
    exact, trials, ratios, hits = 0.3, 300, [], 0
    for _ in range(trials):
        shared, own = autoregressive(rng, (4, 400)), 0.3 * autoregressive(rng, (2, 4, 400))
        earlier, now = shared + own[0], shared + own[1] + exact
        value, error = change(earlier, now)
        hits += abs(value - exact) < 2 * error
        ratios.append(error / math.hypot(mean_error(earlier), mean_error(now)))
    # 95.4% of normal errors; estimated from 400 correlated draws they are a little short.
    assert 0.90 < hits / trials < 0.985
    # Differences have sd .3 sqrt(2), the two apart sqrt(2 (1 + .09)): .287.
    assert abs(np.median(ratios) - 0.3 / math.sqrt(1.09)) < 0.03


def test_chains_that_diverged_are_left_out_of_both() -> None:
    rng = np.random.default_rng(1)
    earlier = rng.normal(size=(3, 50))
    now = earlier + 2
    now[1, 20:] = math.nan
    value, error = change(earlier, now)
    assert abs(value - 2) < 1e-12 and error < 1e-12
    assert all(map(math.isnan, change(earlier, np.full((3, 50), math.nan))))
    assert all(map(math.isnan, change(earlier, now[:, :40])))
