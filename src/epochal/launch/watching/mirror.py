"""Mirrors a run to Weights & Biases, from a thread of its own that can neither slow nor break the run.

Every member is a W&B run (so that its fields are a config that W&B can filter, group and sweep by), all of
them in the group that is called like the run; one more, of job type ``report``, holds the table of events and
the figures. A W&B run costs 0.1 s and 70 kB to open, beside the training.
"""

import importlib.util
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError
from epochal.core.values.identity import digest
from epochal.core.values.request import Request
from epochal.launch.watching.follow import pause
from epochal.launch.watching.listener import Listener, Start
from epochal.store.run import load
from epochal.store.tail import RecordTail, TextTail

PATIENCE_SECONDS = 120.0
"""For what is still to be sent when the run ends; what is left then is given up."""


class Mirror:
    """A :class:`epochal.launch.watching.listener.Listener` that hands everything on to another one.

    It reads the record files rather than what it hears: a run that was mirrored from its middle, or killed
    and resumed, has every row once. ``wandb/mirrored.txt`` in the run says how far each member got.
    """

    def __init__(self, request: Request, inner: Listener) -> None:
        """Checks that W&B can be used at all.

        Raises:
            UserError: the package is missing.
        """
        if importlib.util.find_spec("wandb") is None:
            raise UserError(
                f"wandb={request.spec.wandb} needs the package wandb: pip install 'epochal[wandb]', "
                "or leave wandb=disabled"
            )
        self._request = request
        self._inner = inner
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closing = self._is_over = False
        self._failure = ""

    def started(self, start: Start) -> None:
        self._inner.started(start)
        self._thread = threading.Thread(target=self._work, args=(start,), name="wandb", daemon=True)
        self._news.set()
        self._thread.start()

    def updated(self, pack: int, step: int) -> None:
        self._inner.updated(pack, step)

    def recorded(self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]) -> None:
        self._inner.recorded(members, step, record)
        self._news.set()
        self._tell()

    def noted(self, text: str) -> None:
        self._inner.noted(text)

    def phase(self, name: str, done: int, of: int) -> None:
        self._inner.phase(name, done, of)

    def close(self) -> None:
        """The run is complete but for ``DONE``: its events and figures are to be mirrored too."""
        self._is_closing = True
        self._news.set()

    def ended(self) -> None:
        self._is_over = True
        self._news.set()
        if self._thread is not None:
            self._inner.phase("mirroring to W&B", 0, 1)
            self._thread.join(PATIENCE_SECONDS)
            if self._thread.is_alive():
                self._failure = f"still sending after {PATIENCE_SECONDS:.0f} s"
        self._tell()
        self._inner.ended()

    def _tell(self) -> None:
        """The one note about a failure."""
        if self._failure:
            mode = self._request.spec.wandb
            self._inner.noted(f"wandb={mode} does not mirror this run any more: {self._failure}")
            self._failure = ""

    def _work(self, start: Start) -> None:
        copies: _Copies | None = None
        try:
            copies = _Copies(self._request, start)
            while not self._is_over:
                self._news.wait()
                self._news.clear()
                copies.rows()
            copies.rows()
            if self._is_closing:
                copies.results()
        except Exception as error:  # whatever a client of a network service may raise must not reach the run
            self._failure = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        finally:
            if copies is not None:
                copies.finish()


