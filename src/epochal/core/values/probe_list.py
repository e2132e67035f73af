"""Which probes a run measures: ``a,b`` instead of the usual ones, ``+a,-b`` besides and without.

An entry is ``NAME`` or ``NAME@LABEL``; NAME is a probe of epochal's or ``NAME#HASH`` of a user's own. A label
tells two sets of options of one probe apart, and stands after the names of its columns too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.source import without_hash

_ENTRY = re.compile(r"[A-Za-z_]\w*(#[0-9a-f]{16})?(@[A-Za-z0-9_]{1,40})?")


def name_of(entry: str) -> str:
    """What a schedule or an option calls it: ``NAME`` or ``NAME@LABEL``."""
    return without_hash(entry)


def split_entry(entry: str) -> tuple[str, str]:
    """The probe (``NAME`` or ``NAME#HASH``) and the label, empty where there is none."""
    probe, _, label = entry.partition("@")
    return probe, label


def problem_of(entries: Sequence[str]) -> str | None:
    """What is wrong with a list of entries, in one line; None if nothing is."""
    for entry in entries:
        if not _ENTRY.fullmatch(entry):
            return (
                f"probes has {name_of(entry)!r}; a probe is NAME, NAME@LABEL or ./FILE.py:NAME, "
                "a label has letters, digits and _"
            )
    names = [name_of(entry) for entry in entries]
    twice = [name for name in names if names.count(name) > 1]
    return f"probes names {twice[0]} twice; a label tells them apart: {twice[0]}@LABEL" if twice else None


def chosen(given: object, usual: Sequence[str]) -> tuple[str, ...] | None:
    """The list that ``given`` stands for where it changes the usual one; None where it replaces it.

    Raises:
        UserError: a list and changes mixed, or a probe taken away that is not there.
    """
    items = [item.strip() for item in given.split(",")] if isinstance(given, str) else given
    if not isinstance(items, Iterable):
        return None
    texts = [item for item in items if isinstance(item, str) and item]
    changes = [text for text in texts if text[0] in "+-"]
    if not changes:
        return None
    if len(changes) < len(texts):
        raise UserError(
            f"probes={','.join(texts)} mixes a list with changes to one: write probes=a,b or probes=+a,-b"
        )
    entries = list(usual)
    for change in changes:
        entry, names = change[1:], [name_of(entry) for entry in entries]
        if change[0] == "+":
            if entry not in entries:
                entries.append(entry)
        elif name_of(entry) in names:
            entries.pop(names.index(name_of(entry)))
        else:
            raise UserError(f"probes={change} takes away what is not there{did_you_mean(entry, names)}")
    return tuple(entries)


def of_probes(settings: Mapping[str, object], probes: Sequence[str]) -> dict[str, object]:
    """The settings without schedules and options of probes that are not in the list."""
    names = {name_of(entry) for entry in probes}

    def is_kept(setting: str) -> bool:
        owner, _, rest = setting.partition(".")
        return owner not in ("probe_every", "probe_options") or rest.partition(".")[0] in names

    return {name: value for name, value in settings.items() if is_kept(name)}
