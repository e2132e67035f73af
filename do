#!/usr/bin/env python3
"""What one does with a checkout of epochal. Needs Python 3.11 or newer, and nothing else.

./do setup                make .venv (every other command does so by itself, once)
./do test [ARGS]          run the tests, side by side on up to 4 cores; ARGS go to pytest
./do check                formatting, lint, types and import rules; every failure is shown
./do bench [NAME] [ARGS]  run the scripts in bench/, or those named; ARGS from the first option on go to each
./do demo [ARGS]          epochal demo: the main job in a minute
./do help                 this page
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (so far this file must run on any Python 3)
    sys.exit("epochal needs Python 3.11 or newer, not {}.{}: try `python3.12 do`".format(*sys.version_info))

import difflib
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
STAMP = VENV / "ready"  # written last: an interrupted set-up has none
LOG = VENV / "setup.log"
GIGABYTES_NEEDED = 3
# A process per physical core. They begin with equal parts of the list, in its order, so that neighbours share
# what they prepare; who has finished takes over from the end of another's part.
SIDE_BY_SIDE = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")


def main(arguments: list[str]) -> int:
    name, *rest = arguments or ["help"]
    if name in ("-h", "--help"):
        name = "help"
    if name not in COMMANDS:
        return complain(f"unknown command {name!r}; {suggest(name, COMMANDS)}")
    try:
        return COMMANDS[name](rest)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def show_help(_: list[str]) -> int:
    print(__doc__)
    return 0


def setup(_: list[str]) -> int:
    make_ready()
    print(f"ready: {VENV}")
    return 0


def test(arguments: list[str]) -> int:
    make_ready()
    is_of_one_file = any(".py" in argument for argument in arguments)  # sooner read by one than by several
    return call(BIN / "pytest", *(() if is_of_one_file else SIDE_BY_SIDE), *arguments)


def check(_: list[str]) -> int:
    make_ready()
    tools = {
        "format": ("ruff", "format", "--check"),
        "lint": ("ruff", "check"),
        "types": ("mypy",),
        "imports": ("lint-imports", "--no-logo"),
    }
    failed = []
    for what, (tool, *options) in tools.items():
        print(f"-- {what}: {' '.join([tool, *options])}", flush=True)
        if call(BIN / tool, *options) != 0:
            failed.append(what)
    print(f"check: {', '.join(failed)} failed" if failed else "check: all passed")
    return 1 if failed else 0


def bench(arguments: list[str]) -> int:
    scripts = sorted(path.stem for path in (ROOT / "bench").glob("[!_]*.py"))
    first_option = next((i for i, a in enumerate(arguments) if a.startswith("-")), len(arguments))
    names = [Path(a).stem for a in arguments[:first_option]] or scripts
    for name in names:
        if name not in scripts:
            return complain(f"no script bench/{name}.py; {suggest(name, scripts)}")
    make_ready()
    return max((call(PYTHON, "-m", f"bench.{name}", *arguments[first_option:]) for name in names), default=0)


def demo(arguments: list[str]) -> int:
    make_ready()
    return call(BIN / "epochal", "demo", *arguments, folder=Path.cwd())


COMMANDS = {"setup": setup, "test": test, "check": check, "bench": bench, "demo": demo, "help": show_help}


def call(*command: str | Path, folder: Path = ROOT) -> int:
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()  # Ctrl-C reached it too: let it close its own way
            raise
    return code if code >= 0 else 128 - code


def complain(line: str) -> int:
    print(f"do: {line}", file=sys.stderr)
    return 2


def suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"


def make_ready() -> None:
    """Bring .venv up to date with pyproject.toml and lock.txt, or end with one line and a remedy."""
    wanted = fingerprint(ROOT)
    known = STAMP.read_text() if STAMP.exists() and PYTHON.exists() else ""
    if known == wanted:
        return
    started = time.monotonic()
    if known.startswith(f"{ROOT}\n"):
        print("updating .venv: pyproject.toml or lock.txt changed", file=sys.stderr)
        STAMP.write_text(f"{ROOT}\nunfinished\n")
    else:
        print("making .venv (once: up to 2 GB to fetch, a few minutes)", file=sys.stderr)
        make_empty_environment()
    install()
    STAMP.write_text(wanted)
    print(f"set up in {time.monotonic() - started:.0f} s", file=sys.stderr)


def fingerprint(root: Path) -> str:
    """What an environment is good for: this folder (its scripts hold the path) and these two files."""
    contents = [(root / name).read_bytes() for name in ("pyproject.toml", "lock.txt")]
    return f"{root}\n{hashlib.sha256(b'|'.join(contents)).hexdigest()}\n"


def make_empty_environment() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit("this Python has no ensurepip: install python3-venv (Debian, Ubuntu), then ./do setup")
    try:
        STAMP.unlink(missing_ok=True)
        venv.create(VENV, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"cannot make {VENV} ({error}): mend that, or remove the folder, then ./do setup")
    free = shutil.disk_usage(VENV).free / 1e9
    if free < GIGABYTES_NEEDED:
        sys.exit(f"{free:.1f} GB are free here, {GIGABYTES_NEEDED} are needed: make room, then ./do setup")


def install() -> None:
    """With uv, which is quick and picks the right build of torch; with pip where uv fails."""
    pip = [str(PYTHON), *"-m pip --disable-pip-version-check install --retries 1 -c lock.txt".split()]
    uv = [str(BIN / "uv"), *"pip install -c lock.txt --group dev -e .".split()]
    development = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    with_pip = [*pip, "-e", ".", *development]
    if not (logged([*pip, "uv"]) and (logged(uv, uv_environment()) or logged(with_pip))):
        sys.exit(remedy(LOG.read_text().rpartition("\n$ ")[2]))


def uv_environment() -> dict[str, str]:
    """uv does not read pip's settings: hand on local wheels; without a torch there, fit it to the machine."""
    links = os.environ.get("PIP_FIND_LINKS") or pip_setting("global.find-links")
    folders = [Path(link) for link in links.split() if Path(link).is_dir()]  # uv stops at a missing one
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV)}
    if folders:
        environment.setdefault("UV_FIND_LINKS", ",".join(map(str, folders)))
    wheel = f"torch-*-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl"
    if sys.platform != "darwin" and not any(any(folder.glob(wheel)) for folder in folders):
        environment.setdefault("UV_TORCH_BACKEND", "auto")
    return environment


