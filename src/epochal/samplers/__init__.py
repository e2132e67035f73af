"""Samplers of ``exp(-n_beta L(w) - gamma/2 |w - w0|^2)``, vectorised over chains and over anything before
them.

``sgld``, ``rmsprop_sgld``, ``sgnht`` and ``mala`` take any potential L of a flat tensor and return
:class:`Samples`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochal.samplers.chains import Samples as Samples
    from epochal.samplers.hastings import mala as mala
    from epochal.samplers.langevin import sgld as sgld
    from epochal.samplers.preconditioned import rmsprop_sgld as rmsprop_sgld
    from epochal.samplers.thermostat import sgnht as sgnht

__all__ = ["Samples", "mala", "rmsprop_sgld", "sgld", "sgnht"]

_PLACES = {
    "Samples": "epochal.samplers.chains",
    "mala": "epochal.samplers.hastings",
    "rmsprop_sgld": "epochal.samplers.preconditioned",
    "sgld": "epochal.samplers.langevin",
    "sgnht": "epochal.samplers.thermostat",
}


def __getattr__(name: str) -> Any:
    # On first use: torch takes seconds to import.
    if name not in _PLACES:
        raise AttributeError(f"module 'epochal.samplers' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
