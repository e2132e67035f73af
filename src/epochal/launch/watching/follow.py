"""Watches a run that another process trains, from its files alone."""

import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from epochal.launch.labels import stored_labels
from epochal.launch.watching.listener import Listener, Start
from epochal.store.lock import is_held
from epochal.store.run import Run
from epochal.store.tail import RecordTail, Row, TextTail

LOOK_SECONDS = 0.25
"""Between two looks at the files."""


def pause(seconds: float) -> None:
    """Waits; a signal ends the wait early."""
    threading.Event().wait(seconds)


def follow(run: Run, listener: Listener, wait: Callable[[float], object] = pause) -> None:
    """Tells the listener what happens to a run until no process holds it any more; writes nothing.

    What is on disk when it begins is told at once. Between two records no step is known.
    """
    records, notes = RecordTail(run.paths), TextTail(run.paths.log, from_end=True)
    packs: Sequence[Sequence[int]] = run.spec["packs"]
    max_steps: int = run.spec["max_steps"]
    steps: dict[int, int] = {}
    is_first = True
    try:
        while True:
            is_at_work = is_held(run.paths.lock)  # asked before the look: the last look misses nothing
            new = records.new_rows()
            before = dict(steps)
            for pack, rows in new.items():
                steps[pack] = max(steps.get(pack, 0), rows[-1]["step"])
            if is_first:
                listener.started(
                    Start(
                        path=run.path,
                        labels=stored_labels(run),
                        num_packs=len(packs),
                        updates=max_steps * len(packs),
                        updates_done=sum(steps.values()),
                        max_steps=max_steps,
                        steps_done=dict(steps),
                    )
                )
                is_first = False
            for pack, rows in new.items():
                _tell(listener, rows)
                if steps[pack] > before.get(pack, 0):
                    listener.updated(pack, steps[pack])
            for line in notes.new_lines():
                listener.noted(line)
            if not is_at_work:
                return
            if len(steps) == len(packs) and min(steps.values()) >= max_steps:
                listener.phase("finding transitions, writing the report", 0, 1)
            wait(LOOK_SECONDS)
    finally:
        listener.ended()


def _tell(listener: Listener, rows: Sequence[Row]) -> None:
    for step, group in groupby(rows, key=lambda row: int(row["step"])):
        together = list(group)
        columns = [name for name in together[0] if name not in ("member", "step", "epoch")]
        record = {name: _values([row[name] for row in together]) for name in columns}
        listener.recorded(
            [row["member"] for row in together],
            step,
            {name: values for name, values in record.items() if values is not None},
        )


def _values(column: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Numbers, None where nothing was measured; a column of arrays is not for a line of text."""
    if all(value is None or not isinstance(value, int | float) for value in column):
        return None
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
