"""A spec's validation errors as lines a researcher can act on."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from epochal.core.values.nearest import did_you_mean
from epochal.core.values.schedule import ALLOWED, Schedule
from epochal.core.values.settings import is_union

_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def describe(error: ValidationError, spec_class: type[BaseModel]) -> list[str]:
    """One line per wrong field: the field, the value, what is allowed, the likely remedy."""
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        lines.setdefault(name or str(detail["ctx"]["error"]), _line(name, detail, spec_class))
    return list(lines.values())


def _line(name: str, detail: ErrorDetails, spec_class: type[BaseModel]) -> str:
    if not name:  # a rule over several fields says all of it itself
        return str(detail["ctx"]["error"])
    if name not in spec_class.model_fields:
        return f"unknown field {name}{did_you_mean(name, spec_class.model_fields)}"
    key = "".join(
        f".{part}" for part in detail["loc"][1:] if isinstance(part, str) and not part.endswith("]")
    )
    key = key if spec_class.model_fields[name].annotation and detail["type"] == "value_error" else ""
    given = detail["input"]
    given = ",".join(map(str, given)) if isinstance(given, list | tuple) else given  # as it was typed
    if detail["type"] == "value_error":
        return f"{name}{key}={given} {detail['ctx']['error']}"
    allowed, remedy = allowed_values(name, spec_class), _remedy(name, given, spec_class)
    return f"{name}={given} is not allowed: {name} is {allowed}{remedy}"


def allowed_values(name: str, spec_class: type[BaseModel]) -> str:
    """What a field takes, in words: ``a whole number >= 1 or full``."""
    field = spec_class.model_fields[name]
    alternatives = get_args(field.annotation) if is_union(field.annotation) else [field.annotation]
    return " or ".join(_words(kind, field.metadata) for kind in alternatives)


def _words(kind: Any, constraints: Sequence[Any]) -> str:
    if names := [str(limit.allowed) for limit in constraints if hasattr(limit, "allowed")]:
        return names[0]
    if get_origin(kind) is Annotated:
        kind, *given = get_args(kind)
        constraints = [limit for each in given for limit in getattr(each, "metadata", [each])]
    if get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple and get_origin(get_args(kind)[0]) is Literal:
        return f"names as a,b,c, each {_words(get_args(kind)[0], ())}"
    if kind in (int, float):
        limits = [
            f"{sign} {getattr(c, side):g}"
            for c in constraints
            for side, sign in _SIGNS.items()
            if hasattr(c, side)
        ]
        return " ".join(["a whole number" if kind is int else "a number", " and ".join(limits)]).strip()
    if kind is Schedule:
        return ALLOWED
    if get_origin(kind) is tuple and get_args(kind)[0] is not str:
        return f"{_words(get_args(kind)[0], ())}, or several as a,b,c"
    words = {
        bool: "true or false",
        str: "text",
        type(None): "none",
        tuple: "names as a,b,c",
        dict: "one entry as NAME=VALUE",
    }
    return words[get_origin(kind) or kind]


def _remedy(name: str, given: object, spec_class: type[BaseModel]) -> str:
    field = spec_class.model_fields[name]
    kinds = get_args(field.annotation) if is_union(field.annotation) else [field.annotation]
    literals = [kind for kind in kinds if get_origin(kind) is Literal]
    choices = [choice for kind in literals for choice in get_args(kind) if isinstance(choice, str)]
    if isinstance(given, str) and choices:
        near = difflib.get_close_matches(given, choices, n=1)
        return f": did you mean {near[0]!r}?" if near else ""
    upper = [
        getattr(limit, side) for limit in field.metadata for side in ("le", "lt") if hasattr(limit, side)
    ]
    try:
        number = float(str(given))
    except ValueError:
        return ""
    return f": did you mean {number / 100:g}?" if upper and upper[0] <= 1 < number <= 100 else ""
