"""Credit that goes straight to each site: one forward in pieces that learn apart, and what each is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Lesson, Memory
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import State
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import recording
from epochal.core.values.errors import UserError

Normalization = Literal["rms", "none"]
Sharing = Literal["site", "first_for_embedding"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Apart:
    """One forward whose sites pass their activations on without a graph.

    ``loss`` reaches the parameters after the last site only, ``outputs`` those between a site and the one
    before it. ``error [B, C]`` is d loss / d logits of each example's own loss: its softmax minus its one-hot
    target for cross-entropy.
    """

    loss: Float[Tensor, ""]
    state: State
    outputs: Mapping[str, Float[Tensor, "B ..."]]
    error: Float[Tensor, "B C"]


def draw_feedback(
    rule: str,
    network: Network,
    params: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    batch: Batch,
    key: Key,
    sharing: Sharing,
) -> Memory:
    """Per site ``randn(*features, C) / sqrt(C)``, independent; ``rule`` is what messages call the rule.

    With ``first_for_embedding`` the first site, the embedding's, has the matrix of the second. A site whose
    activations are the logits themselves has none: what leads there learns by the loss.

    Raises:
        UserError: there is no site; inputs are token sequences; the shared sites differ in shape.
    """
    if not batch.inputs.is_floating_point():
        raise UserError(
            f"rule={rule} needs images or vectors: blocks of a sequence model have sites inside them; give "
            "rule=backprop, fa, sign_symmetry or kolen_pollack"
        )
    tap, seen = recording()
    logits = network(params, buffers, batch.inputs, tap)
    shapes = {site: tuple(h.shape) for site, h in seen.items() if h is not logits}
    if not shapes:
        raise UserError(f"rule={rule} needs a model with sites before its logits, such as mlp with depth=1")
    if wrong := [site for site, shape in shapes.items() if shape[0] != len(batch.inputs)]:
        raise UserError(f"rule={rule} needs an example per row: {wrong[0]} has shape {shapes[wrong[0]]}")
    num_classes = logits.shape[-1]
    memory = {
        site: random.normal(random.fold(key, site), (*shape[1:], num_classes), logits.dtype)
        / num_classes**0.5
        for site, shape in shapes.items()
    }
    if sharing == "first_for_embedding":
        first, *others = memory
        if not others or memory[others[0]].shape != memory[first].shape:
            raise UserError(
                f"feedback_sharing=first_for_embedding needs two first sites of one shape; {first} has "
                f"{shapes[first][1:]}, {others[0] if others else 'no other'} "
                f"{shapes[others[0]][1:] if others else 'follows'}; give feedback_sharing=site"
            )
        memory[first] = memory[others[0]].clone()
    return memory


def apart(rule: str, lesson: Lesson) -> Apart:
    """The forward pass in pieces.

    Raises:
        UserError: the objective asks for logits of other inputs than the batch's.
    """
    outputs: dict[str, Tensor] = {}
    made: list[Tensor] = []

    def edit(site: str, activation: Tensor) -> Tensor:
        if site not in lesson.memory:
            return activation
        outputs[site] = activation
        return activation.detach()

    def logits_fn(inputs: Tensor) -> Tensor:
        if made or inputs is not lesson.batch.inputs:
            raise UserError(
                f"rule={rule} needs an objective of the batch's logits alone; this one looks at other "
                "inputs: give objective=cross_entropy"
            )
        made.append(lesson.logits(inputs, lesson.training(edit)))
        return made[0]

    loss, after = lesson.loss(logits_fn)
    return Apart(loss=loss, state=after, outputs=outputs, error=error_of(lesson, made[0]))


def error_of(lesson: Lesson, logits: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """d loss / d logits, of each example's own loss instead of the weighted mean; 0 for those of weight 0."""
    slope: Tensor = torch.func.grad(lambda given: lesson.loss(lambda _inputs: given)[0])(logits.detach())
    weight = lesson.batch.weight
    share = (weight / weight.sum())[:, None]
    return torch.where(share > 0, slope / torch.where(share > 0, share, 1.0), 0.0).to(logits.dtype)


def credit(
    error: Float[Tensor, "B C"], feedback: Float[Tensor, "... C"], normalization: Normalization
) -> Float[Tensor, "B ..."]:
    """``a = e B^T`` in the shape of the site's activations.

    ``rms`` divides each example's by ``rms(a) + 1e-6``, over all features: its size says nothing of the
    error's any more, and 0 stays 0.
    """
    flat = error @ feedback.flatten(0, -2).T
    if normalization == "rms":
        flat = flat / (flat.square().mean(-1, keepdim=True).sqrt() + 1e-6)
    return flat.reshape(len(error), *feedback.shape[:-1])


def along(
    activation: Float[Tensor, "B ..."], told: Float[Tensor, "B ..."], batch: Batch
) -> Float[Tensor, ""]:
    """Weighted mean over examples of ``<activation, told>``, whose slope is what the activation is told."""
    products = (activation.to(told.dtype) * told.detach()).flatten(1).sum(1)
    return (products * batch.weight).sum() / batch.weight.sum()
