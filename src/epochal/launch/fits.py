"""Whether one update fits into memory at all, found out on a few examples before anything is written."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace

from epochal.core.values.errors import UserError
from epochal.core.values.spec import Spec
from epochal.experiments.catalog import Experiment
from epochal.launch.working_set import bytes_kept

MANY = 1 << 15
"""Examples per update below which no check is worth its time."""

FEW = 256


def check_largest(experiment: Experiment, members: Sequence[Spec]) -> None:
    """Checks the member with the most examples per update; builds none whose fields tell that they are few.

    Raises:
        UserError: what it would take, and what to lower.
    """
    doubtful = [member for member in members if _examples(member) >= MANY]
    if doubtful:
        check_fits(experiment, max(doubtful, key=_examples))


def _examples(member: Spec) -> float:
    """Per update, as far as the fields tell; infinite where only the data know."""
    size = getattr(member, "train_size", getattr(member, "n_train", None))
    if size is not None:
        return member.examples_per_update(size) or size
    return member.batch_size if isinstance(member.batch_size, int) else math.inf


def check_fits(experiment: Experiment, member: Spec) -> None:
    """Refuses an update whose activations alone exceed the machine's memory.

    A CPU has no error to raise in time: the system ends the process, and others with it.

    Raises:
        UserError: what it would take, and what to lower.
    """
    program = experiment.build((member,))
    examples = program.batch_size or program.task.size("train")
    there = _physical_bytes()
    if examples < MANY or program.device.type != "cpu" or not there:
        return
    needed = bytes_kept(replace(program, batch_size=FEW)) * (examples / FEW)
    if needed > there:
        raise UserError(
            f"an update on {examples} examples at once keeps {needed / 1e9:.0f} GB for its backward pass, "
            f"this machine has {there / 1e9:.0f} GB: give batch_size=512 or fewer examples"
        )


def _physical_bytes() -> int:
    """0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return 0
