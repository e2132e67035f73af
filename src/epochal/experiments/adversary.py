"""From a spec's fields of adversarial training to the attack that its batches go through."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from epochal.attacks.ball import pixels
from epochal.attacks.losses import away_from
from epochal.attacks.pgd import pgd
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Rule
from epochal.core.tensors.task import Fields
from epochal.experiments.fields import device_of, dtype_of
from epochal.rules.wrappers.adversarial import Adversarial


def trained_against(spec: Any, task: Any, rule: Rule) -> Rule:
    """``rule`` on adversarial examples where the spec's ``training`` asks for it, else as it is."""
    kind: Any = getattr(spec, "training", "standard")
    if kind == "standard":
        return rule
    mean, std = task.statistics
    place = pixels(mean, std, dtype=dtype_of(spec), device=device_of(spec))
    steps, norm = spec.attack_steps, spec.attack_norm

    def attack(predict: Callable[[Tensor], Tensor], batch: Batch, fields: Fields, key: Key) -> Tensor:
        options: dict[str, Any] = {}
        if kind == "trades":
            with torch.no_grad():
                options = {"loss": away_from(predict(batch.inputs)), "start": "noise"}
        return pgd(
            predict, batch.inputs, batch.targets, key, epsilon=fields["epsilon"], norm=norm, where=place,
            steps=steps, step_size=fields["attack_step_size"], keep="last", **options,
        )  # fmt: skip

    return Adversarial(rule, attack, kind)
