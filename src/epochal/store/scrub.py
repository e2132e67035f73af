"""Takes the absolute paths of this machine out of the texts of a run."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from epochal.core.values.errors import UserError

TEXT = (".json", ".txt", ".html", ".csv", ".svg", ".md")
UNTOUCHED = ("metrics", "code")
"""Records hold numbers and are read by byte offsets; copied sources are known by their hash."""

_PATH = re.compile(r"""(?<![\w.:/~<)\]}-])/(?:[^\s"'<>|:;,(){}\[\]\\]+/)*[^\s"'<>|:;,(){}\[\]\\/]+/?""")


class Scrubber:
    """Replaces every absolute path that the spec, the environment, the log or the output mention.

    A path in the run becomes relative to it; of another one the last part remains.
    """

    def __init__(self, run: Path, spec: Mapping[str, Any], free_fields: Sequence[str]) -> None:
        """Reads what paths there are.

        Raises:
            UserError: one stands in a field that is part of the run's identity.
        """
        self._run = run
        self.replaced: dict[str, str] = {}
        home = run.resolve()
        for name, value in spec["fields"].items():
            if name not in free_fields and (found := _paths_in(value)):
                raise UserError(
                    f"{name}={found[0]} is an absolute path and part of the run's identity; "
                    f"it cannot be packed: make the run with a relative path"
                )
        known = {str(run.absolute()), str(home), str(home.parent)}
        for file in ("spec.json", "environment.json", "log.txt", "output.txt"):
            if (run / file).exists():
                known |= set(_PATH.findall(_text(run / file)))
        # Longest first: a path must not be cut by one that it begins with.
        self._known = sorted((path.rstrip("/") for path in known), key=lambda path: (-len(path), path))
        self._new = {path: _relative(path, (run.absolute(), home)) for path in self._known}
        ends = r"(?![\w-]|\.\w)"
        self._pattern = re.compile("|".join(re.escape(path) + ends for path in self._known))

    def scrubbed(self, file: Path) -> bytes | None:
        """The file's bytes without those paths; None where the file stays as it is."""
        if file.suffix not in TEXT or file.relative_to(self._run).parts[0] in UNTOUCHED:
            return None
        return self._pattern.sub(self._replace, _text(file)).encode(errors="surrogateescape")

    def _replace(self, found: re.Match[str]) -> str:
        self.replaced[found[0]] = self._new[found[0]]
        return self._new[found[0]]


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="surrogateescape")


def _relative(path: str, homes: Sequence[Path]) -> str:
    for home in homes:
        if path == str(home):
            return home.name
        if PurePosixPath(path).is_relative_to(str(home)):
            return str(PurePosixPath(path).relative_to(str(home)))
        if path == str(home.parent):
            return "runs"
    return PurePosixPath(path).name


def _paths_in(value: object) -> list[str]:
    return _PATH.findall(json.dumps(value, ensure_ascii=False))
