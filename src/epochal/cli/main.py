"""The entry point: runs a command; every foreseen end is one line on standard error and an exit code."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from typer.exceptions import TyperException

from epochal.cli import (
    analyse,
    background,
    bring,
    calibrate,
    compare,
    data,
    diagnose,
    doctor,
    figure,
    look,
    measure,
    null,
    own,
    responses,
    share,
    study,
    train,
)
from epochal.cli.app import INTERRUPTED, app, end
from epochal.core.values.errors import UserError

COMMANDS = (
    train,
    study,
    look,
    figure,
    measure,
    diagnose,
    calibrate,
    responses,
    null,
    analyse,
    bring,
    background,
    compare,
    share,
    own,
    data,
    doctor,
)
"""Modules whose import registers their commands; the help page has them in this order."""

_ORDER = [module.__name__ for module in COMMANDS]
app.registered_commands.sort(key=lambda command: _ORDER.index(getattr(command.callback, "__module__", "")))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command of ``arguments`` (by default the process's own) and exits."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=words or ["--help"], standalone_mode=False)
    except UserError as error:
        end(str(error), 2)
    except TyperException as error:
        end(_usage(error), 2)
    if code == INTERRUPTED:
        end("interrupted; to resume from the last stored state, give the same command again", INTERRUPTED)
    sys.exit(code or 0)


def _usage(error: TyperException) -> str:
    """What was wrong with the words of a command, in one line."""
    option = getattr(error, "option_name", None)
    command = getattr(getattr(error, "ctx", None), "info_name", "")
    if option and option not in ("--runs", "--json") and command == "run":
        return f"no option {option}; fields are written {option.lstrip('-')}=VALUE, without dashes"
    return " ".join(error.format_message().split()).rstrip(".") + "; --help shows what there is"
