"""Wrong labels, the same whatever else an experiment changes."""

from jaxtyping import Bool, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.bijection import below
from epochal.core.tensors.task import Fields


def noisy(
    label: Int64[Tensor, " B"], index: Int64[Tensor, " B"], fields: Fields, num_classes: int
) -> tuple[Int64[Tensor, " B"], Bool[Tensor, " B"]]:
    """The targets, and which of them are wrong: a share ``label_noise``, each another class at random.

    Decided example by example from the stream ``spurious``; with a higher share the same ones are wrong, and
    more. Of two classes, a share of one half leaves nothing to learn.
    """
    key = random.key(fields["spurious_seed"], "label noise")
    is_noisy = random.bernoulli(key, index, fields["label_noise"])
    other = another(label, random.fold(key, "which"), index, num_classes)
    return other.where(is_noisy, label), is_noisy


def another(
    given: Int64[Tensor, " B"], key: random.Key, index: Int64[Tensor, " B"], num_classes: int
) -> Int64[Tensor, " B"]:
    """One of the other classes, each as likely."""
    return (given + 1 + below(random.bits(key, index), num_classes - 1)) % num_classes
