"""Tasks of token equations, made from fields as a command line gives them."""

from typing import Any

import torch

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.task import Fields
from epochal.tasks.algorithmic.equations import Equations
from tests.engine.programs import built

KEY = random.key(0, "task")


def equations(operation: str = "+", modulus: int = 7, **settings: Any) -> Equations:
    """The task of one member."""
    made = built(
        "algorithmic", {"operation": operation, "modulus": modulus, "width": 8, "heads": 2, **settings}
    )
    assert isinstance(made.task, Equations)
    return made.task


def fields(split_seed: int = 3, label_noise: float = 0.0) -> Fields:
    return {
        "split_seed": torch.tensor(split_seed),
        "seed": torch.tensor(0),
        "label_noise": torch.tensor(label_noise, dtype=torch.float64),
    }


def whole_table(made: Equations) -> Batch:
    return made.batch(torch.arange(made.table_size), fields(), KEY)


def spelt(made: Equations, batch: Batch, row: int) -> str:
    """Prompt and answer of a row as text; ``|`` stands where the network has to answer first."""
    targets = batch.targets[row].reshape(-1)
    if made.form.classes == "answers":
        end = made.form.end if made.form.end is not None else -1
        is_end = targets == made.form.num_classes - 1 if made.form.end is not None else targets < 0
        targets = torch.where(is_end, end, targets + made.form.first_element)
    inputs = batch.inputs[row].tolist()
    length = len(made.form.prompt)
    assert inputs[length:] == targets.tolist()[:-1], "teacher forcing shows the answer but its last token"
    return f"{made.form.spelt(inputs[:length])} | {made.form.spelt(targets.tolist())}"
