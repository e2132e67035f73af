"""One file per figure; a figure is found in this folder by its name."""

import pkgutil
from importlib import import_module

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.nearest import did_you_mean
from epochal.report.figure import Figure
from epochal.report.reading import RunLike


def names() -> list[str]:
    """The figures there are."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Figure:
    """The figure of this name.

    Raises:
        UserError: there is none; the nearest names are offered.
    """
    if name.replace("_", "-") not in names():
        raise UserError(f"unknown figure {name}{did_you_mean(name, names())}")
    own = name.replace("-", "_")
    found = getattr(import_module(f"{__name__}.{own}"), own)
    assert isinstance(found, Figure), f"{own}.py does not declare a figure of its name"
    return found


def page_figures(run: RunLike) -> list[FigureSpec]:
    """The figures that the page of a run has, in their order; none for what was not measured."""
    known = sorted(map(find, names()), key=lambda figure: figure.place)
    return [f.draw(run, options) for f in known if (options := f.on_page(run)) is not None]
