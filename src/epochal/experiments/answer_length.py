"""Answers of several tokens need a model that says it gives them."""

from collections.abc import Collection, Mapping

from epochal.core.values.errors import UserError


def refuse_short_answers(name: str, parameters: Collection[str], offered: Mapping[str, object]) -> None:
    """A model whose signature does not name ``answer_length`` answers once per sequence.

    Raises:
        UserError: the task's answers are longer.
    """
    length = offered.get("answer_length", 1)
    if length != 1 and "answer_length" not in parameters:
        raise UserError(
            f"model={name} gives one answer per sequence, the task's answers have {length} tokens: give a "
            "model that takes answer_length, such as transformer"
        )
