"""Settings: the combinations of fields, besides one along an axis, that members have."""

from collections.abc import Sequence

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Cell
from epochal.report.against import ordered, short_texts, values_of
from epochal.report.reading import RunLike, as_text, check_field, is_replicate, varied_fields

MAX_SETTINGS = 24
"""Panels that one figure has room for."""


def settings_of(run: RunLike, *, besides: Sequence[str], fields: Sequence[str] = ()) -> dict[int, str]:
    """Member to its setting in words, settings in the order of their first field, then the next.

    ``fields`` make the settings, by default all that vary, except for repetitions and ``besides``. Names of
    optimisers and models stand by themselves, all else behind its field's name.

    Raises:
        UserError: more settings than there is room for, or a field that does not vary.
    """
    varied = [f for f in varied_fields(run) if not is_replicate(f) and run.members[f].n_unique() > 1]
    chosen = [check_field(run, f) for f in fields] or [f for f in varied if f not in besides]
    values = {f: values_of(run, f) for f in chosen}
    texts = {f: short_texts(list(own.values())) for f, own in values.items()}
    ranks = {f: {v: i for i, v in enumerate(ordered(list(own.values())))} for f, own in values.items()}
    members = run.members["member"].to_list()
    members.sort(key=lambda m: [ranks[f][values[f][m]] for f in chosen])
    found = {m: ", ".join(_words(f, texts[f][values[f][m]]) for f in chosen) for m in members}
    if (num := len(set(found.values()))) > MAX_SETTINGS:
        raise UserError(
            f"{run.name} has {num} settings of {', '.join(chosen)}, more than {MAX_SETTINGS} panels: keep "
            f"some with --only {chosen[0]}={as_text(values[chosen[0]][members[0]])}, or name fields with "
            "settings=a,b"
        )
    return found


def _words(field: str, text: Cell) -> str:
    words = field.replace("_", " ")
    try:
        float(str(text))
    except ValueError:
        return str(text) if field in ("optimizer", "model") else f"{words} {text}"
    return f"{words} {text}"
