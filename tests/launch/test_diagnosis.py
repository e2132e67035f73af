"""What `diagnose` finds where something is planted, and that it finds nothing in a healthy run."""

from typing import Any

import numpy as np
import pytest

from epochal.launch.diagnosis.rules import RULES, Signs, findings_of

STEPS = np.arange(40) * 10
FALLING = 2.0 * np.exp(-STEPS / 200)


def signs(**given: Any) -> Signs:
    usual: dict[str, Any] = {
        "member": 3, "outcome": "finished", "outcome_reason": "", "batch_size": 32, "learning_rate": 0.1,
        "optimizer": "sgd", "loss_steps": STEPS, "losses": FALLING, "section": [],
        "measures": [
            {"step": step, "gradient_norm": 1.0, "weight_norm": 5 + step / 100, "train_softmax_collapse": 0.0,
             "top_eigenvalue": 3.0, "smallest_eigenvalue": -0.1, "gradient_noise_scale": 40.0}
            for step in (0, 100, 200)
        ],
        "layers": layers("gradient_norm", 1.0, 2.0, 4.0) + layers("activation_scale", 1.0, 1.1, 1.0)
        + layers("dead_units", 0.1, 0.0, 0.2) + layers("always_active_units", 0.0, 0.3, 0.1),
    }  # fmt: skip
    return Signs(**{**usual, **given})


def layers(measure: str, *values: float) -> list[dict[str, Any]]:
    return [
        {"step": 200, "measure": measure, "layer": f"layer.{place}", "value": value}
        for place, value in enumerate(values)
    ]


def measures(**columns: list[float]) -> list[dict[str, Any]]:
    return [
        {"step": 100 * row, **{name: values[row] for name, values in columns.items()}}
        for row in range(len(next(iter(columns.values()))))
    ]


def section(*values: float) -> list[dict[str, Any]]:
    return [
        {"from_step": 100, "to_step": 200, "fraction": place / (len(values) - 1), "train_loss": value}
        for place, value in enumerate(values)
    ]


def spike(at: int, factor: float) -> Any:
    losses = FALLING * np.exp(np.random.default_rng(0).normal(size=40) * 0.01)
    losses[at] *= factor
    return losses


def test_a_healthy_run_has_no_findings() -> None:
    assert findings_of(signs(section=section(1.0, 0.8, 0.9, 0.5))) == []


@pytest.mark.parametrize(
    ("planted", "rule", "said", "step"),
    [
        ({"outcome": "diverged", "outcome_reason": "loss at step 7"}, "divergence", "loss at step 7", None),
        ({"losses": spike(20, 4.0)}, "loss spike", "1 such records", 200),
        ({"losses": np.where(STEPS > 300, 1.9, FALLING)}, "loss rises", "ends at 1.9", 390),
        ({"measures": measures(gradient_norm=[1, 500, 2])}, "gradient grows", "500, 1 at first", 100),
        ({"measures": measures(weight_norm=[1, 5, 20])}, "weights grow", "20, 1 at first", 200),
        ({"layers": layers("gradient_norm", 1e-5, 0.1, 1)}, "gradients of sites", "vanish: 1e-05", 200),
        ({"layers": layers("gradient_norm", 1e5, 10, 1)}, "gradients of sites", "explode: 1 at layer.2", 200),
        ({"layers": layers("activation_scale", 1, 1e-2, 1e-4)}, "activations of sites", "vanish", 200),
        ({"layers": layers("activation_scale", 1, 50, 2e3)}, "activations of sites", "explode", 200),
        ({"layers": layers("dead_units", 0.1, 0.75)}, "dead units", "75% of the units of layer.1", 200),
        ({"layers": layers("always_active_units", 0.1, 1)}, "linear units", "100% of the units", 200),
        ({"measures": measures(train_softmax_collapse=[0, 0.2, 0.8])}, "softmax collapse", "80%", 200),
        (
            {"measures": measures(top_eigenvalue=[1, 2.0], smallest_eigenvalue=[-1, -1.5])},
            "negative curvature", "from -1.5 to 2", 100,
        ),
        ({"measures": measures(top_eigenvalue=[1, 30.0])}, "edge of stability", "top eigenvalue 30", 100),
        ({"measures": measures(gradient_noise_scale=[1, 400.0])}, "gradient noise", "batches of 32", 100),
        ({"section": section(1.0, 1.4, 0.9)}, "barrier", "0.4 nat higher", 200),
    ],
)  # fmt: skip
def test_what_is_planted_is_found(planted: dict[str, Any], rule: str, said: str, step: int | None) -> None:
    (found,) = findings_of(signs(**planted))
    assert (found.rule, found.step, found.member) == (rule, step, 3)
    assert said in found.seen and found.threshold


def test_every_rule_is_planted_once() -> None:
    (mark,) = [mark for mark in test_what_is_planted_is_found.pytestmark if mark.name == "parametrize"]
    assert {case[1] for case in mark.args[1]} == set(RULES)


def test_what_only_resembles_trouble_is_no_finding() -> None:
    """A tiny loss that bounces; a saddle at the start; another optimiser beyond 2 / rate; a descent."""
    assert not findings_of(signs(losses=1e-6 * spike(20, 50.0)))
    assert not findings_of(signs(measures=measures(top_eigenvalue=[1.0, 2], smallest_eigenvalue=[-1.0, 0])))
    assert not findings_of(signs(optimizer="adamw", measures=measures(top_eigenvalue=[1, 30.0])))
    assert not findings_of(signs(section=section(2.3, 2.0, 1.1, 0.1)))
