"""Any user's ``nn.Module`` as a network: sites, dropout and batch norm by the tap, its own initialisation.

A module whose ``forward`` takes ``(inputs, tap)`` is called as it is. Of any other, ``forward(inputs)``, the
sub-modules are the sites: each passes its result through the tap under its name (``name#2`` where it is
called a second time in one pass). ``nn.Dropout`` draws through ``tap.dropout``, never from the global
generator. ``nn.BatchNorm`` follows ``tap.training``, and its running statistics belong to the member.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from epochal.core.tensors.network import Forward, Network
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import SILENT, Tap
from epochal.core.values.errors import UserError
from epochal.models.initialization import Start, initializer

CHANNEL_DROPOUT = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
NON_LINEARITIES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Softplus, nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid,
)  # fmt: skip
"""Those whose inputs a watcher is told; who calls functions instead has to tell them."""

UNSUPPORTED = (nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU, nn.SyncBatchNorm)


def network_of(make: Callable[[], nn.Module], scheme: str, *, zero_readout: bool = False) -> Network:
    """The network that ``make`` builds; ``scheme`` is as for `initializer`, ``torch`` the module's own.

    Raises:
        UserError: it has a layer that cannot be served.
    """

    def build() -> nn.Module:
        # On the CPU, not on meta: a constructor may compute with the tensors that it makes.
        with torch.device("cpu"), own_generator(0):
            return make()

    initialise = initializer(scheme, zero_readout=zero_readout, start=start_of(make))
    return Network(build, initialise, adapted)


def start_of(make: Callable[[], nn.Module]) -> Start:
    """The parameters and buffers that a constructor draws, as a function of the key."""

    def start(key: Key, dtype: torch.dtype) -> dict[str, Tensor]:
        with torch.device("cpu"), own_generator(int(key) & (2**63 - 1)):
            module = make()
        named = [
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ]
        return {name: t.detach().to(key.device, dtype) for name, t in named if t.is_floating_point()}

    return start


@contextmanager
def own_generator(seed: int) -> Iterator[None]:
    """Within the block torch's global generator of the CPU starts at ``seed``; afterwards it is as before.

    The only place that touches it: a foreign constructor knows no other.
    """
    before = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(before)


def adapted(module: nn.Module) -> Forward:
    """The module's forward pass with a tap.

    Raises:
        UserError: it has a layer that cannot be served.
    """
    if takes_tap(module):
        return module.forward
    now = _Pass()
    for site, layer in module.named_modules():
        _refuse(site, layer)
        if getattr(layer, "inplace", False):
            layer.inplace = False  # a site that was recorded must not change afterwards
        if isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            layer.forward = partial(_dropout, now, site, layer)  # type: ignore[method-assign]
        elif isinstance(layer, _BatchNorm):
            layer.forward = partial(_batch_norm, now, layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.RNNBase):
            layer.flatten_parameters = _nothing  # type: ignore[method-assign]  # cuDNN would move the members' weights elsewhere
        if site:
            layer.register_forward_hook(partial(_visit, now, site))
        if isinstance(layer, NON_LINEARITIES):
            layer.register_forward_pre_hook(partial(_watch, now, site))

    def forward(inputs: Tensor, tap: Tap = SILENT) -> Tensor:
        if module.training != tap.training:
            module.train(tap.training)
        _constants_to(module, inputs.device)
        now.tap, now.visits = tap, Counter()
        logits: Tensor = module(inputs)
        return logits

    return forward


def takes_tap(module: nn.Module) -> bool:
    """Whether it follows the contract ``forward(inputs, tap)``."""
    return "tap" in inspect.signature(module.forward).parameters


@dataclass
class _Pass:
    """The forward pass that is under way."""

    tap: Tap = SILENT
    visits: Counter[str] = field(default_factory=Counter)

    def site(self, name: str, kind: str) -> str:
        """``name``, or ``name#2`` at the second visit in one pass."""
        self.visits[f"{kind} {name}"] += 1
        count = self.visits[f"{kind} {name}"]
        return name if count == 1 else f"{name}#{count}"


def _visit(now: _Pass, site: str, _layer: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
    if now.tap.edit is None or not isinstance(output, Tensor):
        return None
    return now.tap(now.site(site, "visit"), output)


def _watch(now: _Pass, site: str, _layer: nn.Module, inputs: Any) -> None:
    if now.tap.watch is not None:
        now.tap.watch(now.site(site, "watch"), inputs[0])


def _dropout(now: _Pass, site: str, layer: Any, h: Tensor) -> Tensor:
    # Masks of two visits of one layer must differ, hence the number in the name.
    name = now.site(site, "dropout")
    if not isinstance(layer, CHANNEL_DROPOUT):
        return now.tap.dropout(name, h, layer.p)
    ones = torch.ones(*h.shape[:2], *[1] * (h.ndim - 2), dtype=h.dtype, device=h.device)
    return h * now.tap.dropout(name, ones, layer.p)


def _batch_norm(now: _Pass, layer: Any, h: Tensor) -> Tensor:
    """As ``models.norms.BatchNorm``: running statistics move in place, also per member under ``vmap``."""
    layer._check_input_dim(h)
    if layer.running_mean is None or not now.tap.training:
        return nn.functional.batch_norm(
            h,
            layer.running_mean,
            layer.running_var,
            layer.weight,
            layer.bias,
            training=layer.running_mean is None,
            eps=layer.eps,
        )
    mean = torch.zeros_like(layer.running_mean, memory_format=torch.contiguous_format)
    var = torch.zeros_like(layer.running_var, memory_format=torch.contiguous_format)
    h = nn.functional.batch_norm(
        h, mean, var, layer.weight, layer.bias, training=True, momentum=1.0, eps=layer.eps
    )
    with torch.no_grad():
        layer.running_mean.mul_(1 - layer.momentum).add_(mean, alpha=layer.momentum)
        layer.running_var.mul_(1 - layer.momentum).add_(var, alpha=layer.momentum)
    return h


def _nothing() -> None:
    pass


def _refuse(site: str, layer: nn.Module) -> None:
    """Layers that would draw from the global generator, or keep a count that members cannot have."""
    name = f"{type(layer).__name__} {site}".strip()
    if isinstance(layer, UNSUPPORTED):
        raise UserError(f"own model: {name} is not supported; Dropout, Dropout2d and BatchNorm2d are")
    if isinstance(layer, _BatchNorm) and layer.track_running_stats and layer.momentum is None:
        raise UserError(f"own model: {name} has momentum=None, a mean over all batches; give a number")
    if isinstance(layer, _InstanceNorm) and layer.track_running_stats:
        raise UserError(f"own model: {name} has running statistics; give track_running_stats=False")
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in layer.parameters(recurse=False)):
        raise UserError(f"own model: {name} has no shape before its first input; give all sizes")


def _constants_to(module: nn.Module, device: torch.device) -> None:
    """Buffers of whole numbers, which no member owns, beside the inputs."""
    if device.type == "cpu":
        return
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None and not buffer.is_floating_point() and buffer.device != device:
                part._buffers[name] = buffer.to(device)
