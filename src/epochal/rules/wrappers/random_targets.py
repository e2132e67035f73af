"""Training on labels that mean nothing: a control for rules that may move weights whatever they are told."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.lesson import Judged, Lesson
from epochal.core.tensors.precision import wide
from epochal.core.tensors.rule import Rule, credit_at_sites, surrogate_of


@dataclass(frozen=True)
class RandomTargets:
    """``rule`` with targets drawn anew for every batch, uniform over the classes.

    Evaluations see the true ones, and so does what probes are told of the rule's credit. The reported loss of
    the batch is that of the drawn ones.
    """

    rule: Rule
    num_classes: int

    def surrogate(self, lesson: Lesson) -> Judged:
        batch, key = lesson.batch, random.fold(lesson.key, "random_targets")
        drawn = random.uniform(key, tuple(batch.targets.shape), wide(batch.targets.device))
        targets = (drawn * self.num_classes).long().clamp(max=self.num_classes - 1)
        return surrogate_of(self.rule)(lesson._replace(batch=batch._replace(targets=targets)))

    def credit(self, lesson: Lesson) -> Mapping[str, Float[Tensor, "B ..."]]:
        return credit_at_sites(self.rule, lesson)
