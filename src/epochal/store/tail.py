"""The records of a run at work, as they come: whole new lines only, read and never locked."""

import json
from pathlib import Path
from typing import Any

from epochal.store.paths import RunPaths
from epochal.store.schema import STATUS

Row = dict[str, Any]


class RecordTail:
    """Looks into the record files of a run again and again."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._offsets: dict[Path, int] = {}

    def new_rows(self) -> dict[int, list[Row]]:
        """Pack to the rows written since the last look, in their order; values as `read_records` has them.

        A resumed run cuts its files back to its state and writes the same rows again: then a file is read
        from its start once more, so whoever counts on seeing a row once has to go by member and step.
        """
        found = {}
        for path in self._paths.all_records():
            if rows := self._new(path):
                found[int(path.stem.removeprefix("pack-"))] = rows
        return found

    def _new(self, path: Path) -> list[Row]:
        offset = self._offsets.get(path, 0)
        with path.open("rb") as file:
            if offset:
                file.seek(offset - 1)
                if file.read(1) != b"\n":  # cut back since
                    offset = 0
            file.seek(offset)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._offsets[path] = offset + len(data)
        return [_row(line) for line in data.splitlines()]


class TextTail:
    """New whole lines of a text file that may not be there yet."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if from_end and path.exists() else 0

    def new_lines(self, *, also_unfinished: bool = False) -> list[str]:
        """Lines since the last look; ``also_unfinished`` gives a last one without its newline too."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        if not also_unfinished:
            data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        return data.decode(errors="replace").splitlines()


def _row(line: bytes) -> Row:
    row: Row = json.loads(line)
    for entry in filter(None, (row.pop(STATUS, None) or "").split("; ")):
        place, _, text = entry.rpartition("=")
        column, _, index = place.partition("[")
        if index:
            row[column][int(index.rstrip("]"))] = float(text)
        else:
            row[column] = float(text)
    return row
