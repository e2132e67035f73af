"""Which operations, sizes and forms of a task go together; what to change where they do not."""

import math
from typing import TYPE_CHECKING

from epochal.tasks.algorithmic.operation import Operation, operation_of
from epochal.tasks.algorithmic.tokens import Form, form_of

if TYPE_CHECKING:
    from epochal.experiments.algorithmic.spec import AlgorithmicSpec

LARGEST_TABLE = 2**61
"""Equations that can be numbered with room for a mark; 31^12 are fewer."""

LARGEST_SET = 2**21
"""Training or validation equations of a member; each is a number of 8 bytes."""


def check_task(spec: "AlgorithmicSpec") -> None:
    """What a task asks of its fields together.

    Raises:
        ValueError: in one line, with the remedy.
    """
    operation = operation_of_spec(spec)
    if operation.needs_prime and (factor := smallest_factor(spec.modulus)) < spec.modulus:
        raise ValueError(
            f"modulus={spec.modulus} is {factor} x {spec.modulus // factor}; operation={spec.operation} "
            f"needs a prime, such as modulus={next_prime(spec.modulus)}"
        )
    if operation.kind == "parity" and spec.relevant_operands > operation.num_operands:
        raise ValueError(
            f"relevant_operands={spec.relevant_operands} exceeds the {operation.num_operands} operands of "
            "operation=parity: give num_operands=40 n_train=1000 n_val=1000, for example"
        )
    form = form_of_spec(spec)
    if form.answer_length > 1 and spec.readout == "mean":
        raise ValueError(
            f"readout=mean gives one answer, operation={spec.operation} with answer={spec.answer} has "
            f"{form.answer_length} tokens: give readout=last"
        )
    _check_sizes(spec)


def meaningless(spec: "AlgorithmicSpec") -> dict[str, str]:
    """Fields that the operation does not use, and what to do where one is given."""
    operation = operation_of_spec(spec)
    elements = {"permutations": f"{operation.num_elements} permutations", "parity": "bits"}
    found = {}
    # The vocabulary of openai/grok names the numbers below the modulus, whatever the operation.
    if operation.kind in elements and spec.vocabulary == "compact":
        of = elements[operation.kind]
        found["modulus"] = (
            f"means nothing beside operation={spec.operation}, whose operands are {of}: leave it out"
        )
    if operation.kind != "parity":
        found["relevant_operands"] = (
            f"means nothing beside operation={spec.operation}: it is of operation=parity, leave it out"
        )
    return found


def _check_sizes(spec: "AlgorithmicSpec") -> None:
    total, train, val = spec.table_size, spec.train_size, spec.val_size
    if total > LARGEST_TABLE:
        raise ValueError(
            f"operation={spec.operation} has {float(total):.1e} equations, more than "
            f"{float(LARGEST_TABLE):.1e}: lower num_operands or the modulus"
        )
    if spec.n_train is not None and spec.train_fraction != type(spec).model_fields["train_fraction"].default:
        raise ValueError(
            f"train_fraction={spec.train_fraction:g} and n_train={spec.n_train}: give one of them"
        )
    if spec.n_train is None and not 1 <= train < total:
        empty = "validation" if train else "training"
        raise ValueError(
            f"train_fraction={spec.train_fraction:g} of {total} equations leaves the {empty} set empty: "
            f"{'lower' if train else 'raise'} it, or raise the modulus"
        )
    if val < 1 or train + val > total:
        most = total - 1 if spec.n_val is None else total - spec.n_val
        wanted = f"n_train={train}" + (f" and n_val={spec.n_val}" if spec.n_val is not None else "")
        if spec.n_train is None:
            raise ValueError(
                f"n_val={spec.n_val} is more than the {total - train} equations that train_fraction="
                f"{spec.train_fraction:g} leaves: lower one of them"
            )
        remedy = f"n_train can be at most {most}" if most >= 1 else f"n_val can be at most {total - 1}"
        raise ValueError(f"{wanted} exceed the {total} equations, of which one has to validate: {remedy}")
    for name, size, field in (("training", train, "n_train"), ("validation", val, "n_val")):
        if size > LARGEST_SET:
            raise ValueError(
                f"the {name} set would have {size} of {total} equations, more than {LARGEST_SET}: "
                f"give {field}"
            )


def operation_of_spec(spec: "AlgorithmicSpec") -> Operation:
    """The operation with its operands."""
    return operation_of(spec.operation, spec.num_operands, spec.modulus)


def form_of_spec(spec: "AlgorithmicSpec") -> Form:
    """The form of its equations."""
    return form_of(
        operation_of_spec(spec),
        modulus=spec.modulus,
        tokens=spec.tokens,
        answer=spec.answer,
        vocabulary=spec.vocabulary,
        classes=spec.classes,
    )


def first_values(spec: "AlgorithmicSpec") -> int:
    """How many values the first operand takes."""
    return max(1, int(spec.operand_fraction * operation_of_spec(spec).values_of(0)))


def table_size(spec: "AlgorithmicSpec") -> int:
    """Number of equations: p^K, less where an operand is never 0 or the first is limited."""
    operation = operation_of_spec(spec)
    others = (operation.values_of(place) for place in range(1, operation.num_operands))
    return first_values(spec) * math.prod(others)


def smallest_factor(number: int) -> int:
    """The smallest divisor above 1: the number itself where it is prime."""
    divisors = (factor for factor in range(2, int(number**0.5) + 1) if number % factor == 0)
    return next(divisors, number)


def next_prime(number: int) -> int:
    """The smallest prime above a number."""
    return next(n for n in range(number + 1, 2 * number + 2) if smallest_factor(n) == n)
