"""Options of a probe: a frozen, typed model, filled from text or from Python values."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.settings import alternatives, value_of
from epochal.core.values.spec_errors import describe


class Options(BaseModel):
    """Base of every probe's options; fields have defaults, and unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    def following(self, fields: Mapping[str, object]) -> "Options":
        """What was left open taken from the run's fields; the identity of a run holds what was given."""
        return self


class NoOptions(Options):
    """Of a probe that has none."""


def parse_options(kind: type[Options], given: Mapping[str, object], probe: str, prefix: str = "") -> Options:
    """The options of ``probe``; text is read as the option's type asks for, ``a,b`` as a list.

    Raises:
        UserError: every wrong one, a line each, with ``prefix`` before the option's name.
    """
    lines, values = [], {}
    for name, value in given.items():
        if not kind.model_fields:
            lines.append(f"{prefix}{name}={value}: {probe} has no options")
        elif name not in kind.model_fields:
            lines.append(f"{prefix}{name} is unknown{did_you_mean(name, kind.model_fields)}")
        else:
            try:
                values[name] = _read(kind.model_fields[name].annotation, value)
            except ValueError as error:
                lines.append(f"{prefix}{name}={value} {error}")
    try:
        options = kind.model_validate(values)
    except ValidationError as error:
        lines += [prefix + line for line in describe(error, kind)]
    if lines:
        raise UserError("\n".join(lines))
    return options


def given_options(options: Options) -> dict[str, Any]:
    """Those that differ from their defaults: what a run's identity holds."""
    neutral = {name: field.get_default() for name, field in type(options).model_fields.items()}
    values = options.model_dump(mode="json")
    return {name: value for name, value in values.items() if getattr(options, name) != neutral[name]}


def _read(annotation: Any, value: object) -> object:
    if not isinstance(value, str):
        return value
    kinds = alternatives(annotation)
    if any(get_origin(kind) in (tuple, list, Sequence) or kind in (tuple, list) for kind in kinds):
        items = {part for kind in kinds for part in get_args(kind)}
        return [value_of(item.strip(), items) for item in value.split(",") if item.strip()]
    return value_of(value, kinds)
