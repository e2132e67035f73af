"""A request: which population to train, resolved to one complete spec per member."""

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import cast

from pydantic import ValidationError

from epochal.core.values import axes
from epochal.core.values.errors import UserError
from epochal.core.values.fields import kind_of
from epochal.core.values.identity import SEMANTICS, digest, member_id
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.probe_list import chosen, of_probes
from epochal.core.values.settings import Block, Settings, blocks_of, holds_mapping
from epochal.core.values.source import as_typed, without_hash
from epochal.core.values.spec import Spec
from epochal.core.values.spec_errors import describe

MAX_MEMBERS = 100_000
MOST_ERRORS = 6
MOST_ERRORS_OF_A_FIELD = 2


@dataclass(frozen=True, kw_only=True)
class Request:
    """A population to train. ``varied`` names the fields in which its members differ."""

    experiment: str
    preset: str | None
    members: tuple[Spec, ...]
    member_ids: tuple[str, ...]
    varied: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    """What was set beyond the preset, as canonical text: ``(field, values)`` or ``("zip", text)``."""

    @property
    def spec(self) -> Spec:
        """The first member, from which all that the members share can be read."""
        return self.members[0]

    @property
    def run_id(self) -> str:
        """Hash of everything that decides what the run holds; where it executes is left out.

        Fields at their defaults are left out too, so that a new field changes no identity.
        """
        spec = self.spec
        names = {*spec.of_kind("observe"), "max_steps"}
        neutral = type(spec)().model_dump(mode="json", include=names)
        observed = {
            name: value
            for name, value in spec.model_dump(mode="json", include=names).items()
            if value != neutral[name]
        }
        return digest({"semantics": SEMANTICS, "members": self.member_ids, "observed": observed})

    @property
    def name(self) -> str:
        """Name of the run's directory: experiment, preset, telling fields, eight digits of the run id."""
        telling = (
            text if field == "zip" else f"{field}={text}"
            for field, text in self.settings
            if self._is_telling(field)
        )
        run_id, _, step = self.spec.checkpoint_id.partition("@")
        begins = [f"from_{run_id[:8]}_{step}"] if step else []
        words = [self.experiment, *([self.preset] if self.preset else []), *begins, *telling]
        readable = "-".join(
            re.sub(r"[^A-Za-z0-9.]+", "_", without_hash(word).replace(":", "to")).strip("_.")
            for word in words
        )
        return f"{readable[:80].rstrip('-_.')}-{self.run_id[:8]}"

    @property
    def command(self) -> str:
        """The command line that makes this request again."""
        words = [f"preset={self.preset}"] if self.preset else []
        words += [text if field == "zip" else f"{field}={text}" for field, text in self.settings]
        words = [as_typed(word, self.spec.code) for word in words]
        return shlex.join(["epochal", "run", self.experiment, *words])

    def fields(self) -> dict[str, object]:
        """Every field with its value, or ``{"axis": [...]}`` where members differ."""
        rows = [
            member.model_dump(mode="json") for member in (self.members if self.varied else self.members[:1])
        ]
        return {
            name: {"axis": list(dict.fromkeys(row[name] for row in rows))} if name in self.varied else value
            for name, value in rows[0].items()
        }

    def with_options(self, options: Mapping[str, object]) -> "Request":
        """The same request with the probes' options in their canonical form, defaults left out."""
        rest = [pair for pair in self.settings if not pair[0].startswith("probe_options.")]
        given = {
            field.removeprefix("probe_options."): text
            for field, text in self.settings
            if (field, text) not in rest
        }
        texts = {name: axes.value_text(value) for name, value in options.items()}
        if self.preset:  # a default that is given may replace what the preset says
            texts = given | texts
        own = [(f"probe_options.{name}", texts[name]) for name in sorted(texts) if name in given]
        members = tuple(m.model_copy(update={"probe_options": dict(options)}) for m in self.members)
        return replace(self, members=members, settings=(*rest, *own))

    def _is_telling(self, field: str) -> bool:
        return field.partition(".")[0] not in self.spec.of_kind("observe", "execute")


def resolve(
    experiment: str,
    spec_class: type[Spec],
    settings: Settings,
    *,
    preset: str | None = None,
    presets: Mapping[str, Settings] | None = None,
    derived: Settings | None = None,
) -> Request:
    """All members that the settings stand for, in the order of the spec's fields, seeds fastest.

    ``derived`` settings follow from the others: used like a preset's, not repeated in the command.
    The same request, however it was spelt, resolves to an equal value and the same ``run_id``.

    Raises:
        UserError: every error in one short list, each naming the field, the value and what is allowed.
    """
    presets = presets or {}
    if preset is not None and preset not in presets:
        raise UserError(f"preset={preset} is unknown to {experiment}{did_you_mean(preset, presets)}")
    errors: list[str] = []
    from_preset = presets[preset] if preset else {}
    settings = with_probes(spec_class, settings, from_preset)
    own = blocks_of(spec_class, settings, errors)
    set_here = [name for block in own for name in block]
    for name in {name for name in set_here if set_here.count(name) > 1}:
        errors.append(f"{name} is set twice; give it once")
    silent = {**inherited(from_preset, settings), **(derived or {})}
    blocks = blocks_of(spec_class, silent, errors) + own
    order = spec_class.field_order()
    blocks.sort(key=lambda block: min(order.index(name) for name in block))
    varied = [name for block in blocks for name, values in block.items() if len(values) > 1]
    for name in varied:
        if kind_of(spec_class.model_fields[name]) in ("observe", "execute") or name == "max_steps":
            errors.append(f"{name} takes one value for the whole run; give one, or start several runs")
    if errors:
        raise UserError(_short_list(errors))
    members = _product(spec_class, blocks)
    ids = tuple(member_id(experiment, member.identity()) for member in members)
    _refuse_twins(ids, members, varied)
    return Request(
        experiment=experiment,
        preset=preset,
        members=members,
        member_ids=ids,
        varied=tuple(name for name in order if name in varied),
        settings=tuple(_canonical(spec_class, blocks, own, members)),
    )


