"""Which splits a probe of training and validation data measures."""

from typing import Literal

from pydantic import Field

from epochal.core.tensors.task import Split
from epochal.core.values.options import Options


class SplitOptions(Options):
    """Of which examples."""

    splits: Literal["both", "train", "val"] = Field(
        default="both", description="both, or one of them: a large training set takes long"
    )

    @property
    def chosen(self) -> tuple[Split, ...]:
        return ("train", "val") if self.splits == "both" else (self.splits,)
