"""Passes of a network in bounded memory: a piece of the examples at a time, and only what is asked for."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError

PIECE = 128
"""Examples of a member per forward pass."""

GRADIENT_PIECE = 32
"""Of a pass that is differentiated, which keeps every activation."""


def logits_of(view: View, inputs: Shaped[Tensor, "N ..."]) -> Float[Tensor, "N C"]:
    """In float64."""
    return torch.cat([view.predict(piece) for piece in inputs.split(PIECE)]).to(wide(inputs.device))


def features(view: View, inputs: Shaped[Tensor, "N ..."]) -> Float[Tensor, "N D"]:
    """What arrives at the read-out, float64: the last site, flattened; without sites the inputs."""
    site = ["", *site_names(view, inputs)][-1]
    if not site:
        return inputs.flatten(1).to(wide(inputs.device))
    return at_sites(view, inputs, [site], lambda h: h.flatten(1))[site]


def site_means(view: View, inputs: Shaped[Tensor, "N ..."]) -> dict[str, Float[Tensor, "N D"]]:
    """Of every site its channels, averaged over all places of an image, in the network's order. float64."""

    def mean(h: Tensor) -> Tensor:
        return h.mean(tuple(range(2, h.ndim))) if h.ndim > 2 else h

    return at_sites(view, inputs, site_names(view, inputs), mean)


def at_sites(
    view: View, inputs: Tensor, sites: list[str], keep: Callable[[Tensor], Tensor]
) -> dict[str, Float[Tensor, "N D"]]:
    """``keep`` of what passes these sites, in evaluation mode, as float64."""
    found: dict[str, list[Tensor]] = {site: [] for site in sites}

    def look(site: str, activation: Tensor) -> Tensor:
        if site in found:
            found[site].append(keep(activation).to(wide(activation.device)))
        return activation

    for piece in inputs.split(PIECE):
        view.predict(piece, Tap(edit=look))
    return {site: torch.cat(pieces) for site, pieces in found.items()}


def site_names(view: View, inputs: Tensor) -> list[str]:
    """The sites before the logits, told by one example; a module that gives the logits is none of them."""
    return [site for site, _ in _seen(view, inputs)]


def maps_at(view: View, inputs: Tensor, site: str) -> tuple[str, Tensor] | None:
    """A site with maps ``[B, channels, h, w]``, and that of one example; None where a network has none.

    Empty means the last one with more than one place: a map of one pixel looks nowhere.

    Raises:
        UserError: there is no such site, or it holds no maps.
    """
    held = {name: h for name, h in _seen(view, inputs) if h.ndim == 4 and h.shape[-1] * h.shape[-2] > 1}
    if site and site not in held:
        raise UserError(
            f"site {site} holds no maps of several places; those that do: {', '.join(held) or 'none'}"
        )
    name = site or next(reversed(held), "")
    return (name, held[name]) if name else None


def _seen(view: View, inputs: Tensor) -> list[tuple[str, Tensor]]:
    seen: list[tuple[str, Tensor]] = []

    def look(site: str, activation: Tensor) -> Tensor:
        seen.append((site, activation))
        return activation

    logits = view.predict(inputs[:1], Tap(edit=look))
    return [(site, activation) for site, activation in seen if activation is not logits]
