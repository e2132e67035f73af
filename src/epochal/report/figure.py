"""The contract of a figure: a function from a run and options to a ``FigureSpec``, declared with both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.spec_errors import allowed_values
from epochal.report.reading import RunLike


class Options(BaseModel):
    """What can be chosen about a figure. Every field has a default, a type and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, meaning: str) -> Any:
    """A field of ``Options``."""
    return Field(default, description=meaning)


Draw = Callable[[RunLike, Any], FigureSpec]
"""Several runs come as one, see ``several.py``. Raises ``UserError`` where the run lacks what is drawn."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A kind of figure. ``on_page`` gives the options with which a run's page has it, None where it has not.

    ``place`` orders the figures of a page.
    """

    name: str
    meaning: str
    options: type[Options]
    draw: Draw
    on_page: Callable[[RunLike], Options | None]
    place: int

    def of(self, run: RunLike, settings: Mapping[str, str]) -> FigureSpec:
        """The figure with options as text.

        Raises:
            UserError: an option that is unknown or wrong, or a run without what the figure shows.
        """
        return self.draw(run, self._options(settings))

    def _options(self, settings: Mapping[str, str]) -> Options:
        fields, given = self.options.model_fields, dict[str, object]()
        for name, text in settings.items():
            if name not in fields:
                raise UserError(f"figure {self.name} has no option {name}{did_you_mean(name, fields)}")
            is_list = get_origin(fields[name].annotation) is tuple
            given[name] = tuple(part.strip() for part in text.split(",") if part.strip()) if is_list else text
        try:
            return self.options.model_validate(given)
        except ValidationError as error:
            names = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())
            lines = (
                f"{n}={settings[n]} is not allowed: {n} is {allowed_values(n, self.options)}" for n in names
            )
            raise UserError("\n".join(lines)) from error


def never(_run: RunLike) -> None:
    """``on_page`` of a figure that no page has by itself."""


def figure(
    meaning: str,
    *,
    options: type[Options] = Options,
    on_page: Callable[[RunLike], Options | None] = never,
    place: int = 100,
) -> Callable[[Draw], Figure]:
    """Declares a function as a figure of the same name, with ``-`` for ``_``."""

    def declare(draw: Draw) -> Figure:
        name = draw.__name__.replace("_", "-")
        return Figure(name=name, meaning=meaning, options=options, draw=draw, on_page=on_page, place=place)

    return declare
