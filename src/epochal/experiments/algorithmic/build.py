"""From the members of one pack to a program."""

from collections.abc import Sequence

import torch

from epochal.core.tensors.network import Network
from epochal.core.values.source import is_own
from epochal.engine.program import Program
from epochal.experiments.algorithmic.spec import AlgorithmicSpec
from epochal.experiments.assemble import assemble
from epochal.experiments.own_model import own_network
from epochal.models.initialization import initializer
from epochal.models.transformer import Transformer
from epochal.tasks.arithmetic import Arithmetic

SEQUENCE_LENGTH = 3
"""Tokens of an equation: ``a``, ``b`` and ``=``."""


def build(members: Sequence[AlgorithmicSpec]) -> Program:
    """The program that trains these members together; they agree in their ``pack_key``."""
    spec = members[0]
    task = Arithmetic(
        operation=spec.operation, modulus=spec.modulus, table_size=spec.table_size, train_size=spec.train_size
    )
    if is_own(spec.model):
        offered = {
            "vocabulary": task.vocabulary,
            "sequence_length": SEQUENCE_LENGTH,
            "num_classes": task.num_classes,
        }
        network = own_network(spec, spec.model, offered, spec.initialization)
    else:
        network = Network(lambda: _transformer(spec, task), initializer(spec.initialization))
    return assemble(members, task, network)


def _transformer(spec: AlgorithmicSpec, task: Arithmetic) -> torch.nn.Module:
    return Transformer(
        vocabulary=task.vocabulary,
        sequence_length=SEQUENCE_LENGTH,
        num_classes=task.num_classes,
        width=spec.width,
        depth=spec.depth,
        heads=spec.heads,
        mlp_ratio=spec.mlp_ratio,
        layer_norm=spec.layer_norm,
        activation=spec.activation,
        position=spec.position,
        readout=spec.readout,
        dropout_rate=spec.dropout,
    )
