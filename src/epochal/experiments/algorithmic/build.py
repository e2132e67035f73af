"""From the members of one pack to a program."""

from collections.abc import Sequence

from epochal.engine.program import Program
from epochal.experiments.algorithmic.spec import AlgorithmicSpec
from epochal.experiments.assemble import assemble
from epochal.experiments.networks import network_of
from epochal.tasks.arithmetic import Arithmetic

SEQUENCE_LENGTH = 3
"""Tokens of an equation: ``a``, ``b`` and ``=``."""


def build(members: Sequence[AlgorithmicSpec]) -> Program:
    """The program that trains these members together; they agree in their ``pack_key``."""
    spec = members[0]
    task = Arithmetic(
        operation=spec.operation, modulus=spec.modulus, table_size=spec.table_size, train_size=spec.train_size
    )
    offered = {
        "vocabulary": task.vocabulary,
        "sequence_length": SEQUENCE_LENGTH,
        "num_classes": task.num_classes,
    }
    return assemble(members, task, network_of("tokens", spec.model, spec, offered))
