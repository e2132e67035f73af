"""What a network shows that can be counted, which of it was asked for, and how it is heard of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.tap import Entry, Linear, Tap
from epochal.core.values.errors import UserError

AFTER = "after:"
"""Before the name of a site: what passes it, where a name alone stands for units before a non-linearity."""
LOGITS = "logits"
LOOKED = 5
"""Copies of one example that pass: enough to tell the axis of examples from any other, mostly."""

Sites = Annotated[
    tuple[str, ...],
    Field(
        description="what is counted, by name, beginning or pattern (layer1, *.second); after:NAME is what "
        "passes a site; none: all units before a non-linearity"
    ),
]
"""An option of what counts."""

Count = Callable[[str, Tensor], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """Numbers per example of everything that can be counted, in the order of the network."""

    units: Mapping[str, int]
    """Before a non-linearity."""
    passing: Mapping[str, int]
    """At a site; names begin with ``after:``."""
    logits: int
    order: Sequence[str]
    unlike_rows: Mapping[str, tuple[int, ...]]
    """Shapes of what has no row per example."""
    has_entry: bool
    """Whether the network lets others do its first map, once, on as many numbers as it was given."""
    is_entered: Bool[Tensor, ""]
    """Whether that map gets the very inputs, and what it gives stays as it is until it is counted. A tensor,
    since under ``vmap`` no number can be looked at."""

    def layers(self, logits: bool, sites: Sequence[str] = ()) -> dict[str, int]:
        """Name and units of what is counted: all units, or the ``sites`` asked for.

        A word stands for a name, for all names that go on after it with a dot, or is a pattern with ``*``;
        for sites only where it begins with ``after:``.

        Raises:
            UserError: the network shows no units, not those, or none per example.
        """
        there = {**self.units, **self.passing, LOGITS: self.logits}
        chosen = {name for word in sites for name in self._named(word, there)} if sites else set(self.units)
        chosen |= {LOGITS} if logits else set()
        if not chosen:
            raise UserError(
                "this network showed no units before a non-linearity: use modules such as nn.ReLU instead of "
                "functions, or let forward(inputs, tap) call tap.before(name, h); sites= counts what passes "
                f"a site (here {', '.join(self.passing) or 'there is none'}), logits=true counts outputs"
            )
        for name in chosen & set(self.unlike_rows):
            others = ", ".join(other for other in there if other not in self.unlike_rows)
            raise UserError(
                f"{name} has shape {self.unlike_rows[name]} for {LOOKED} examples and so no row for each: "
                f"count others by sites= (there is {others})"
            )
        return {name: there[name] for name in (*self.order, LOGITS) if name in chosen}

    def _named(self, word: str, there: Collection[str]) -> list[str]:
        kind = [name for name in there if name.startswith(AFTER) == word.startswith(AFTER)]
        found = [name for name in kind if f"{name}.".startswith(f"{word}.") or fnmatchcase(name, word)]
        if not found:
            raise UserError(
                f"sites={word} is nothing that this network shows; before non-linearities it has "
                f"{', '.join(self.units) or 'nothing'}; what passes a site is "
                f"{', '.join(self.passing) or 'nowhere to be seen'}; and there is {LOGITS}"
            )
        return found


def look_at(forward: Callable[[Tensor, Tap], Tensor], example: Float[Tensor, "1 d"]) -> Look:
    """One example passes, some times over."""
    rows = example.expand(LOOKED, -1)
    units: dict[str, int] = {}
    passing: dict[str, int] = {}
    order: dict[str, None] = {}
    unlike_rows: dict[str, tuple[int, ...]] = {}
    entered: list[tuple[Tensor, Tensor]] = []
    is_entered = torch.ones((), dtype=torch.bool, device=rows.device)
    fits: list[bool] = []

    def see(seen: dict[str, int], name: str, value: Tensor) -> None:
        nonlocal is_entered
        order[name] = None
        seen[name] = seen.get(name, 0) + value.numel() // LOOKED
        if value.ndim == 0 or len(value) != LOOKED:
            unlike_rows[name] = tuple(value.shape)
        for given, copy in entered:
            if value is given:
                is_entered = is_entered & (value == copy).all()

    def edit(site: str, value: Tensor) -> Tensor:
        if value.is_floating_point():
            see(passing, AFTER + site, value)
        return value

    def entry(linear: Linear, inputs: Tensor) -> Tensor:
        nonlocal is_entered
        fits.append(inputs.shape[:1] == rows.shape[:1] and inputs.numel() == rows.numel())
        if fits[-1]:
            is_entered = is_entered & (inputs.reshape(rows.shape) == rows.to(inputs.dtype)).all()
        given = linear(inputs)
        entered.append((given, given.clone()))
        return given

    logits = forward(rows, Tap(watch=lambda name, value: see(units, name, value), edit=edit, entry=entry))
    return Look(
        units=units,
        passing=passing,
        logits=logits[0].numel(),
        order=tuple(order),
        unlike_rows=unlike_rows,
        has_entry=fits == [True],
        is_entered=is_entered,
    )


def listening(chosen: Collection[str], count: Count, entry: Entry | None = None) -> Tap:
    """A tap by which ``count`` hears of these names and no others."""

    def watch(name: str, value: Tensor) -> None:
        if name in chosen:
            count(name, value)

    def edit(site: str, value: Tensor) -> Tensor:
        if AFTER + site in chosen:
            count(AFTER + site, value)
        return value

    has_sites = any(name.startswith(AFTER) for name in chosen)
    return Tap(watch=watch, edit=edit if has_sites else None, entry=entry)
