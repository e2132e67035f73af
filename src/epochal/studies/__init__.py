"""Studies, found in this folder by name: ``grokking-delay`` is the value of ``grokking_delay.py``.

A study of several files is a folder, whose value stands in its ``__init__.py``.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.source import digest_of, hashed, parts_of
from epochal.core.values.study import Study


@dataclass(frozen=True, kw_only=True)
class Found:
    """A study with its name, its file and the hash of what stands in it."""

    name: str
    study: Study
    path: Path
    source: bytes

    @property
    def source_hash(self) -> str:
        return digest_of(self.source)


def names() -> list[str]:
    """The studies that come with epochal."""
    folder = Path(__file__).parent
    files = [*folder.glob("[!_]*.py"), *(file.parent for file in folder.glob("[!_]*/__init__.py"))]
    return sorted(file.stem.replace("_", "-") for file in files)


def find(subject: str) -> Found:
    """A study by its name, or a user's own as ``./FILE.py:NAME``.

    Raises:
        UserError: there is none, or what is there is no study.
    """
    if ".py" in subject:
        return _own(subject)
    name = subject.replace("_", "-")
    if name not in names():
        raise UserError(f"unknown study {subject}{did_you_mean(subject, names())}; or give ./FILE.py:NAME")
    key = name.replace("-", "_")
    module = import_module(f"epochal.studies.{key}")
    path = Path(str(module.__file__))
    if path.name == "__init__.py":
        path = path.parent
    return Found(name=name, study=getattr(module, key), path=path, source=_source(path))


def _source(path: Path) -> bytes:
    """All that decides a verdict: of a folder every file, each under its name."""
    if path.is_file():
        return path.read_bytes()
    files = sorted(path.glob("*.py"))
    return b"\n".join(b"# " + file.name.encode() + b"\n\n" + file.read_bytes() for file in files)


def _own(subject: str) -> Found:
    from epochal.experiments.own_code import load  # torch, which own code may need

    settings, code = hashed({"study": subject})
    token = str(settings["study"])
    found, (name, digest) = load(token, code), parts_of(token)
    if not isinstance(found, Study):
        raise UserError(f"{subject} is no study: `epochal new study {name}` writes a complete one")
    path = Path(code[digest])
    return Found(name=name.replace("_", "-"), study=found, path=path, source=path.read_bytes())
