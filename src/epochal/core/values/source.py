"""A user's own code: typed as ``PATH.py:NAME``, held by a spec as ``NAME#HASH``. Read here, never executed.

The hash is BLAKE2b of the file's bytes, so an edited file is another run and the same file elsewhere is the
same run. Where the file lies is in the spec's field ``code`` (hash to path), which is no part of an identity.
"""

import ast
import hashlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from epochal.core.values import axes
from epochal.core.values.errors import UserError

OWN_FIELDS = ("model", "data", "operation", "rule", "probes", "study")
"""What takes ``PATH.py:NAME``: fields of specs, and the command ``study``."""

_TOKEN = r"[A-Za-z_]\w*#[0-9a-f]{16}"


def is_own(value: str) -> bool:
    """Whether a field's value names own code, ``NAME#HASH``."""
    return re.fullmatch(_TOKEN, value) is not None


def parts_of(token: str) -> tuple[str, str]:
    """Name and hash of ``NAME#HASH``."""
    name, _, digest = token.partition("#")
    return name, digest


def digest_of(source: bytes) -> str:
    """16 hexadecimal digits."""
    return hashlib.blake2b(source, digest_size=8).hexdigest()


def hashed(settings: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """The settings with ``NAME#HASH`` for every ``PATH.py:NAME``, and hash to path.

    Raises:
        UserError: a file that is missing or not Python, or no name after it.
    """
    code: dict[str, str] = {}

    def read(field: str, given: object) -> object:
        if isinstance(given, str):
            return ",".join(_hashed_one(field, text, code) for text in given.split(","))
        if isinstance(given, list | tuple):
            return [_hashed_one(field, item, code) if isinstance(item, str) else item for item in given]
        return given

    changed: dict[str, object] = {}
    for field, given in settings.items():
        if field.rstrip("0123456789") == "zip" and ".py" in str(given):
            changed[field] = _hashed_zip(str(given), code)
        else:
            changed[field] = read(field, given) if field in OWN_FIELDS else given
    return changed, code


def as_typed(text: str, code: Mapping[str, str]) -> str:
    """``NAME#HASH`` as ``PATH.py:NAME`` again, wherever it stands in a text."""

    def typed(match: re.Match[str]) -> str:
        name, digest = parts_of(match[0])
        return f"{code[digest]}:{name}" if digest in code else match[0]

    return re.sub(_TOKEN, typed, text)


def without_hash(text: str) -> str:
    """``NAME#HASH`` as ``NAME``, wherever it stands in a text."""
    return re.sub(_TOKEN, lambda match: parts_of(match[0])[0], text)


def copy_name(path: str | Path, digest: str) -> str:
    """What the copy in a run is called: ``STEM-HASH.py``."""
    return f"{re.sub(r'[^A-Za-z0-9_]+', '_', Path(path).stem)}-{digest}.py"


def read_source(path: str | Path, digest: str) -> bytes:
    """The bytes of a file that has this hash.

    Raises:
        UserError: it is not there, or has been edited.
    """
    source = _read(path, str(path))
    if digest_of(source) != digest:
        raise UserError(
            f"{path} is not what it was: its hash is {digest_of(source)}, not {digest}; restore it, or make "
            "a new run with it"
        )
    return source


def _hashed_zip(text: str, code: dict[str, str]) -> str:
    try:
        pairs = axes.split_zip(text) or []
    except ValueError as error:
        raise UserError(str(error)) from error
    shown = [
        f"{field}=" + ",".join(_hashed_one(field, value, code) for value in values.split(","))
        for field, values in pairs
    ]
    return f"zip({','.join(shown)})"


def _hashed_one(field: str, text: str, code: dict[str, str]) -> str:
    """One value; a probe may have ``+`` or ``-`` before it and ``@label`` after it."""
    if field not in OWN_FIELDS or ".py" not in text:
        return text
    text = text.strip()
    sign = text[0] if field == "probes" and text[0] in "+-" else ""
    where, label = re.fullmatch(r"(.*?)((?:@[^/:]*)?)", text[len(sign) :]).groups()  # type: ignore[union-attr]
    path, colon, name = where.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        file = path if path.endswith(".py") else where.rstrip(":")
        raise UserError(f"{field}={text} names nothing in a file; write {field}={sign}{file}:NAME")
    source = _read(path, f"{field}={text}")
    _parse(source, path, f"{field}={text}")
    code.setdefault(digest_of(source), path)
    return f"{sign}{name}#{digest_of(source)}{label}"


def _read(path: str | Path, given: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        what = f"{given}: there is no file {path}" if given != str(path) else f"there is no file {path}"
        raise UserError(f"{what}; give the path of a Python file") from error
    except OSError as error:
        raise UserError(f"{given}: {path} cannot be read ({error.strerror})") from error


def _parse(source: bytes, path: str, given: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dubious escapes and the like: they are not ours to report
            ast.parse(source)
    except SyntaxError as error:
        raise UserError(f"{given}: line {error.lineno} of {path} is not Python: {error.msg}") from error
    except ValueError as error:  # null bytes
        raise UserError(f"{given}: {path} is not Python: {error}") from error
