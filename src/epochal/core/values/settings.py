"""From settings, as typed on a command line or given in Python, to blocks of values per field."""

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from epochal.core.values import axes
from epochal.core.values.errors import UserError
from epochal.core.values.fields import kind_of
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.spec import Spec

Settings = Mapping[str, object]
"""Field to its setting: text in the grammar of ``axes``, one value, or a sequence of values. A key ``zip``
(or ``zip2``, ...) holds the text of paired lists; ``probe_every.NAME`` sets one entry of a mapping."""

NONE = ("none", "null")
"""Spellings of None."""

Block = dict[str, list[object]]
"""Fields whose values go together: one field, or several of equal length paired by ``zip``."""


def undotted(spec_class: type[Spec], settings: Settings) -> dict[str, object]:
    """``data.path`` as the field ``data_path``, ``data.kind`` as ``data``; a mapping as dotted entries.

    Raises:
        UserError: two spellings of one field.
    """
    plain: dict[str, object] = {}
    for name, given in _flat(settings):
        flat = name.removesuffix(".kind").replace(".", "_")
        known = flat if flat in spec_class.model_fields else name
        if known in plain:
            raise UserError(f"{known} is set twice; give it once")
        plain[known] = given
    return plain


def _flat(settings: Settings) -> Iterator[tuple[str, object]]:
    for name, given in settings.items():
        if isinstance(given, Mapping):
            yield from ((f"{name}.{key}", value) for key, value in _flat(given))
        else:
            yield name, given


def blocks_of(spec_class: type[Spec], settings: Settings, errors: list[str]) -> list[Block]:
    """One block per axis; what cannot be read is added to ``errors`` and left out."""
    blocks: list[Block] = []
    mappings: dict[str, dict[str, object]] = {}
    for name, given in settings.items():
        owner, _, key = name.partition(".")
        try:
            if name.rstrip("0123456789") == "zip":
                blocks.append(_paired(spec_class, str(given)))
            elif key and owner in spec_class.model_fields and holds_mapping(spec_class, owner):
                mappings.setdefault(owner, {})[key] = given
            else:
                blocks.append({name: values_of(spec_class, name, given)})
        except UserError as error:
            errors.append(str(error))
    return blocks + [{owner: [entries]} for owner, entries in mappings.items()]


def holds_mapping(spec_class: type[Spec], name: str) -> bool:
    return get_origin(spec_class.model_fields[name].annotation) is dict


def _paired(spec_class: type[Spec], text: str) -> Block:
    try:
        pairs = axes.split_zip(text)
    except ValueError as error:
        raise UserError(str(error)) from error
    if pairs is None:
        raise UserError(f"zip={text} pairs nothing; write zip(x=1,2,y=3,4)")
    block = {name: values_of(spec_class, name, values) for name, values in pairs}
    if len(block) < len(pairs):
        raise UserError(f"{text} names a field twice")
    lengths = {name: len(values) for name, values in block.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UserError(f"zip pairs lists of the same length, but {shown} values")
    return block


def values_of(spec_class: type[Spec], name: str, given: object) -> list[object]:
    """The values that a setting of one field stands for.

    Raises:
        UserError: no such field, or what is given is in no form that it takes.
    """
    field = spec_class.model_fields.get(name)
    if field is None:
        raise UserError(f"unknown field {name}{did_you_mean(name, spec_class.model_fields)}")
    kinds = alternatives(field.annotation)
    if tuple in {get_origin(kind) for kind in kinds}:
        items = given.split(",") if isinstance(given, str) else given
        if not isinstance(items, Iterable):
            raise UserError(f"{name}={given} is not a list; write {name}=a,b")
        return [tuple(item.strip() if isinstance(item, str) else item for item in items if item != "")]
    if isinstance(given, str):
        if kind_of(field) in ("observe", "execute") and not {int, float} & kinds:
            return [given]
        try:
            texts = axes.expand(given, numeric=bool({int, float} & kinds))
            return [value_of(text, kinds) for text in texts]
        except ValueError as error:
            raise UserError(f"{name}={given} {error}") from error
    if isinstance(given, Iterable):
        values = [value.item() if hasattr(value, "item") else value for value in given]
        if not values:
            raise UserError(f"{name} is an empty list; give at least one value")
        return values
    return [given]


def is_none(value: object) -> bool:
    """Whether a setting says none, as text too."""
    return value is None or str(value).strip().lower() in NONE


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def alternatives(annotation: Any) -> set[Any]:
    """The types a field takes, without their limits."""
    kinds = get_args(annotation) if is_union(annotation) else (annotation,)
    return {get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds}


def value_of(text: str, kinds: set[Any]) -> object:
    """Text as the field's type reads it: ``none`` as None, ``8/255`` as a number, ``1e5`` as a whole one.

    Raises:
        ValueError: a fraction of zeroths.
    """
    if text.lower() in NONE and type(None) in kinds:
        return None
    if float in kinds and (fraction := axes.fraction(text)) is not None:
        return fraction
    if int in kinds and re.fullmatch(r"[+-]?[\d.]+(?:[eE][+-]?\d{1,2})?", text):
        if re.fullmatch(r"[+-]?\d{1,40}", text):
            return int(text)
        try:
            number = float(text)
        except ValueError:
            return text
        return int(number) if number.is_integer() and abs(number) < 2**53 else text
    return text
