"""What kind of thing a spec's field is: it may vary in a pack, splits packs, observes, or executes.

Every field of a spec is declared by one of :func:`vary`, :func:`static`, :func:`observe`,
:func:`execute`. The kind decides whether a field can carry several values, whether it belongs to a
member's identity, and whether members that differ in it can train in one program.
"""

from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

Kind = Literal["vary", "static", "observe", "execute"]


def vary(default: Any, meaning: str, **constraints: Any) -> Any:
    """A field that becomes tensor data: members of one pack may differ in it."""
    return _field("vary", default, meaning, **constraints)


def static(default: Any, meaning: str, **constraints: Any) -> Any:
    """A field that shapes the program: members that differ in it train in different packs."""
    return _field("static", default, meaning, **constraints)


def observe(default: Any, meaning: str, **constraints: Any) -> Any:
    """A field of records, probes, snapshots: it can change no result and takes one value per run."""
    return _field("observe", default, meaning, **constraints)


def execute(default: Any, meaning: str, **constraints: Any) -> Any:
    """A field of where and how to compute: no part of a run's identity, one value per run."""
    return _field("execute", default, meaning, **constraints)


def kind_of(field: FieldInfo) -> Kind:
    return _declared(field)["kind"]  # type: ignore[no-any-return]


def source_of(field: FieldInfo) -> str:
    """Where the field's definition or default comes from; empty when it is epochal's own."""
    return str(_declared(field)["source"])


def is_identity(field: FieldInfo) -> bool:
    """Whether the field belongs to ``member_id``: vary and static, except the length of training."""
    return bool(_declared(field)["identity"])


def _field(
    kind: Kind,
    default: Any,
    meaning: str,
    *,
    source: str = "",
    identity: bool | None = None,
    **constraints: Any,
) -> Any:
    identity = kind in ("vary", "static") if identity is None else identity
    extra: dict[str, Any] = {"kind": kind, "source": source, "identity": identity}
    return Field(default, description=meaning, json_schema_extra={"epochal": extra}, **constraints)


def _declared(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    assert isinstance(extra, dict) and "epochal" in extra, (
        "every spec field is declared by vary/static/observe/execute"
    )
    return extra["epochal"]  # type: ignore[return-value]
