"""The command that verifies an installation: doctor."""

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from epochal.cli.app import JsonOption, app, print_table

NEEDED = (
    "torch", "numpy", "scipy", "scikit-learn", "statsmodels", "ruptures", "pydantic", "typer", "rich",
    "polars", "safetensors", "altair", "vl-convert-python", "jinja2",
)  # fmt: skip
OPTIONAL = ("wandb", "arviz", "torchvision")


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Verify the installation: versions, device, data, a tiny run. Exit code 1 if something is wrong."""
    rows: list[dict[str, str]] = []
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "packages": _packages,
        "optional packages": _optional,
        "device": _device,
        "double precision": _double,
        "data": _data,
        "folder of runs": _folder,
        "a tiny run": _tiny_run,
    }
    for name, check in checks.items():
        started = time.perf_counter()
        try:
            said, state = check(), "good"
        except Exception as error:  # whatever is wrong with an installation is what is asked for
            said, state = " ".join(f"{type(error).__name__}: {error}".split()), "BAD"
        rows.append({"check": name, "state": state, "found": said})
        rows[-1]["seconds"] = f"{time.perf_counter() - started:.1f}"
    print_table(rows, as_json)
    bad = [row["check"] for row in rows if row["state"] == "BAD"]
    if not as_json:
        typer.echo(f"\n{len(rows) - len(bad)} of {len(rows)} checks are good{_remedy(bad)}")
    if bad:
        raise typer.Exit(1)


def _remedy(bad: list[str]) -> str:
    if not bad:
        return ""
    if "packages" in bad or "python" in bad:
        return "; install again: pip install --force-reinstall epochal (in a checkout: ./do setup)"
    return f"; look at {', '.join(bad)}"


def _python() -> str:
    if sys.maxsize < 2**32:
        raise RuntimeError("this Python has 32 bits; torch needs 64")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages() -> str:
    import epochal

    missing = [name for name in NEEDED if not _version(name)]
    if missing:
        raise RuntimeError(f"missing: {', '.join(missing)}")
    return ", ".join([f"epochal {epochal.__version__}", *(f"{name} {_version(name)}" for name in NEEDED[:4])])


def _optional() -> str:
    return ", ".join(f"{name} {_version(name) or 'not there'}" for name in OPTIONAL)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _device() -> str:
    import torch

    from epochal.launch.environment import describe

    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    place = describe(torch.device(kind), torch.get_num_threads())
    made = torch.ones(8, 8, device=kind) @ torch.ones(8, 8, device=kind)
    if not bool((made == 8).all()):
        raise RuntimeError(f"{kind} multiplies wrongly")
    return f"{kind}: {place['hardware']}, {place['cores']} cores, {place['threads']} threads"


def _double() -> str:
    """A random number is a function: the same everywhere."""
    import torch

    from epochal.core.tensors import random

    seen = random.bits(random.key(0, "doctor"), (2,)).tolist()
    if seen != KNOWN_BITS:
        raise RuntimeError(f"random numbers are {seen}, not {KNOWN_BITS}: 64-bit integers work otherwise")
    root = torch.tensor(2.0, dtype=torch.float64).sqrt().item()
    if abs(root**2 - 2) > 1e-15:
        raise RuntimeError(f"sqrt(2)^2 is {root**2}")
    return "numbers by name are those of every other machine"


def _data() -> str:
    from epochal.tasks.datasets import catalog

    bad = [state for state in catalog.verify("digits", None) if state.state != "verified"]
    if bad:
        raise RuntimeError(f"digits, which comes with scikit-learn, is {bad[0].state}")
    return f"digits is there; others belong into {catalog.where('cifar10', None).parent}"


def _folder() -> str:
    from epochal.api import runs_folder

    folder = runs_folder(None).absolute()
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    with tempfile.NamedTemporaryFile(dir=nearest, prefix=".doctor-"):
        return f"{folder} can be written"


def _tiny_run() -> str:
    import epochal
    from epochal.store.run import load

    with tempfile.TemporaryDirectory() as place:
        settings: dict[str, Any] = {
            "modulus": 7,
            "width": 8,
            "heads": 2,
            "max_steps": 20,
            "threads": 1,
            "device": "cpu",
        }
        run = epochal.run("algorithmic", runs=Path(place), progress=False, seed=[0, 1], **settings)
        outcomes = load(run.path).members["outcome"].to_list()
        losses = run.metrics["train_loss"].drop_nulls()
        if outcomes != ["finished", "finished"] or not losses.is_finite().all():
            raise RuntimeError(f"two networks ended as {', '.join(outcomes)}, training loss {losses[-1]}")
        page = run.paths.report
        if not page.exists():
            raise RuntimeError("no page was written")
        size = page.stat().st_size / 1e3
        return f"two networks, 20 updates, {len(run.metrics)} records, a page of {size:.0f} kB"


KNOWN_BITS = [-4787739012646466978, 6095050864597485137]
