"""The contract of a probe: a pure function of options and a view, with columns, unit and null declared."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_type_hints

from torch import Tensor

from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.core.values.options import NoOptions, Options

Measure = Callable[[Any, View], Mapping[str, Tensor]]
Rank = Literal[0, 1]
Columns = Mapping[str, Rank] | tuple[str, ...]
"""Names of numbers, or names with their ranks."""

Labels = Callable[[Any, View], Mapping[str, Sequence[str]]]
"""Of options and a view: what the places of array columns stand for."""

Kept = tuple[str, ...] | Callable[[Any], tuple[str, ...]]
"""Names of tensors that are given besides the columns, or a function from the options to them."""

Across = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
"""``(options, earlier, now) -> {column: number or [K]}``, of NumPy arrays that were kept at two steps."""

Along = Callable[[Any, Iterable[View]], Iterator[Mapping[str, Tensor]]]
"""Of options and one member's views at several steps: what ``measure`` gives of each, in their order."""

Requires = Callable[[Any, Any], None]
"""Of options and a task: a ``UserError`` where the task lacks what the probe needs."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the metrics table: a number (rank 0), or an array ``[K]`` (rank 1), stored as float64."""

    name: str
    rank: Rank = 0
    unit: str
    low: float
    high: float
    null: str
    """What the value is where there is no effect, in words or as a formula."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A measure with its declaration. ``measure`` runs under ``vmap`` over members.

    ``columns_of`` gives the columns from the options. ``requires`` refuses tasks that the probe cannot
    measure; it is asked before a run directory exists. One that ``is_apart`` runs once per member instead,
    and may do what ``vmap`` cannot: draw from generators of its own, look at numbers.

    ``kept_of`` gives names of tensors of any shape that `measure` gives, too. Records leave them out;
    ``epochal probe`` keeps them beside its table as float32, where ``across`` makes ``across_columns_of`` of
    those of neighbouring snapshots of a member.

    ``along`` measures several snapshots of a member together, where that is faster than one by one, with the
    same values to rounding; ``epochal probe`` then asks it. It takes as many views at a time as it holds in
    memory, and gives what it has as soon as it has it: the rest of an interrupted trajectory is lost.
    """

    name: str
    columns_of: Callable[[Any], tuple[Column, ...]]
    cost: str
    source: str
    measure: Measure
    options: type[Options] = NoOptions
    labels: Labels | None = None
    requires: Requires | None = None
    is_apart: bool = False
    kept_of: Callable[[Any], tuple[str, ...]] = lambda options: ()
    across: Across | None = None
    across_columns_of: Callable[[Any], tuple[Column, ...]] = lambda options: ()
    along: Along | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """With the default options."""
        return self.columns_of(self.options())

    def configured(self, options: Options | None = None, label: str = "") -> "ConfiguredProbe":
        """This probe with options (by default its defaults); a label tells two sets of options apart."""
        return ConfiguredProbe(probe=self, options=options or self.options(), label=label)


