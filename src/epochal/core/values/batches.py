"""How many examples an update sees, and how many updates an epoch has."""

from typing import Literal

from epochal.core.values.errors import UserError

BatchSize = int | float | Literal["full", "auto"]
"""A number of examples, a fraction of the training set in (0, 1), all of it, or the published choice."""

MOST_OF_AUTO = 512

LastBatch = Literal["drop", "keep"]


def examples_per_update(batch_size: BatchSize, train_size: int) -> int | None:
    """The number of examples, at least one; None for the whole training set.

    ``auto`` is 512, or half of a training set that is smaller than 1,024 (rounded up), as in Power et al.
    2022 and MIML-grokking.

    Raises:
        UserError: more examples than there are.
    """
    if batch_size == "full":
        return None
    if batch_size == "auto":
        return min(MOST_OF_AUTO, -(-train_size // 2))
    count = batch_size if isinstance(batch_size, int) else max(1, round(batch_size * train_size))
    if count > train_size:
        raise UserError(
            f"batch_size={batch_size} exceeds the {train_size} training examples: lower it, or give full"
        )
    return count


def updates_per_epoch(examples: int | None, train_size: int, last_batch: LastBatch) -> int:
    """Batches of ``examples`` that an epoch has; ``keep`` counts a smaller last one too."""
    if examples is None:
        return 1
    return -(-train_size // examples) if last_batch == "keep" else train_size // examples
