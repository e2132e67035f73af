"""Which splits a probe of training and validation data measures."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from epochal.core.tensors.task import Split
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options


class SplitOptions(Options):
    """Of which examples."""

    splits: Literal["both", "train", "val", "test"] = Field(
        default="both", description="train and val, or one of train, val and test: large ones take long"
    )

    @property
    def chosen(self) -> tuple[Split, ...]:
        return ("train", "val") if self.splits == "both" else (self.splits,)


def of_a_split(probe: str) -> Callable[[SplitOptions, Any], None]:
    """Examples in the splits that are asked for."""

    def check(options: SplitOptions, task: Any) -> None:
        if options.splits == "test" and not task.size("test"):
            raise UserError(
                f"probe_options.{probe}.splits=test, and these data have no test split: choose train, val or "
                "both"
            )

    return check
