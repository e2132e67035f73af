"""From the members of one pack to a program."""

from collections.abc import Sequence

import torch

from epochal import probes
from epochal.core.tensors.network import Network
from epochal.engine.program import Program
from epochal.experiments.algorithmic.spec import AlgorithmicSpec
from epochal.experiments.fields import device_of, dtype_of, field_tensors
from epochal.experiments.optimization import learning_rate_of, objective_of, rule_of, transform_of
from epochal.models.initialization import initializer
from epochal.models.transformer import Transformer
from epochal.tasks.arithmetic import Arithmetic


def build(members: Sequence[AlgorithmicSpec]) -> Program:
    """The program that trains these members together; they agree in their ``pack_key``."""
    spec = members[0]
    task = Arithmetic(
        operation=spec.operation, modulus=spec.modulus, table_size=spec.table_size, train_size=spec.train_size
    )
    device = device_of(spec)
    network = Network(lambda: _transformer(spec, task), initializer(spec.initialization))
    return Program(
        network=network,
        task=task,
        objective=objective_of(spec),
        rule=rule_of(spec),
        transform=transform_of(spec, network.layout),
        learning_rate=learning_rate_of(spec),
        fields=field_tensors(members, streams=("split", "init", "order"), device=device),
        batch_size=None if spec.batch_size == "full" else spec.batch_size,
        max_steps=spec.max_steps,
        probes=tuple(
            (probes.find(name), spec.probe_every.get(name, spec.record_every)) for name in spec.probes
        ),
        snapshots=spec.snapshot_every,
        dtype=dtype_of(spec),
        device=device,
    )


def _transformer(spec: AlgorithmicSpec, task: Arithmetic) -> torch.nn.Module:
    return Transformer(
        vocabulary=task.vocabulary,
        sequence_length=3,
        num_classes=task.num_classes,
        width=spec.width,
        depth=spec.depth,
        heads=spec.heads,
        mlp_ratio=spec.mlp_ratio,
        layer_norm=spec.layer_norm,
        activation=spec.activation,
        position=spec.position,
        readout=spec.readout,
    )
