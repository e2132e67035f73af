"""Training on adversarial examples, for any rule: what is learned from is found by an attack first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson
from epochal.core.tensors.objective import LogitsFn, Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Rule, credit_at_sites, surrogate_of
from epochal.core.tensors.task import Fields

Attack = Callable[[Callable[[Tensor], Tensor], Batch, Fields, Key], Tensor]
"""From a network as a function, a batch, fields and a key to the batch's adversarial inputs."""


@dataclass(frozen=True)
class Adversarial:
    """``rule`` on what ``attack`` makes of each batch.

    ``pgd``: all examples adversarial (Madry et al. 2018). ``mixed``: the first ``mixed_share`` of the batch,
    the others as they are (Kurakin et al. 2017). ``trades``: ``loss(clean) + trades_beta KL(clean ||
    adversarial)``, mean over examples (Zhang et al. 2019, equation 5); clean and adversarial pass the network
    as one batch of twice the size.

    The attack sees the network in evaluation mode: batch norm uses its running statistics and dropout is off,
    as in the code of TRADES, so that its passes move no statistics. Those follow the training pass alone, and
    thus the examples that are learned from. No gradient of the attack reaches the parameters. Losses that are
    reported of an update are those of this training; probes measure clean examples.
    """

    rule: Rule
    attack: Attack
    kind: Literal["pgd", "mixed", "trades"]

    def surrogate(self, lesson: Lesson) -> Judged:
        batch, fixed = lesson.batch, {name: value.detach() for name, value in lesson.params.items()}
        with torch.no_grad():
            found = self.attack(
                lesson._replace(params=fixed).logits, batch, lesson.fields, random.fold(lesson.key, "attack")
            )
        if self.kind == "trades":
            lesson = lesson._replace(objective=_Trades(lesson.objective), batch=_doubled(batch, found))
        else:
            lesson = lesson._replace(batch=batch._replace(inputs=self._chosen(batch, found, lesson.fields)))
        return surrogate_of(self.rule)(lesson)

    def credit(self, lesson: Lesson) -> Mapping[str, Float[Tensor, "B ..."]]:
        """What the rule tells clean examples."""
        return credit_at_sites(self.rule, lesson)

    def _chosen(self, batch: Batch, found: Tensor, fields: Fields) -> Tensor:
        if self.kind == "pgd":
            return found
        count = len(batch.targets)
        is_attacked = torch.arange(count, device=found.device) + 0.5 < fields["mixed_share"] * count
        return torch.where(is_attacked.reshape(-1, *[1] * (found.ndim - 1)), found, batch.inputs)


@dataclass(frozen=True)
class _Trades:
    """Of a batch whose second half are the adversarial examples of the first; reads ``trades_beta``."""

    objective: Objective

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]:
        logits = logits_fn(batch.inputs)
        half = len(batch.targets) // 2
        clean = Batch(
            inputs=batch.inputs[:half],
            targets=batch.targets[:half],
            weight=batch.weight[:half],
            factors={name: value[:half] for name, value in batch.factors.items()},
        )
        loss, state = self.objective(lambda _inputs: logits[:half], clean, fields, state, key)
        here, there = torch.log_softmax(logits[:half], -1), torch.log_softmax(logits[half:], -1)
        divergence = (here.exp() * (here - there)).sum(-1)
        moved = (divergence * clean.weight).sum() / clean.weight.sum()
        return loss + fields["trades_beta"].to(moved.dtype) * moved, state


def _doubled(batch: Batch, found: Tensor) -> Batch:
    return Batch(
        inputs=torch.cat([batch.inputs, found]),
        targets=torch.cat([batch.targets] * 2),
        weight=torch.cat([batch.weight] * 2),
        factors={name: torch.cat([value] * 2) for name, value in batch.factors.items()},
    )
