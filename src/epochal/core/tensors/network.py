"""A network as a function of its parameters: an ``nn.Module`` on the meta device, bound for each call."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import SILENT, Tap

Initialise = Callable[[nn.Module, Key, torch.dtype, float], dict[str, Tensor]]
"""From module, key, format and ``scale`` (a factor on what has more than one dimension) to fresh values."""

Forward = Callable[[Tensor, Tap], Tensor]


class Network:
    """Calls a module with parameters and buffers from outside, for one member.

    The module holds no numbers of its own: it is built on ``meta``, takes ``(inputs, tap)`` and returns
    logits ``[B, C]``, or ``[B, T, C]`` for answers of T positions. ``initialise`` gives fresh parameters and
    buffers, by name, from a key. ``adapt`` makes the forward pass of a module that takes no tap. Frozen
    parameters count as buffers; buffers of whole numbers are constants and belong to neither. A tensor with
    two names has the first.

    Parameters and inputs are cast to ``computing_in`` inside a call, and the logits back: in bfloat16 the
    parameters themselves would lose small updates.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        initialise: Initialise,
        adapt: Callable[[nn.Module], Forward] | None = None,
        *,
        computing_in: torch.dtype | None = None,
    ) -> None:
        with torch.device("meta"):
            self.module = build()
        self._build = build
        self._initialise = initialise
        self._adapt = adapt
        self._computing_in = computing_in
        self._forward = adapt(self.module) if adapt else self.module.forward
        parameters = dict(self.module.named_parameters())
        frozen = {name: p.shape for name, p in parameters.items() if not p.requires_grad}
        floating = {name: b.shape for name, b in self.module.named_buffers() if b.is_floating_point()}
        self.layout = Layout.of({name: p.shape for name, p in parameters.items() if p.requires_grad})
        self.buffer_layout = Layout.of(frozen | floating)
        names = {*self.layout.names, *self.buffer_layout.names}
        self._slots = [slot for slot in _slots(self.module) if slot[3] in names]

    def init(
        self, key: Key, dtype: torch.dtype, scale: float = 1.0
    ) -> tuple[Float[Tensor, " P"], Float[Tensor, " Q"]]:
        """Parameters and buffers of one member as flat vectors, on the key's device."""
        values = self._initialise(self.module, key, dtype, scale)
        return self.layout.flatten(values), self.buffer_layout.flatten(values).to(key.device, dtype)

    def __call__(
        self, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, tap: Tap = SILENT
    ) -> Tensor:
        """Logits of one member; differentiable in ``params`` and usable under ``vmap``."""
        if self._computing_in is not None:
            kept = next(iter(params.values())).dtype
            params = self.cast(params)
            inputs = inputs.to(self._computing_in) if inputs.is_floating_point() else inputs
        with self._bound(params, buffers):
            logits: Tensor = self._forward(inputs, tap)
            if tap.training:
                self._keep_reassigned(buffers)
        return logits if self._computing_in is None else logits.to(kept)

    def computing(self, dtype: torch.dtype) -> "Network":
        """The same network with its arithmetic in ``dtype``."""
        return Network(self._build, self._initialise, self._adapt, computing_in=dtype)

    def cast(self, params: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Parameters in the format of the arithmetic; given to a call they are bound as they are."""
        if self._computing_in is None:
            return params
        return {name: value.to(self._computing_in) for name, value in params.items()}

    def evaluating(self) -> "Network":
        """The same network in evaluation mode, also for a training tap."""
        return self._seen_as(lambda tap: replace(tap, training=False))

    def shifted(self, shifts: Mapping[str, Tensor]) -> "Network":
        """The same network in evaluation mode, with something added to what arrives at each site."""
        return self._seen_as(
            lambda tap: replace(tap, training=False, edit=lambda site, h: tap(site, h + shifts[site]))
        )

    def _seen_as(self, change: Callable[[Tap], Tap]) -> "Network":
        other, forward = copy.copy(self), self._forward
        other._forward = lambda inputs, tap: forward(inputs, change(tap))
        return other

    def materialise(self, flat: Float[Tensor, " P"], buffers: Float[Tensor, " Q"]) -> nn.Module:
        """An ordinary module that holds copies of these numbers."""
        with torch.device("meta"):
            module = self._build()
        values = self.buffer_layout.unflatten(buffers.detach()) | self.layout.unflatten(flat.detach())
        made: dict[str, Tensor] = {}
        for part, _, name, full_name, tensor in _slots(module):
            if full_name not in values:
                continue
            if full_name not in made:
                value = values[full_name].clone()
                is_parameter = isinstance(tensor, nn.Parameter)
                made[full_name] = nn.Parameter(value, tensor.requires_grad) if is_parameter else value
            setattr(part, name, made[full_name])  # not the registry: nn.LSTM keeps a list beside it
        return module.to(flat.device).eval()

    @contextmanager
    def _bound(self, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Iterator[None]:
        # Writing into the registries costs 1 us per tensor; torch.func.functional_call costs 20.
        for _, registry, name, full_name, _ in self._slots:
            registry[name] = params[full_name] if full_name in params else buffers[full_name]
        try:
            yield
        finally:
            for _, registry, name, _, empty in self._slots:
                registry[name] = empty

    def _keep_reassigned(self, buffers: Mapping[str, Tensor]) -> None:
        """A module may say ``self.mean = ...`` where ours update a buffer in place."""
        for _, registry, name, full_name, _ in self._slots:
            now = registry[name]
            if full_name in buffers and now is not buffers[full_name] and now is not None:
                with torch.no_grad():
                    buffers[full_name].copy_(now)


Slot = tuple[nn.Module, dict[str, Any], str, str, Tensor]
"""A module, a registry of it, the name in it, the full name, and the tensor that is there."""


def _slots(module: nn.Module) -> list[Slot]:
    named = (*module.named_parameters(), *module.named_buffers())
    first_name = {id(tensor): name for name, tensor in named}
    return [
        (part, registry, name, first_name[id(tensor)], tensor)
        for part in module.modules()
        for registry in (part._parameters, part._buffers)
        for name, tensor in registry.items()
        if tensor is not None
    ]
