"""Which splits a probe of training and validation data measures."""

from typing import Literal

from pydantic import Field

from epochal.core.tensors.task import Split
from epochal.core.values.options import Options


class SplitOptions(Options):
    """Of which examples."""

    splits: Literal["both", "train", "val", "test"] = Field(
        default="both", description="train and val, or one of train, val and test: large ones take long"
    )

    @property
    def chosen(self) -> tuple[Split, ...]:
        return ("train", "val") if self.splits == "both" else (self.splits,)
