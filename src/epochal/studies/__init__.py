"""Studies, found in this folder by name: ``grokking-delay`` is the value of ``grokking_delay.py``."""

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
    return sorted(file.stem.replace("_", "-") for file in Path(__file__).parent.glob("[!_]*.py"))


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
    return Found(name=name, study=getattr(module, key), path=path, source=path.read_bytes())


def _own(subject: str) -> Found:
    from epochal.experiments.own_code import load  # torch, which own code may need

    settings, code = hashed({"study": subject})
    token = str(settings["study"])
    found, (name, digest) = load(token, code), parts_of(token)
    if not isinstance(found, Study):
        raise UserError(f"{subject} is no study: `epochal new study {name}` writes a complete one")
    path = Path(code[digest])
    return Found(name=name.replace("_", "-"), study=found, path=path, source=path.read_bytes())