class _Copies:
    """The W&B runs of one run, opened when there is something to put into them."""

    def __init__(self, request: Request, start: Start) -> None:
        self._request = request
        self._labels = start.labels
        self._run = load(start.path)
        self._stem = digest([start.path.name, self._run.environment.get("started_utc")])[:8]
        self._folder = start.path / "wandb"
        self._folder.mkdir(exist_ok=True)
        self._mirrored = self._folder / "mirrored.txt"
        self._last = _steps(self._mirrored)
        self._tail = RecordTail(self._run.paths)
        self._open: dict[int | None, Any] = {}
        with _quiet(is_offline=request.spec.wandb == "offline"):
            import wandb
        self._wandb: Any = wandb
        while _is_fresh(self._folder):
            pause(0.05)

    def rows(self) -> None:
        """Logs all rows that are new, of each member at rising steps."""
        for rows in self._tail.new_rows().values():
            done = []
            for row in rows:
                member, step = row.pop("member"), row.pop("step")
                if step > self._last.get(member, -1):
                    values = {name: value for name, value in row.items() if value is not None}
                    self._of(member).log(values, step=step)
                    self._last[member] = step
                    done.append(f"{member} {step}\n")
            with self._mirrored.open("a") as file:
                file.writelines(done)

    def results(self) -> None:
        """Events and outcomes as summaries of their members; the table of events and the figures."""
        run = load(self._run.path)
        for row in run.members.iter_rows(named=True):
            names = ("outcome", "outcome_step", "outcome_reason")
            self._of(row["member"]).summary.update({name: row[name] for name in names})
        for event in run.events.iter_rows(named=True):
            about = {name: value for name, value in event.items() if name not in ("member", "name")}
            self._of(event["member"]).summary.update(
                {
                    f"events/{event['name']}/{name}": value
                    for name, value in about.items()
                    if value is not None
                }
            )
        table = self._wandb.Table(columns=run.events.columns, data=[list(row) for row in run.events.rows()])
        images = sorted((run.path / "figures").glob("*.png"))
        figures = {f"figures/{image.stem}": self._wandb.Image(str(image)) for image in images}
        self._of(None).log({"events": table, **figures})

    def finish(self) -> None:
        for opened in self._open.values():
            opened.finish()

    def _of(self, member: int | None) -> Any:
        """The W&B run of a member; None is the one of the whole run."""
        if member not in self._open:
            self._open[member] = self._opened(member)
        return self._open[member]

    def _opened(self, member: int | None) -> Any:
        spec, name = self._request.spec, self._run.name
        config = self._config(member)
        with _quiet(is_offline=spec.wandb == "offline"):
            return self._wandb.init(
                project=spec.wandb_project,
                dir=str(self._run.path.resolve()),
                id=f"{self._stem}-{'report' if member is None else member}",
                name=name if member is None else self._labels[member],
                group=name[:128],
                job_type="report" if member is None else "member",
                config=config,
                mode=spec.wandb,
                # In an offline folder there is nothing to go on with: W&B joins the parts by id and step.
                resume="allow" if spec.wandb == "online" else None,
                reinit="create_new",
                settings=self._wandb.Settings(
                    silent=True,
                    console="off",
                    disable_git=True,
                    disable_code=True,
                    disable_job_creation=True,
                    x_disable_stats=True,
                    x_disable_machine_info=True,
                ),
            )

    def _config(self, member: int | None) -> dict[str, Any]:
        request = self._request
        own = {"run": self._run.name, "run_id": request.run_id, "command": request.command}
        if member is None:
            return own | request.fields()
        fields = request.members[member].model_dump(mode="json")
        return own | fields | {"member": member, "member_id": request.member_ids[member]}


def _is_fresh(folder: Path) -> bool:
    """Whether an earlier attempt was at work this very second: W&B would write into its folders again."""
    return any(time.time() - path.stat().st_mtime < 1 for path in folder.glob("*run-*"))


@contextmanager
def _quiet(*, is_offline: bool) -> Iterator[None]:
    """Offline means that nothing is sent: also no errors of W&B's own to its makers."""
    name = "WANDB_ERROR_REPORTING"
    if not is_offline or name in os.environ:
        yield
        return
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name, None)


def _steps(mirrored: Path) -> dict[int, int]:
    """Member to the last step that was logged."""
    pairs = [line.split() for line in TextTail(mirrored).new_lines()]
    return {int(member): int(step) for member, step in pairs}
