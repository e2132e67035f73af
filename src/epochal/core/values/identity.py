"""Identities: the same values give the same name, on every machine and in every process."""

import hashlib
import json
from collections.abc import Mapping

SEMANTICS = 1
"""Part of every identity; from the first release on raised when the same spec would train differently."""


def digest(value: object) -> str:
    """16 hexadecimal digits that depend on a JSON value only (BLAKE2b of its canonical form)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def member_id(experiment: str, fields: Mapping[str, object]) -> str:
    """Identity of a trained network: its experiment and every field that shapes its training."""
    return digest({"experiment": experiment, "semantics": SEMANTICS, "fields": dict(fields)})
