"""Environments of the data at hand: what each example's slope is in each of them, and who belongs where."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.probes.shortcuts.forward import logits_of
from epochal.probes.shortcuts.needs import has_cue
from epochal.probes.shortcuts.penalty import slopes
from epochal.probes.shortcuts.places import brightness, random_order
from epochal.probes.shortcuts.shares import is_in
from epochal.probes.shortcuts.stamps import other_code
from epochal.tasks.shortcuts.environments import equal_count_bins

Kind = Literal["own", "brightness", "patch_flip", "rho", "random"]
COUNTERFACTUAL = ("patch_flip", "rho")


def problem(kind: Kind, count: int, task: Any) -> str | None:
    """Why a task has no such environments, in one line; None where it has."""
    if not hasattr(task, "image_shape"):
        return "probe irm looks at images, and this task has none: use the experiment images"
    if kind == "own" and not hasattr(task, "restamped"):
        return (
            "probe irm reads the environments of a task with a cue, and this one has none: give cue=patch, "
            "tint or texture, or measure bins of brightness with probe_options.irm.environments=brightness"
        )
    if kind in COUNTERFACTUAL and not has_cue(task):
        return (
            f"probe irm with environments={kind} changes the cue, and this task has none: give cue=patch, "
            "tint or texture, or probe_options.irm.environments=brightness"
        )
    if kind == "own" and count not in (0, number(kind, 0, task)):
        return (
            f"probe_options.irm.num_environments={count}, and the task's own are {number(kind, 0, task)}: "
            "leave it out, or give probe_options.irm.environments=brightness"
        )
    if kind == "patch_flip" and count not in (0, 2):
        return f"probe_options.irm.num_environments={count}: patch_flip has 2, the cue as it is and changed"
    return None


def number(kind: Kind, count: int, task: Any) -> int:
    """How many there are; ``count`` 0 leaves it to the task, or 3."""
    own: int = getattr(task, "num_environments", 3)
    return 2 if kind == "patch_flip" else count or own


def slopes_by_environment(
    view: View, split: Split, kind: Kind, count: int
) -> tuple[Float[Tensor, "E N"], Float[Tensor, "E N"]]:
    """Slope and weight ``[E, N]``: by bins every example has one environment, counterfactually all of them.

    ``patch_flip``: every image with its cue as it is, and with another code. ``rho``: the mean slope of an
    image whose code is its target with probability 0, ..., 1 in equal steps, else another: nothing is drawn.
    """
    num = number(kind, count, view.task)
    targets, logits = view.targets(split), view.logits(split)
    as_is = slopes(logits, targets)
    if kind in COUNTERFACTUAL:
        batch = view.data(split)
        if kind == "patch_flip":
            changed = _slopes_with(view, batch, other_code(view, batch, batch.factors["code"]))
            slope = torch.stack([as_is, changed])
        else:
            agreeing = _slopes_with(view, batch, targets)
            against = _slopes_with(view, batch, other_code(view, batch, targets))
            rho = torch.linspace(0, 1, num, dtype=as_is.dtype, device=as_is.device)[:, None]
            slope = rho * agreeing + (1 - rho) * against
        return slope, torch.ones_like(slope)
    weight = is_in(_environment(view, view.data(split), kind, num), num).to(as_is.dtype)
    return as_is.expand(num, -1), weight


def _environment(view: View, batch: Batch, kind: Kind, num: int) -> Int64[Tensor, " N"]:
    if kind == "own":
        if "environment" not in batch.factors:
            raise UserError("probe irm reads the factor environment, which this task's batches do not have")
        return batch.factors["environment"]
    if kind == "brightness":
        return equal_count_bins(brightness(batch.inputs), num)
    key = random.key(view.fields.get("seed", 0), "irm environments")
    return equal_count_bins(random_order(key.to(batch.targets.device), batch.factors["index"]), num)


def _slopes_with(view: View, batch: Batch, code: Int64[Tensor, " N"]) -> Float[Tensor, " N"]:
    return slopes(logits_of(view, view.task.restamped(batch, code).inputs), batch.targets)
