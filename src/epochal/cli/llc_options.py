"""What the commands about the local learning coefficient take: a member, a snapshot, options of the probe."""

from typing import Annotated

import typer

from epochal.core.values.errors import UserError

MemberOption = Annotated[int | None, typer.Option("--member", help="Which; default the first.")]
StepOption = Annotated[int | None, typer.Option("--step", help="Which snapshot; default the last.")]


def llc_options(words: list[str] | None) -> dict[str, object]:
    """``OPTION=VALUE`` words; ``llc.OPTION=VALUE`` is the same.

    Raises:
        UserError: a word of another form.
    """
    options: dict[str, object] = {}
    for word in words or []:
        name, is_there, value = word.partition("=")
        if not is_there:
            raise UserError(f"{word} is no OPTION=VALUE, such as n_beta=100")
        options[name.removeprefix("llc.")] = value
    return options
