"""Direct feedback alignment whose blocks also pay for the size of what they give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.lesson import Lesson
from epochal.core.tensors.rule import slopes_at_sites
from epochal.rules.dfa import DFA
from epochal.rules.feedback.direct import Apart


@dataclass(frozen=True)
class PenalisedDFA(DFA):
    """``dfa`` plus ``penalty * sum_l mean_i |h_l|^2 / d_l``. Reads ``penalty``; 0 is ``dfa`` itself.

    Penalised is the activation at every site, the residual stream of a residual network, averaged over the
    batch and over the site's d_l features. Its slope reaches the parameters since the site before only, as
    the credit does; the head pays nothing. The loss that is reported is without it.

    The definition is ours: published penalised runs do not say which norm they took.
    """

    called: ClassVar[str] = "penalised_dfa"

    def credit(self, lesson: Lesson) -> Mapping[str, Float[Tensor, "B ..."]]:
        """With the slope of what the site pays, which depends on its activations."""
        return slopes_at_sites(self, lesson)

    def charged(
        self, scalar: Float[Tensor, ""], activation: Float[Tensor, "B ..."], found: Apart, lesson: Lesson
    ) -> Float[Tensor, ""]:
        """Plus the penalty on its mean square."""
        size = activation.to(found.error.dtype).square().flatten(1).mean(1)
        weight = lesson.batch.weight
        paid = (size * weight).sum() / weight.sum()
        return scalar + lesson.fields["penalty"].to(found.error.dtype) * paid


rule = PenalisedDFA
