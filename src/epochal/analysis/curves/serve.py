"""Answers jobs: one line of JSON in, one line of JSON out; a process of its own by ``__main__.py``."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from epochal.analysis.curves.changes import detect_all
from epochal.analysis.curves.detect import detect
from epochal.analysis.curves.grokking import grokking
from epochal.core.values.errors import UserError

TASKS: dict[str, Callable[..., Any]] = {"detect": detect, "changes": detect_all, "grokking": grokking}


def answer(task: str, job: dict[str, Any]) -> dict[str, Any]:
    """The result of one job as a dictionary."""
    return asdict(TASKS[task](**job))


def main(task: str, lines: Iterable[str]) -> None:
    """Answer until the input ends; a mistake in a curve is answered too, and goes on."""
    for line in lines:
        try:
            said = answer(task, json.loads(line))
        except UserError as error:
            said = {"user_error": str(error)}
        print(json.dumps(said), flush=True)
