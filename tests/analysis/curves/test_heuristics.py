"""Other people's heuristics do exactly what their code says, with its flaws."""

import numpy as np

from epochal.analysis.curves.heuristics import (
    causalgrok_grokking_row,
    causalgrok_irm_drop_row,
    miml_steps_to_99,
)


def test_causalgrok_fires_on_a_jump_after_a_plateau() -> None:
    flat = [0.76] * 10
    assert causalgrok_grokking_row([*flat, 0.82]) == 10
    assert causalgrok_grokking_row([*flat, 0.81]) is None  # not above best_val + .05
    assert causalgrok_grokking_row([*flat[:9], 0.82]) is None  # nine earlier rows
    # Eight of ten within .01 of the latest, the best included: two rows may be off.
    assert causalgrok_grokking_row([0.70, 0.70, *[0.76] * 8, 0.82]) == 10
    assert causalgrok_grokking_row([0.70, 0.70, 0.70, *[0.76] * 7, 0.82]) is None


def test_causalgrok_is_disabled_by_one_spike_and_blind_to_a_ramp() -> None:
    assert causalgrok_grokking_row([0.76, 0.88, *[0.76] * 20, 0.90, 0.90]) is None
    assert causalgrok_grokking_row([0.76] * 20 + list(np.linspace(0.76, 0.9, 10)) + [0.9] * 20) is None


def test_the_largest_change_is_the_transient() -> None:
    t = np.arange(100.0)
    assert causalgrok_irm_drop_row(np.exp(-t / 3) - 0.5 * (t >= 60) * np.minimum((t - 60) / 10, 1)) == 1
    assert causalgrok_irm_drop_row([0.3]) == 0


def test_miml_takes_the_first_of_two_and_the_last_step_for_never() -> None:
    steps = [0, 10, 20, 30, 40]
    assert miml_steps_to_99(steps, [1, 99, 50, 99, 99.5]) == 30
    assert miml_steps_to_99(steps, [1, 2, 3, 4, 99]) == 40
    assert miml_steps_to_99(steps, [1, 2, 3, 4, 5]) == 40
