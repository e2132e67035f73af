"""Different transforms for different tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.layout import Entry, Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.optim.chain import part_of
from epochal.optim.scope import runs

Choice = str | Callable[[Entry], bool]


@dataclass(frozen=True)
class Branch:
    """A transform and its tensors, as slices of the whole vector and as a layout of their own."""

    transform: Transform
    slices: tuple[slice, ...]
    layout: Layout

    def take(self, matrix: Float[Tensor, "M P"]) -> Float[Tensor, "M p"]:
        """Its columns: a view where they are neighbours, else a copy."""
        parts = [matrix[:, part] for part in self.slices]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def put(self, matrix: Float[Tensor, "M P"], columns: Float[Tensor, "M p"]) -> None:
        sizes = [part.stop - part.start for part in self.slices]
        for part, values in zip(self.slices, columns.split(sizes, dim=1), strict=True):
            matrix[:, part] = values


@dataclass(frozen=True)
class Route:
    """Each branch sees its tensors only. State of branch k: its own names after ``k.``.

    Each has random numbers of its own. Transforms that look at a whole vector (a global clip, a constant
    norm) look at the branch's, inside; outside, in a chain around the route, at the member's.
    """

    branches: tuple[Branch, ...]

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {
            f"{place}.{name}": value
            for place, branch in enumerate(self.branches)
            for name, value in branch.transform.init(branch.take(flat)).items()
        }

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        after: State = {}
        for place, branch in enumerate(self.branches):
            own = replace(
                context,
                flat=branch.take(context.flat),
                initial=branch.take(context.initial),
                layout=branch.layout,
                key=random.fold(context.key, place),
            )
            columns, kept = branch.transform.update(branch.take(delta), part_of(state, place), own)
            branch.put(delta, columns)
            after |= {f"{place}.{name}": value for name, value in kept.items()}
        return delta, after


def route(layout: Layout, choices: Mapping[Choice, Transform]) -> Route:
    """``route(layout, {hidden_matrix: chain(Muon(), DecayToZero()), "*": adamw()})``.

    A choice is a function of an entry, the name of a tensor, that of a module (and all inside it), or "*" for
    whatever is left. The first that fits a tensor has it.

    Raises:
        ValueError: a tensor fits no choice, or a name fits no tensor.
    """
    taken: dict[str, int] = {}
    for place, choice in enumerate(choices):
        fitting = [entry.name for entry in layout.entries if _fits(choice, entry)]
        if isinstance(choice, str) and choice != "*" and not fitting:
            raise ValueError(f"{choice!r} names no tensor and no module: there are {', '.join(layout.names)}")
        for name in fitting:
            taken.setdefault(name, place)
    left = [name for name in layout.names if name not in taken]
    if left:
        raise ValueError(f'no transform for {", ".join(left)}: add "*" for whatever is left')
    branches = []
    for place, transform in enumerate(choices.values()):
        entries = [entry for entry in layout.entries if taken[entry.name] == place]
        if entries:
            own = Layout.of({entry.name: entry.shape for entry in entries})
            branches.append(Branch(transform, tuple(runs(entries)), own))
    return Route(tuple(branches))


def _fits(choice: Choice, entry: Entry) -> bool:
    if callable(choice):
        return choice(entry)
    return choice == "*" or entry.name == choice or entry.name.startswith(f"{choice}.")