@dataclass(frozen=True, kw_only=True)
class ConfiguredProbe:
    """A probe as a run measures it: with its options, and ``@label`` after its name and its columns."""

    probe: Probe
    options: Options
    label: str = ""

    @property
    def name(self) -> str:
        return self._labelled(self.probe.name)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        columns = self.probe.columns_of(self.options)
        return tuple(replace(column, name=self._labelled(column.name)) for column in columns)

    @cached_property
    def across_columns(self) -> tuple[Column, ...]:
        """What a table of snapshots has besides: null where a member has no earlier snapshot."""
        columns = self.probe.across_columns_of(self.options)
        return tuple(replace(column, name=self._labelled(column.name)) for column in columns)

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """Names of what is kept beside a table."""
        return tuple(self._labelled(name) for name in self.probe.kept_of(self.options))

    def across(self, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
        """Column to a number or an array, from what was kept at two steps."""
        assert self.probe.across is not None
        end = f"@{self.label}" if self.label else ""
        pair = ({name.removesuffix(end): value for name, value in kept.items()} for kept in (earlier, now))
        return {self._labelled(name): value for name, value in self.probe.across(self.options, *pair).items()}

    def following(self, fields: Mapping[str, object]) -> "ConfiguredProbe":
        """With what its options leave open to the run's fields."""
        return replace(self, options=self.options.following(fields))

    def check(self, task: Any) -> None:
        """Whether this probe can measure members of a task.

        Raises:
            UserError: it cannot; what is missing, and the remedy.
        """
        for field in ("split", "splits"):
            if getattr(self.options, field, "") == "test" and task is not None and not task.size("test"):
                other = ", val or both" if field == "splits" else " or val"
                raise UserError(
                    f"probe_options.{self.name}.{field}=test, and these data have no test split: choose "
                    f"train{other}"
                )
        if self.probe.requires:
            self.probe.requires(self.options, task)

    def measure(self, view: View, *, with_kept: bool = False) -> dict[str, Tensor]:
        """Column to a number or an array; and what is kept beside a table.

        Raises:
            UserError: the columns are not those that the probe declares, or as `check`.
        """
        self.check(view.task)
        return self._declared(self.probe.measure(self.options, view), with_kept)

    def along(self, views: Iterable[View], *, with_kept: bool = False) -> Iterator[dict[str, Tensor]]:
        """What `measure` gives of each of a member's views, in their order; of probes that have ``along``.

        Raises:
            UserError: as `measure`.
        """
        assert self.probe.along is not None
        num_seen, num_given = 0, 0

        def seen() -> Iterator[View]:
            nonlocal num_seen
            for view in views:
                self.check(view.task)
                num_seen += 1
                yield view

        for values in self.probe.along(self.options, seen()):
            num_given += 1
            yield self._declared(values, with_kept)
        if num_given != num_seen:
            raise UserError(f"probe {self.probe.name} gives {num_given} values along {num_seen} snapshots")

    def _declared(self, given: Mapping[str, Tensor], with_kept: bool) -> dict[str, Tensor]:
        """In the declared order and labelled, if they are the columns that the probe declares."""
        values = dict(given)
        declared = {column.name: column for column in self.probe.columns_of(self.options)}
        kept = {name: values.pop(name) for name in self.probe.kept_of(self.options) if name in values}
        if values.keys() != declared.keys():
            raise UserError(
                f"probe {self.probe.name} gives {', '.join(values) or 'nothing'}; it declares the columns "
                f"{', '.join(declared)}"
            )
        for name, value in values.items():
            if value.ndim != declared[name].rank:
                raise UserError(
                    f"probe {self.probe.name} gives {name} of shape {tuple(value.shape)}; it declares "
                    f"{'a number' if declared[name].rank == 0 else 'an array [K]'}"
                )
        values = {name: values[name] for name in declared} | (kept if with_kept else {})
        return {self._labelled(name): value for name, value in values.items()}

    def labels(self, view: View) -> dict[str, list[str]]:
        """Array column to what its places stand for, of those that say so.

        Raises:
            UserError: as `check`.
        """
        self.check(view.task)
        labels = self.probe.labels
        named = labels(self.options, view) if labels else {}
        return {self._labelled(name): list(places) for name, places in named.items()}

    def _labelled(self, name: str) -> str:
        return f"{name}@{self.label}" if self.label else name


def probe(
    *,
    columns: Columns | Callable[[Any], Columns],
    unit: str,
    low: float,
    high: float,
    null: str,
    cost: str,
    source: str,
    labels: Labels | None = None,
    requires: Requires | None = None,
    is_apart: bool = False,
    kept: Kept = (),
    across: Across | None = None,
    across_columns: Columns | Callable[[Any], Columns] = (),
    along: Along | None = None,
) -> Callable[[Measure], Probe]:
    """Declares a function ``(options, view) -> {column: value}`` as a probe of the same name.

    ``columns`` are names of numbers, or a mapping from name to rank (1 for an array), or a function from the
    options to one of these. The annotation of the
    function's first argument is the model of its options; without one it has none. ``labels(options, view)``
    names the places of arrays, where they are no plain numbers. ``requires(options, task)`` raises a
    ``UserError`` for tasks without what the probe needs. ``is_apart`` measures members one by one. ``kept``
    names further tensors, ``across`` compares them between snapshots, ``along`` measures several snapshots
    together: see :class:`Probe`.

    Raises:
        UserError: the function takes other arguments.
    """

    def columns_of(options: Any, given: Columns | Callable[[Any], Columns] = columns) -> tuple[Column, ...]:
        named = given(options) if callable(given) else given
        ranks: Mapping[str, Rank] = named if isinstance(named, Mapping) else dict.fromkeys(named, 0)
        return tuple(
            Column(name=name, rank=rank, unit=unit, low=low, high=high, null=null)
            for name, rank in ranks.items()
        )

    def declare(measure: Measure) -> Probe:
        name = getattr(measure, "__name__", "")
        return Probe(
            name=name,
            columns_of=columns_of,
            cost=cost,
            source=source,
            measure=measure,
            options=_options_of(measure, name),
            labels=labels,
            requires=requires,
            is_apart=is_apart,
            kept_of=kept if callable(kept) else lambda options: kept,
            across=across,
            across_columns_of=lambda options: columns_of(options, across_columns),
            along=along,
        )

    return declare


def _options_of(measure: Measure, name: str) -> type[Options]:
    arguments = list(inspect.signature(measure).parameters)
    if len(arguments) != 2:
        raise UserError(
            f"probe {name} takes ({', '.join(arguments)}); write {name}(options: NoOptions, view: View)"
        )
    kind = get_type_hints(measure).get(arguments[0], NoOptions)
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        raise UserError(f"probe {name} has options of type {kind}; derive them from epochal.Options")
    return kind
