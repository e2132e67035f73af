"""Other codes for the same images: what the cue would say if it said something else."""

import torch
from jaxtyping import Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.view import View
from epochal.probes.shortcuts.places import places_within, random_order


def other_code(view: View, batch: Batch, code: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Any of the others, equally likely, by example: the same at every step. The other one, of two."""
    key = random.key(view.fields.get("seed", 0), "other code").to(code.device)
    drawn = random.uniform(key, batch.factors["index"], torch.float64)
    shift = 1 + (drawn * (view.task.num_codes - 1)).long()
    other: Tensor = (code + shift) % view.task.num_codes
    return other


def balanced_code(view: View, batch: Batch) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]:
    """A code and a half (0 or 1) for each image: in both halves every label meets every code equally often.

    But for remainders. So labels and codes are independent, whatever they are in the data.
    """
    key = random.key(view.fields.get("seed", 0), "balanced code").to(batch.targets.device)
    label, num = batch.factors["label"], view.task.num_codes
    place = places_within(label, view.task.num_classes, random_order(key, batch.factors["index"]))
    return place % num, place // num % 2


def halves(view: View, batch: Batch, group: Int64[Tensor, " N"], num_groups: int) -> Int64[Tensor, " N"]:
    """0 or 1: every group is cut into two parts, by example and the same at every step."""
    key = random.key(view.fields.get("seed", 0), "halves").to(group.device)
    return places_within(group, num_groups, random_order(key, batch.factors["index"])) % 2
