"""Whether one attack breaks what another, which should be stronger, does not."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

DEVIATIONS = 2.0


@dataclass(frozen=True)
class Broken:
    """Shares of the examples that only the weaker attack breaks, and that only the stronger breaks."""

    only_weaker: Float[Tensor, ""]
    only_stronger: Float[Tensor, ""]
    count: int

    @classmethod
    def of(cls, weaker: Bool[Tensor, " N"], stronger: Bool[Tensor, " N"]) -> "Broken":
        first = (weaker & ~stronger).double().mean()
        return cls(first, (stronger & ~weaker).double().mean(), len(weaker))

    @property
    def excess(self) -> Float[Tensor, ""]:
        """Below 0 where the stronger attack is the stronger one."""
        return self.only_weaker - self.only_stronger


def exceeds(found: Broken) -> Bool[Tensor, ""]:
    """By more than chance: of n examples that only one of the two breaks, n/2 +- sqrt(n)/2 each (McNemar)."""
    split = (found.only_weaker + found.only_stronger) * found.count
    return found.excess * found.count > DEVIATIONS * split.sqrt()
