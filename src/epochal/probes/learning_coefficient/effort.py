"""How far a computation of unknown length has come: examples seen, of those that are expected so far."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.settings import Settings

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


def silent(done: int, of: int) -> None:
    pass


class Effort:
    """Counts examples whose gradient was taken and tells ``progress`` so."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done, self._expected = progress, 0, 0

    def expect(self, settings: Settings, places: int = 1) -> None:
        """Chains of checked settings around so many places are to come, too."""
        assert settings.burn_in is not None and settings.batch_size is not None
        steps = settings.burn_in + settings.draws * settings.thinning
        self._expected = (
            max(self._expected, self._done) + places * settings.chains * steps * settings.batch_size
        )

    def counted(self, loss: NetworkLoss) -> NetworkLoss:
        """The same loss."""

        def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
            self._done += index.numel()
            self._progress(self._done, max(self._done, self._expected))
            return loss.slope(flat, index)

        return replace(loss, slope=slope)
