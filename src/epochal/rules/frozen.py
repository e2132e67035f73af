"""Frozen blocks: only what follows the last site learns. A control for rules that claim to train the rest."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Frozen:
    """The gradient of the loss in the parameters after the model's last site, 0 in all others.

    Activations are detached at every site, so that the network is a read-out of random features (Rahimi &
    Recht 2007). What another rule reaches beyond it, it has reached by training the features. Weight decay
    still moves the frozen parameters; set it to 0 to hold them. Batch norm's statistics follow the batches.
    """

    def at_site(self, site: str, activation: Tensor) -> Tensor:
        return activation.detach()


rule = Frozen
