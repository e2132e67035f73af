"""Names that are files of a folder of epochal: what is put there can be asked for, with no list to extend."""

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from epochal.core.values.source import is_own

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class NameIn:
    """Annotates a text field whose values are the files of ``folder`` (below ``epochal``), without importing.

    ``Annotated[str, NameIn("objectives")]`` takes ``mse`` where there is ``objectives/mse.py``; with
    ``or_own`` also own code.
    """

    folder: str
    or_own: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return _files(self.folder)

    @property
    def allowed(self) -> str:
        return " or ".join([*self.names, *(["./FILE.py:NAME"] if self.or_own else [])])

    def check(self, given: str) -> str:
        """The name, if there is such a file.

        Raises:
            ValueError: there is none; the nearest name is offered.
        """
        if given in self.names or (self.or_own and is_own(given)):
            return given
        near = difflib.get_close_matches(given, self.names, n=1)
        raise ValueError(
            f"is not allowed: choose {self.allowed}" + (f": did you mean {near[0]!r}?" if near else "")
        )

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


@cache
def _files(folder: str) -> tuple[str, ...]:
    """Looked up once: every member of a population is checked against them."""
    return tuple(sorted(file.stem for file in (ROOT / folder).glob("[!_]*.py")))
