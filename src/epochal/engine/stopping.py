"""Early stopping: a fixed evaluation of its own, so that no record can change a result.

Metric, schedule and criterion shape training; they are the same for all members of a pack. A member that
has stopped leaves the population at that step and trains no further. Anything that is asked about the time
after the first event (did it generalise later?) must do without.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.core.values.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """Stops a member once ``column`` of ``probe`` is as good as ``at``, or has not improved for long.

    Long is ``patience`` evaluations in a row. Good is high for an accuracy, low for a loss (``is_rising``
    says which). ``at`` None and ``patience`` 0 switch the criterion off. A value that is not finite is no
    improvement.
    """

    probe: ConfiguredProbe
    column: str
    is_rising: bool
    schedule: Schedule
    at: float | None
    patience: int

    def judge(
        self, values: Float[Tensor, " M"], best: Float[Tensor, " M"], waited: Float[Tensor, " M"]
    ) -> tuple[Bool[Tensor, " M"], Float[Tensor, " M"], Float[Tensor, " M"]]:
        """Who stops now; the best value so far, and the number of evaluations since then.

        ``best`` starts at minus infinity: inside, high is good whatever the metric.
        """
        goodness = values if self.is_rising else -values
        is_better = goodness > best
        best = torch.where(is_better, goodness, best)
        waited = torch.where(is_better, 0.0, waited + 1.0)
        stops = torch.zeros_like(is_better)
        if self.at is not None:
            stops |= goodness >= (self.at if self.is_rising else -self.at)
        if self.patience:
            stops |= waited >= self.patience
        return stops, best, waited
