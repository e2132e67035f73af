"""Runs to test with, and disks that are full."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.store import RunDirectory, Schema
from tests.store.full_disk import Disk, cut_short, fill_to_the_brim

SCHEMA: Schema = {
    "member": "int64",
    "step": "int64",
    "epoch": "float64",
    "val_loss": {"dtype": "float64", "unit": "nats"},
}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDirectory]:
    """Makes a locked run of members 0 and 1 in ``tmp_path/runs``; every part can be given."""

    def make(
        name: str = "algorithmic-demo-0123abcd",
        *,
        spec: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        members: pl.DataFrame | None = None,
        schema: Schema = SCHEMA,
    ) -> RunDirectory:
        if members is None:
            members = pl.DataFrame({"member": [0, 1], "member_id": ["a0", "b1"], "seed": [7, 8]})
        return RunDirectory.create(
            tmp_path / "runs",
            name,
            spec={"experiment": "algorithmic", "preset": "demo", "max_steps": 2000} | dict(spec or {}),
            environment={"started_utc": "2026-01-02T03:04:05+00:00"} | dict(environment or {}),
            members=members,
            schema=schema,
        )

    return make


@pytest.fixture(params=["tmpfs", "limit", "patched"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A real full disk where mounting is allowed, a real file size limit, and a write that is cut short."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True
        )
        if mount.returncode:
            pytest.skip("runs where the tests may mount a tmpfs (as root)")
        try:
            yield Disk(folder, lambda: fill_to_the_brim(folder))
        finally:
            subprocess.run(["umount", folder], check=True)
    elif request.param == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            # Room for part of what the tests write and not for all of it.
            yield Disk(folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    else:
        yield Disk(folder, lambda: monkeypatch.setattr(os, "write", cut_short(os.write)))