def pip_setting(name: str) -> str:
    command = [str(PYTHON), "-m", "pip", "config", "get", name]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout  # empty if not set


def logged(command: list[str], environment: Mapping[str, str] | None = None) -> bool:
    """Run it with its output in the log, and the log's last line and the time on the terminal."""
    started = time.monotonic()
    with LOG.open("a+") as log:
        print(f"\n$ {shlex.join(command)}", file=log, flush=True)
        with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment) as process:
            while process.poll() is None:
                last_line = LOG.read_text(errors="replace").rstrip().rpartition("\n")[2]
                progress(f"{time.monotonic() - started:4.0f} s  {last_line}")
                time.sleep(0.2)
    progress("")
    return process.returncode == 0


def progress(line: str) -> None:
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)


def remedy(log: str) -> str:
    """The one line for a failed installation, from the output of its last attempt."""
    if re.search("No space left|os error 28", log) or shutil.disk_usage(VENV).free < 1e8:
        return f"the disk is full: make {GIGABYTES_NEEDED} GB of room, then ./do setup"
    if re.search("ConnectionError|NameResolution|ProxyError|SSLError|[Tt]imed? ?out|No route to host", log):
        return f"no way to the package index: check network and proxy, then ./do setup (details: {LOG})"
    last_line = log.rstrip().rpartition("\n")[2]
    return f"installation failed: {last_line} (details: {LOG})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
