"""The contract of a probe: a pure function of a view, declared with its columns, unit and null."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from epochal.core.tensors.view import View

Measure = Callable[[View], Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the metrics table; every value is a scalar, stored as float64."""

    name: str
    unit: str
    low: float
    high: float
    null: str
    """What the value is where there is no effect, in words or as a formula."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A measure with its declaration. ``measure`` runs under ``vmap`` over members."""

    name: str
    columns: tuple[Column, ...]
    cost: str
    source: str
    measure: Measure


def probe(
    *, columns: tuple[str, ...], unit: str, low: float, high: float, null: str, cost: str, source: str
) -> Callable[[Measure], Probe]:
    """Declares a function of a view as a probe of the same name."""

    def declare(measure: Measure) -> Probe:
        declared = tuple(Column(name=name, unit=unit, low=low, high=high, null=null) for name in columns)
        return Probe(name=measure.__name__, columns=declared, cost=cost, source=source, measure=measure)

    return declare
