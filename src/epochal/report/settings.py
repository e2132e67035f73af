"""Settings: the combinations of fields, besides one along an axis, that members have."""

from collections.abc import Mapping, Sequence

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Cell
from epochal.report.against import ordered, short_texts, values_of
from epochal.report.reading import RunLike, as_text, check_field, is_replicate, setting_words, varied_fields

SELF_TELLING = ("optimizer", "model")
"""Fields whose values are names that nothing else has."""
MAX_SETTINGS = 24
"""Panels that one figure has room for."""


def settings_of(
    run: RunLike,
    *,
    besides: Sequence[str],
    fields: Sequence[str] = (),
    along: Mapping[int, Cell] | None = None,
) -> dict[int, str]:
    """Member to its setting in words, settings in the order of their first field, then the next.

    ``fields`` make the settings, by default all that vary, except for repetitions and ``besides``. Names of
    optimisers and models stand by themselves, all else behind its field's name. With a member's place
    ``along`` an axis, settings with a single place are left out where others have several: they are no curve.

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
    found = _curves_among(found, along) if along else found
    if (num := len(set(found.values()))) > MAX_SETTINGS:
        raise UserError(
            f"{run.name} has {num} settings of {', '.join(chosen)}, more than {MAX_SETTINGS} panels: keep "
            f"some with --only {chosen[0]}={as_text(values[chosen[0]][members[0]])}, or name fields with "
            "settings=a,b"
        )
    return found


def left_out(run: RunLike, settings: Mapping[int, str], x: str) -> str:
    """For a caption: how many members are in no setting that is drawn; nothing where all are."""
    missing = len(run.members) - len(settings)
    words = f"{missing} members are" if missing > 1 else "One member is"
    return f" {words} left out: alone in a setting with one {x}." if missing else ""


def _curves_among(settings: Mapping[int, str], along: Mapping[int, Cell]) -> dict[int, str]:
    places: dict[str, set[Cell]] = {}
    for member, setting in settings.items():
        places.setdefault(setting, set()).add(along[member])
    most = max(map(len, places.values()), default=0)
    return {m: setting for m, setting in settings.items() if len(places[setting]) > 1 or most == 1}


def _words(field: str, text: Cell) -> str:
    return str(text) if field in SELF_TELLING else setting_words({field: text}, [field])
