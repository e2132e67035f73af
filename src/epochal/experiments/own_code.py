"""The one place that executes a user's own code: the file of a ``NAME#HASH``, once per process.

What is executed are the bytes with that hash, wherever they lie. A file stands alone: it may import what is
installed, not its neighbours, since a copy of it has to work by itself.
"""

import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from epochal.core.tensors.rule import Rule, is_rule
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.source import parts_of, read_source

_PREFIX = "epochal_own_code_"


def load(token: str, code: Mapping[str, str]) -> Any:
    """What ``NAME#HASH`` names; ``code`` says where the files lie.

    Raises:
        UserError: the file is missing or edited, fails when it is executed, or has nothing of that name.
    """
    name, digest = parts_of(token)
    if digest not in code:
        raise UserError(f"{token} names a source that is not at hand; give ./FILE.py:{name}")
    path = code[digest]
    module = _module(path, digest, read_source(path, digest))
    if not hasattr(module, name):
        own = [
            key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
        ]
        raise UserError(f"{path} has no {name}{did_you_mean(name, own)}")
    return getattr(module, name)


def load_rule(token: str, code: Mapping[str, str]) -> Rule:
    """A user's own rule: an object, or a class without arguments, with the methods of a rule.

    Raises:
        UserError: it needs arguments, or has no method of a rule.
    """
    found, (name, digest) = load(token, code), parts_of(token)
    if isinstance(found, type):
        needed = [p.name for p in _parameters(found) if p.default is p.empty]
        if needed:
            raise UserError(
                f"rule {name} in {code[digest]} needs {', '.join(needed)}; a rule is made without arguments: "
                "give them defaults"
            )
        found = call(token, code, found)
    if not is_rule(found):
        raise UserError(
            f"{name} in {code[digest]} is no rule: it has no method surrogate, at_site or gradient; "
            f"`epochal new rule {name}` writes a complete one"
        )
    rule: Rule = found
    return rule


def call(token: str, code: Mapping[str, str], function: Callable[..., Any], **arguments: Any) -> Any:
    """``function(**arguments)`` of own code.

    Raises:
        UserError: whatever it raises, in one line with the place.
    """
    name, digest = parts_of(token)
    try:
        return function(**arguments)
    except UserError:
        raise
    except Exception as error:  # anything may go wrong in there, and the user has to know where
        raise UserError(f"{name} in {code[digest]} fails: {place_of(error) or describe(error)}") from error


def chosen_arguments(
    token: str, code: Mapping[str, str], function: Callable[..., Any], offered: Mapping[str, object]
) -> dict[str, object]:
    """Those of the offered arguments that the signature names.

    Raises:
        UserError: it needs one that is not offered.
    """
    parameters = _parameters(function)
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in offered]
    if missing:
        name, digest = parts_of(token)
        raise UserError(
            f"{name} in {code[digest]} needs {', '.join(missing)}; what it can get is {', '.join(offered)}: "
            "give the others defaults"
        )
    return {p.name: offered[p.name] for p in parameters if p.name in offered}


def place_of(error: BaseException) -> str:
    """``line 12: RuntimeError: ...`` where the error passed through own code; empty where it did not."""
    places = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").startswith(_PREFIX)
    ]
    if not places:
        return ""
    path, number = places[-1]
    return f"{path} line {number}: {describe(error)}"


@contextmanager
def explained() -> Iterator[None]:
    """Within the block an error that passes through own code becomes one line with its place.

    Raises:
        UserError: that line.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # anything may go wrong in there, and the user has to know where
        place = place_of(error)
        if not place or "allocate memory" in str(error) or "out of memory" in str(error):
            raise  # memory is not the code's fault, and who asked for it knows what to do
        hint = next((hint for words, hint in _HINTS.items() if words in str(error)), "")
        raise UserError(f"own code fails: {place}{hint}") from error


_HINTS = {
    "random operation": "; draw through nn.Dropout, or by epochal.core.tensors.random from the key",
    "vmap": "; vmap cannot batch this: give executor=loop",
    "Batching rule": "; vmap cannot batch this: give executor=loop",
}


def describe(error: BaseException) -> str:
    """An error's class and the first line of what it says."""
    text = " ".join((str(error).splitlines() or [""])[0].split())[:200].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in inspect.signature(function).parameters.values() if p.kind not in kinds]


def _module(path: str, digest: str, source: bytes) -> ModuleType:
    name = f"{_PREFIX}{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module  # dataclasses and pydantic look their module up there
    # inspect.getsource and tracebacks show these lines even when the file changes later.
    linecache.cache[path] = (len(source), None, source.decode(errors="replace").splitlines(True), path)
    try:
        exec(compile(source, path, "exec"), vars(module))
    except Exception as error:  # anything may go wrong in there, and the user has to know where
        del sys.modules[name]
        if isinstance(error, UserError):
            raise
        place = place_of(error)
        raise UserError(f"{place or f'{path}: {describe(error)}'}") from error
    except BaseException:
        del sys.modules[name]
        raise
    return module
