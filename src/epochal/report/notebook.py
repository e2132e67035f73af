"""Figures that a notebook shows by itself, without a network: as SVG."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.nearest import did_you_mean
from epochal.report.charts import figure_chart
from epochal.report.figures import page_figures
from epochal.report.files import figure_svg, save_figure
from epochal.report.reading import RunLike
from epochal.report.thinning import thinned

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True)
class Figure:
    """One figure: shown as SVG, changed as an altair ``chart``, saved for a paper."""

    spec: FigureSpec

    @property
    def name(self) -> str:
        return self.spec.name

    @cached_property
    def svg(self) -> str:
        return figure_svg(thinned(self.spec))

    @property
    def chart(self) -> "alt.VConcatChart":
        """The same as altair has it, to be changed."""
        return figure_chart(self.spec)

    def save(self, directory: Path | str, **options: Any) -> list[Path]:
        """SVG, PDF, PNG and the CSV behind them; options as in `epochal.report.files.save_figure`."""
        return save_figure(self.spec, Path(directory), **options)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": f"Figure {self.name}: {self.spec.title}"}


@dataclass(frozen=True)
class Figures:
    """The figures of a run, by number or by name."""

    all: tuple[Figure, ...]

    def __iter__(self) -> Iterator[Figure]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, which: int | str) -> Figure:
        if isinstance(which, int):
            return self.all[which]
        found = {figure.name: figure for figure in self.all}
        if which not in found:
            raise UserError(f"no figure {which!r}{did_you_mean(which, found)}")
        return found[which]

    def _repr_html_(self) -> str:
        return "".join(
            f"<figure>{figure.svg}<figcaption>{escape(figure.spec.title)}</figcaption></figure>"
            for figure in self.all
        )


def figures_of(run: RunLike) -> Figures:
    """The figures of the report as a notebook shows them."""
    return Figures(tuple(Figure(spec) for spec in page_figures(run)))
