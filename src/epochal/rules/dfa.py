"""Direct feedback alignment: every block is told the output's error through a fixed random matrix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson, Memory
from epochal.core.tensors.network import Network
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import one_example, slopes_at_sites
from epochal.rules.feedback.direct import (
    Apart,
    Normalization,
    Sharing,
    along,
    apart,
    credit,
    draw_feedback,
    error_of,
)


@dataclass(frozen=True)
class DFA:
    """Descends ``loss(head) + sum_l mean_i <h_l, a_l>`` with ``a_l = e B_l^T``, e = d loss / d logits.

    ``h_l`` is the activation at site l, a function of the parameters since the site before only: activations
    are passed on without a graph, so that an identity path of a residual block carries nothing and one
    backward serves all blocks. What follows the last site learns by its own gradient. ``B_l [features, C]``
    are ``randn / sqrt(C)``, fixed, of the stream ``feedback``; a convolution's site has a row per place.

    ``credit_normalization=rms`` divides each example's ``a_l`` by its root mean square (+ 1e-6): its size
    does not vanish with the error. ``none`` is the published rule. ``feedback_sharing=first_for_embedding``
    gives the first site, before any block, the matrix of the second.

    Source: Nokland 2016, equation 5, at block outputs instead of pre-activations, hence with the block's own
    derivatives exact (for an MLP with sites after its activations both are the same).

    Raises:
        UserError: the network has no sites, its inputs are token sequences, or the objective asks for logits
            of other inputs than the batch's.
    """

    called: ClassVar[str] = "dfa"

    credit_normalization: Normalization = "rms"
    feedback_sharing: Sharing = "site"

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        return draw_feedback(self.called, network, params, buffers, batch, key, self.feedback_sharing)

    def surrogate(self, lesson: Lesson) -> Judged:
        found = apart(self.called, lesson)
        message, scalar = self.message(found.error, lesson), found.loss
        for site, activation in found.outputs.items():
            told = credit(message, lesson.memory[site], self.credit_normalization)
            scalar = scalar + along(activation, told, lesson.batch)
            scalar = self.charged(scalar, activation, found, lesson)
        return scalar, found.loss.detach(), found.state

    def credit(self, lesson: Lesson) -> Mapping[str, Float[Tensor, "B ..."]]:
        """``a_l``, which depends on the network by its logits alone."""
        sites = one_example(lesson)
        if sites.keys() != lesson.memory.keys():  # a site that is told nothing learns by the loss
            return slopes_at_sites(self, lesson)
        message, weight = self.message(error_of(lesson, lesson.evaluated()), lesson), lesson.batch.weight
        found = {site: credit(message, lesson.memory[site], self.credit_normalization) for site in sites}
        return {
            site: (told * weight.reshape(-1, *[1] * (told.ndim - 1))).to(sites[site].dtype)
            for site, told in found.items()
        }

    def message(self, error: Float[Tensor, "B C"], lesson: Lesson) -> Float[Tensor, "B C"]:
        """What is sent to every site: the error."""
        return error

    def charged(
        self, scalar: Float[Tensor, ""], activation: Float[Tensor, "B ..."], found: Apart, lesson: Lesson
    ) -> Float[Tensor, ""]:
        """The scalar with what a site pays for its activation: nothing."""
        return scalar


rule = DFA
