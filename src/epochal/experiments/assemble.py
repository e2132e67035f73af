"""From task and network to a program: what every experiment's ``build`` ends with."""

from collections.abc import Sequence

import torch

from epochal import probes
from epochal.core.tensors.network import Network
from epochal.core.tensors.task import Task
from epochal.core.values.spec import Spec
from epochal.engine.program import Program
from epochal.engine.stopping import Stopping
from epochal.experiments.fields import device_of, dtype_of, field_tensors
from epochal.experiments.optimization import learning_rate_of, objective_of, rule_of, transform_of
from epochal.experiments.probes import configured_probes


def assemble(members: Sequence[Spec], task: Task, network: Network) -> Program:
    """The program that trains these members together; they agree in their ``pack_key``.

    Raises:
        UserError: a probe needs what the task does not have.
    """
    spec = members[0]
    measured = [probe.following(dict(spec)) for probe in configured_probes(spec)]
    for probe in measured:
        probe.check(task)
    device = device_of(spec)
    if spec.precision == "bfloat16":
        network = network.computing(torch.bfloat16)
    return Program(
        network=network,
        task=task,
        objective=objective_of(spec, task),
        rule=rule_of(spec, task.num_classes, task),
        transform=transform_of(spec, network.layout),
        learning_rate=learning_rate_of(spec),
        fields=field_tensors(members, streams=_streams(spec), device=device),
        batch_size=spec.examples_per_update(task.size("train")),
        last_batch=spec.last_batch,
        stopping=_stopping(spec),
        executor="vmap" if spec.executor in ("auto", "vmap") else "loop",
        is_compiled=spec.compile,
        max_steps=spec.max_steps,
        probes=tuple((probe, spec.probe_every.get(probe.name, spec.record_every)) for probe in measured),
        snapshots=spec.snapshot_every,
        probe_samples=getattr(spec, "probe_samples", Program.probe_samples),
        dtype=dtype_of(spec),
        device=device,
    )


def _streams(spec: Spec) -> list[str]:
    """Those whose seed can be set apart."""
    return [name.removesuffix("_seed") for name in type(spec).model_fields if name.endswith("_seed")]


def _stopping(spec: Spec) -> Stopping | None:
    if spec.stop_metric == "none":
        return None
    name = spec.stop_metric.partition("_")[2]
    return Stopping(
        probe=probes.find(name).configured(),
        column=spec.stop_metric,
        is_rising=name == "accuracy",
        schedule=spec.stop_every,
        at=spec.stop_at,
        patience=spec.stop_patience,
    )
