"""At which steps something is recorded: every k steps or epochs, log-spaced, or several of these."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

ALLOWED = (
    "a whole number of steps such as 50, of epochs such as 2ep, log:20 (20 per decade), log(1,1000,50) (50 "
    "from 1 to 1000), at:1ep (epoch 1), or a sum: 50+log:20"
)

_SPACED = re.compile(r"log\((\d{1,12}),(\d{1,12}),(\d{1,6})\)")
_PART = re.compile(r"(?P<kind>log:|at:)?(?P<number>\d{1,12})(?P<epochs>ep)?")
_NAMES = {
    (None, None): "every",
    (None, "ep"): "every_epochs",
    ("log:", None): "per_decade",
    ("at:", "ep"): "at_epoch",
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Steps 0 and ``max_steps``, and in between every ``every`` steps, every ``every_epochs`` epochs,
    ``per_decade`` steps in each decade, and after epoch ``at_epoch``; ``spaced`` (first, last, count) are
    that many numbers of equal ratio, rounded down, those that are equal or beyond ``max_steps`` left out.

    Log-spaced steps do not depend on ``max_steps``, so that a longer run repeats the records of a
    shorter one. Zero means "none of this kind".
    """

    every: int = 0
    every_epochs: int = 0
    per_decade: int = 0
    at_epoch: int = 0
    spaced: tuple[int, int, int] | None = None

    def steps(self, max_steps: int, steps_per_epoch: int) -> NDArray[np.int64]:
        """Increasing steps in ``[0, max_steps]``, both ends included."""
        chosen = [np.array([0, max_steps])]
        for stride in (self.every, self.every_epochs * steps_per_epoch):
            if stride:
                chosen.append(np.arange(0, max_steps + 1, stride))
        if self.per_decade and max_steps:
            # One decade more than needed, then cut: floating log10 of a power of ten may fall short.
            exponents = np.arange(self.per_decade * (len(str(max_steps)) + 1)) / self.per_decade
            chosen.append(np.rint(10.0**exponents).astype(np.int64))
        if self.at_epoch:
            chosen.append(np.array([self.at_epoch * steps_per_epoch]))
        if self.spaced:
            first, last, count = self.spaced
            ratios = np.linspace(np.log10(first), np.log10(last), count)
            # Ends are whole numbers, which a power of ten may just miss.
            chosen.append(np.floor(10.0**ratios + 1e-6).astype(np.int64))
        steps = np.unique(np.concatenate(chosen))
        return steps[steps <= max_steps].astype(np.int64)

    @classmethod
    def parse(cls, given: object) -> "Schedule":
        """From ``50``, ``"50"``, ``"2ep"``, ``"log:20"`` or a sum of these: ``"50+log:20"``.

        Raises:
            ValueError: naming what is allowed.
        """
        if isinstance(given, Schedule):
            return given
        if isinstance(given, int) and not isinstance(given, bool):
            given = str(given)
        if not isinstance(given, str):
            raise ValueError(f"must be {ALLOWED}")
        values: dict[str, Any] = {}
        for part in given.replace(" ", "").split("+"):
            if spaced := _SPACED.fullmatch(part):
                first, last, count = map(int, spaced.groups())
                if not 1 <= first < last or count < 2 or "spaced" in values:
                    raise ValueError(f"must be {ALLOWED}; {part!r} needs 1 <= first < last, 2 or more, once")
                values["spaced"] = (first, last, count)
                continue
            match = _PART.fullmatch(part)
            name = _NAMES.get((match["kind"], match["epochs"])) if match else None
            if match is None or name is None or not int(match["number"]):
                raise ValueError(f"must be {ALLOWED}")
            if name in values:
                raise ValueError(f"must be {ALLOWED}; {part!r} repeats a part")
            values[name] = int(match["number"])
        return cls(**values)

    def __str__(self) -> str:
        parts = {"": self.every, "ep": self.every_epochs}
        words = [f"{number}{unit}" for unit, number in parts.items() if number]
        words += [f"log:{self.per_decade}"] if self.per_decade else []
        words += ["log({},{},{})".format(*self.spaced)] if self.spaced else []
        words += [f"at:{self.at_epoch}ep"] if self.at_epoch else []
        return "+".join(words)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )
