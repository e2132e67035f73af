"""The null of credit for a checkpoint file of a snapshot-evolution script: a residual MLP trained by DFA.

``FILE.pt`` holds ``state_dict``, ``Bs`` (one ``[d, C]`` per block) and ``test_acc``. Names in the state dict
are not relied on: numbered modules are blocks, shapes tell the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epochal.analysis.nulls import Published, published
from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.passage import Passage
from epochal.core.tensors.task import Split
from epochal.core.values.errors import UserError
from epochal.experiments.images.prepare import image_set
from epochal.models.images.resmlp import ResMLP
from epochal.objectives.cross_entropy import negative_log_likelihood
from epochal.tasks.datasets.normalization import Normalization
from epochal.tasks.images import Images

KEYS = ("state_dict", "Bs", "test_acc")
SAMPLES = 2048
"""As the published control has it."""

PIECE = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A network, its feedback (one ``[d, C]`` per block), and the test accuracy that the file states."""

    network: ResMLP
    feedbacks: tuple[NDArray[np.float64], ...]
    test_accuracy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedFile:
    """``accuracy`` is ours on all images of ``split``: the file's, where images and network are right."""

    checkpoint: Checkpoint
    accuracy: float
    split: str
    num_images: int
    num_samples: int
    published: Published


def read_checkpoint(path: Path, *, residual: bool = True) -> Checkpoint:
    """Reads tensors and numbers only; nothing in the file is executed.

    ``residual``: the file does not say whether blocks add to the stream or replace it.

    Raises:
        UserError: no such file, one that would have to be executed, other keys, shapes of another network.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader fails in many ways on a file that is none of its own
        raise UserError(
            f"{path} cannot be read without executing what is in it: save {', '.join(KEYS)} as tensors and "
            "numbers only"
        ) from error
    there = list(stored) if isinstance(stored, Mapping) else [type(stored).__name__]
    if missing := [key for key in KEYS if key not in there]:
        raise UserError(
            f"{path} has no {missing[0]}; it has {', '.join(map(str, there[:6]))} and needs {', '.join(KEYS)}"
        )
    feedbacks = [torch.as_tensor(one) for one in stored["Bs"]]
    if not feedbacks or any(one.ndim != 2 or one.shape != feedbacks[0].shape for one in feedbacks):
        shapes = ", ".join(str(list(one.shape)) for one in feedbacks) or "none"
        raise UserError(f"Bs of {path} have shapes {shapes}; expected one [d, C] per block")
    network = _network(path, stored["state_dict"], tuple(feedbacks[0].shape), residual)
    if len(feedbacks) != len(network.block):
        raise UserError(f"{path} has {len(feedbacks)} Bs for {len(network.block)} blocks: one per block")
    return Checkpoint(
        network=network,
        feedbacks=tuple(one.double().numpy() for one in feedbacks),
        test_accuracy=float(stored["test_acc"]),
    )


def judge_checkpoint(
    checkpoint: Checkpoint,
    data: str,
    data_path: str | None,
    *,
    normalization: Normalization = "standard",
    samples: int = SAMPLES,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
) -> JudgedFile:
    """The published control and the null on the first ``samples`` test images (else validation images).

    Raises:
        UserError: the images are not there or have another size; too few draws for the level.
    """
    images = image_set(data, data_path)
    split: Split = "test" if "test" in images.splits else "val"
    task = Images(
        image_set=images, dtype=torch.float32, device=torch.device("cpu"), normalization=normalization
    )
    takes = checkpoint.network.embed.in_features
    if task.num_inputs != takes:
        raise UserError(
            f"the network of the checkpoint takes {takes} numbers per image, data={data} has "
            f"{task.num_inputs}: give the data it was trained on"
        )
    classes = checkpoint.network.readout.out_features
    if task.num_classes > classes:
        raise UserError(f"data={data} has {task.num_classes} classes, the checkpoint {classes}")
    everything = task.index(split, {"split_seed": torch.tensor(0)})
    batch = task.batch(everything[:samples], {}, random.key(0, "probe"))
    with torch.no_grad():
        right = [_num_right(checkpoint.network, task, index) for index in everything.split(PIECE)]
        passage = Passage(checkpoint.network, _loss, batch)
        control = published(
            passage.errors.numpy(),
            [slope.numpy() for slope in passage.gradients.values()],
            checkpoint.feedbacks,
            draws=draws,
            seed=seed,
            alpha=alpha,
        )
    return JudgedFile(
        checkpoint=checkpoint,
        accuracy=sum(right) / len(everything),
        split=split if split in images.splits else task.val_source,
        num_images=len(everything),
        num_samples=len(batch.targets),
        published=control,
    )


def _network(path: Path, state: Mapping[str, Tensor], shape: tuple[int, ...], residual: bool) -> ResMLP:
    """Linear layers and norms are told apart by their weights' dimensions, and come in the order of the file.

    Outside of blocks: the norm before the read-out, the read-out (as many outputs as the feedback has
    columns), the embedding. In a block: norm, first map, second map.
    """
    width, num_classes = shape
    modules = dict[str, dict[str, Tensor]]()
    for name, value in state.items():
        module, _, own = name.rpartition(".")
        modules.setdefault(module, {})[own] = value
    given: dict[str, dict[str, Tensor]] = {}
    numbers = list(dict.fromkeys(n for n in map(_number, modules) if n is not None))
    for place, number in enumerate([None, *sorted(numbers)]):
        here = [of for name, of in modules.items() if _number(name) == number and "weight" in of]
        norms = [of for of in here if of["weight"].ndim == 1]
        maps = [of for of in here if of["weight"].ndim == 2]
        if number is None:
            maps.sort(key=lambda of: len(of["weight"]) == num_classes)
        names = ("embed", "readout") if number is None else ("first", "second")
        prefix = "" if number is None else f"block.{place - 1}."
        if len(norms) != 1 or len(maps) != 2:
            where = "outside of its blocks" if number is None else f"in block {number}"
            raise UserError(
                f"{path} is no residual MLP: {where} it has {len(norms)} norms and {len(maps)} linear maps, "
                "expected 1 and 2"
            )
        given |= {f"{prefix}norm": norms[0]} | {
            f"{prefix}{name}": of for name, of in zip(names, maps, strict=True)
        }
    network = ResMLP(
        num_inputs=given["embed"]["weight"].shape[1],
        num_classes=num_classes,
        depth=len(numbers),
        width=width,
        residual=residual,
    )
    flat = {f"{module}.{name}": value for module, own in given.items() for name, value in own.items()}
    for name, expected in network.state_dict().items():
        if name not in flat or flat[name].shape != expected.shape:
            has = list(flat[name].shape) if name in flat else "nothing"
            raise UserError(
                f"{path} is no residual MLP of width {width} with {num_classes} classes, as its Bs are: "
                f"where {name} {list(expected.shape)} belongs it has {has}"
            )
    network.load_state_dict({name: flat[name].float() for name in network.state_dict()})
    return network.eval()


def _number(module: str) -> int | None:
    """That of a block: the first number in a module's path."""
    return next((int(part) for part in module.split(".") if part.isdigit()), None)


def _loss(logits_of: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    return negative_log_likelihood(logits_of(batch.inputs), batch.targets).mean()


def _num_right(network: ResMLP, task: Images, index: Tensor) -> int:
    batch = task.batch(index, {}, random.key(0, "probe"))
    return int((network(batch.inputs).argmax(-1) == batch.targets).sum())