def with_probes(spec_class: type[Spec], settings: Settings, from_preset: Settings) -> Settings:
    """The settings with ``probes=+a,-b`` as the whole list that it stands for.

    Raises:
        UserError: a change that makes no sense.
    """
    if "probes" not in settings:
        return settings
    usual = from_preset.get("probes", spec_class.model_fields["probes"].default)
    usual = usual.split(",") if isinstance(usual, str) else usual
    assert isinstance(usual, Sequence)
    entries = chosen(settings["probes"], usual)
    return settings if entries is None else {**settings, "probes": entries}


def inherited(from_preset: Settings, settings: Settings) -> dict[str, object]:
    """A preset's settings that are not set anew; schedules and options of probes go with their probes.

    Of a mapping such as ``probe_options`` single entries are replaced, the others stay.
    """
    set_here = set(settings)
    for name, given in settings.items():
        if name.rstrip("0123456789") == "zip":
            set_here |= set(re.findall(r"[A-Za-z_]\w*(?==)", str(given)))
    kept = {
        name: value for name, value in from_preset.items() if not {name, name.partition(".")[0]} & set_here
    }
    probes = settings.get("probes")
    if probes is None:
        return kept
    return of_probes(kept, probes.split(",") if isinstance(probes, str) else probes)  # type: ignore[arg-type]


def _short_list(errors: Sequence[str]) -> str:
    """One line per error: the first few of each field, and how many more there are."""
    kept: list[str] = []
    seen: dict[str, int] = {}
    distinct = list(dict.fromkeys(errors))
    for line in distinct:
        field = line.partition("=")[0]
        seen[field] = seen.get(field, 0) + 1
        if seen[field] <= MOST_ERRORS_OF_A_FIELD and len(kept) < MOST_ERRORS:
            kept.append(line)
    more = len(distinct) - len(kept)
    return "\n".join([*kept, *([f"and {more} more errors like these"] if more else [])])


def _rows(block: Block) -> list[dict[str, object]]:
    return [dict(zip(block, row, strict=True)) for row in zip(*block.values(), strict=True)]


def _product(spec_class: type[Spec], blocks: Sequence[Block]) -> tuple[Spec, ...]:
    count = prod(len(_rows(block)) for block in blocks)
    if count > MAX_MEMBERS:
        raise UserError(f"the axes span {count} members, more than {MAX_MEMBERS}; shorten a list")
    members, errors = [], []
    for choice in itertools.product(*map(_rows, blocks)):
        try:
            members.append(spec_class.model_validate(_joined(choice)))
        except ValidationError as error:
            errors += describe(error, spec_class)
    if errors:
        raise UserError(_short_list(errors))
    return tuple(members)


def _joined(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """All fields of a member; a mapping that a preset and a user set has the entries of both."""
    found: dict[str, object] = {}
    for name, value in (pair for row in rows for pair in row.items()):
        before = found.get(name)
        is_both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[name] = {**before, **value} if is_both else value  # type: ignore[dict-item]
    return found


def _refuse_twins(ids: Sequence[str], members: Sequence[Spec], varied: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for place, name in enumerate(ids):
        if name in first:
            shown = ", ".join(
                f"{field}={axes.value_text(getattr(members[place], field))}" for field in varied
            )
            raise UserError(
                f"members {first[name]} and {place} are the same network ({shown}); leave one of them out"
            )
        first[name] = place


def _canonical(
    spec_class: type[Spec], blocks: Sequence[Block], own: Sequence[Block], members: Sequence[Spec]
) -> list[tuple[str, str]]:
    """The settings as text, with values as the validated members hold them, in the order of the fields."""
    shown: list[tuple[str, str]] = []
    stride = len(members)
    for block in blocks:
        length = len(_rows(block))
        stride //= length
        if not any(block is mine for mine in own):
            continue
        values = {name: [getattr(members[row * stride], name) for row in range(length)] for name in block}
        if len(block) > 1:
            pairs = ",".join(f"{name}={axes.compact(column)}" for name, column in values.items())
            shown.append(("zip", f"zip({pairs})"))
            continue
        [(name, column)] = values.items()
        if holds_mapping(spec_class, name):
            given = cast(Mapping[str, object], block[name][0])
            shown += [(f"{name}.{key}", axes.value_text(column[0][key])) for key in sorted(given)]
        else:
            shown.append((name, axes.compact(column)))
    return shown
