"""From the members of one pack to a program."""

from collections.abc import Sequence

import torch
from torch import Tensor

from epochal.core.values.errors import UserError
from epochal.core.values.source import is_own, parts_of
from epochal.engine.program import Program
from epochal.experiments.algorithmic import task_rules
from epochal.experiments.algorithmic.spec import AlgorithmicSpec
from epochal.experiments.assemble import assemble
from epochal.experiments.networks import network_of
from epochal.experiments.own_code import call, load
from epochal.tasks.algorithmic.equations import Equations, OwnOperation


def build(members: Sequence[AlgorithmicSpec]) -> Program:
    """The program that trains these members together; they agree in their ``pack_key``.

    Raises:
        UserError: own code that does not fit.
    """
    spec = members[0]
    form = task_rules.form_of_spec(spec)
    task = Equations(
        operation=task_rules.operation_of_spec(spec),
        form=form,
        modulus=spec.modulus,
        train_size=spec.train_size,
        val_size=spec.val_size,
        first_values=task_rules.first_values(spec),
        relevant_operands=spec.relevant_operands,
        is_noisy=spec.label_noise > 0,
        own=_own_operation(spec) if is_own(spec.operation) else None,
    )
    offered = {
        "vocabulary": form.vocabulary,
        "sequence_length": form.sequence_length,
        "num_classes": form.num_classes,
        "answer_length": form.answer_length,
    }
    return assemble(members, task, network_of("tokens", spec.model, spec, offered))


def _own_operation(spec: AlgorithmicSpec) -> OwnOperation:
    """A user's function ``f(operands, modulus)``, checked at every call.

    Raises:
        UserError: it is no function.
    """
    name, digest = parts_of(spec.operation)
    where = f"{name} in {spec.code.get(digest)}"
    function = load(spec.operation, spec.code)
    if not callable(function):
        raise UserError(f"{where} is no function; operation takes f(operands, modulus)")

    def own(operands: list[Tensor], modulus: int) -> Tensor:
        given = call(spec.operation, spec.code, lambda: function(operands, modulus))
        if not isinstance(given, Tensor) or given.shape != operands[0].shape or given.is_floating_point():
            shape = (
                f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
            )
            raise UserError(
                f"{where} gives {shape}; expected whole numbers {tuple(operands[0].shape)}, one per equation"
            )
        return given.to(torch.int64)

    return own
