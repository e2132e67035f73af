"""A network as a function of its parameters: an ``nn.Module`` on the meta device, bound for each call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import SILENT, Tap

Initialise = Callable[[nn.Module, Key, torch.dtype], dict[str, Tensor]]


class Network:
    """Calls a module with parameters and buffers from outside, for one member.

    The module holds no numbers of its own: it is built on ``meta``, takes ``(inputs, tap)`` and returns
    logits ``[B, C]``. ``initialise`` gives fresh parameters and buffers, by name, from a key. Parameters and
    inputs are cast to ``computing_in`` inside a call, and the logits back: in bfloat16 the parameters
    themselves would lose small updates.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        initialise: Initialise,
        *,
        computing_in: torch.dtype | None = None,
    ) -> None:
        with torch.device("meta"):
            self.module = build()
        self._build = build
        self._initialise = initialise
        self._computing_in = computing_in
        self.layout = Layout.of({name: p.shape for name, p in self.module.named_parameters()})
        self.buffer_layout = Layout.of({name: b.shape for name, b in self.module.named_buffers()})
        self._slots = self._find_slots()

    def init(self, key: Key, dtype: torch.dtype) -> tuple[Float[Tensor, " P"], Float[Tensor, " Q"]]:
        """Parameters and buffers of one member as flat vectors, on the key's device."""
        values = self._initialise(self.module, key, dtype)
        return self.layout.flatten(values), self.buffer_layout.flatten(values).to(key.device, dtype)

    def __call__(
        self, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, tap: Tap = SILENT
    ) -> Tensor:
        """Logits of one member; differentiable in ``params`` and usable under ``vmap``."""
        if self._computing_in is not None:
            kept = next(iter(params.values())).dtype
            params = {name: value.to(self._computing_in) for name, value in params.items()}
            inputs = inputs.to(self._computing_in) if inputs.is_floating_point() else inputs
        with self._bound(params, buffers):
            logits: Tensor = self.module.forward(inputs, tap)
        return logits if self._computing_in is None else logits.to(kept)

    def computing(self, dtype: torch.dtype) -> "Network":
        """The same network with its arithmetic in ``dtype``."""
        return Network(self._build, self._initialise, computing_in=dtype)

    def materialise(self, flat: Float[Tensor, " P"], buffers: Float[Tensor, " Q"]) -> nn.Module:
        """An ordinary module that holds copies of these numbers."""
        with torch.device("meta"):
            module = self._build()
        module = module.to_empty(device=flat.device).to(flat.dtype)
        values = self.layout.unflatten(flat.detach()) | self.buffer_layout.unflatten(buffers.detach())
        module.load_state_dict({name: value.clone() for name, value in values.items()}, assign=True)
        return module.eval()

    @contextmanager
    def _bound(self, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Iterator[None]:
        # Writing into the registries costs 1 us per tensor; torch.func.functional_call costs 20.
        for registry, name, full_name, _ in self._slots:
            registry[name] = params[full_name] if full_name in params else buffers[full_name]
        try:
            yield
        finally:
            for registry, name, _, empty in self._slots:
                registry[name] = empty

    def _find_slots(self) -> list[tuple[dict[str, Tensor | None], str, str, Tensor]]:
        return [
            (registry, name, f"{path}.{name}" if path else name, tensor)
            for path, module in self.module.named_modules()
            for registry in (module._parameters, module._buffers)
            for name, tensor in registry.items()
            if tensor is not None
        ]
