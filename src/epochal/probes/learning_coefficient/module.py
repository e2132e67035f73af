"""The local learning coefficient of anyone's torch module."""

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from epochal.analysis.chains.learning_coefficient import Estimate
from epochal.core.tensors import random
from epochal.core.tensors.layout import Layout
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.data import as_tensors, pick
from epochal.probes.learning_coefficient.potential import NetworkLoss, RowLoss, RowsSlope
from epochal.probes.learning_coefficient.restriction import restriction
from epochal.probes.learning_coefficient.sampling import coefficient
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.learning_coefficient.stacked import stacked_slope

OF_MODEL = ("model", "module", "net", "network")
SUMMED_EXAMPLES = 8
"""On which a loss is asked whether it is a mean."""


def llc(
    model: Any,
    loss: Any,
    data: Any,
    *,
    chains: int = 4,
    draws: int = 1000,
    burn_in: int | None = None,
    n_beta: float | None = None,
    gamma: float | None = None,
    step_size: float | None = None,
    seed: int = 0,
    thinning: int = 1,
    batch_size: int | None = None,
    sampler: str = "sgld",
    restrict: Sequence[str] = (),
    shared_batches: bool = False,
    overdispersed: float = 0.0,
) -> Estimate:
    """``n_beta (E[L(w)] - L(w*))`` over w from ``exp(-n_beta L(w) - gamma/2 |w - w*|^2)`` around w*, the
    module's parameters.

    ``model`` is a ``torch.nn.Module``. ``loss`` is ``(outputs, targets) -> scalar``, such as
    ``torch.nn.functional.cross_entropy``, and data are pairs of inputs and targets, tensors or NumPy's; or,
    with a first argument called ``model``, it is ``(model, batch) -> scalar``. Either is a mean over the
    examples; a sum is refused. The module is copied, in evaluation mode, and never changed; no global
    generator moves. L(w*) is of all data, once.

    ``n_beta`` is by default n / log n, n the number of examples; ``burn_in`` as many steps as are drawn;
    ``batch_size`` 256. ``step_size`` comes from the largest curvature, ``gamma`` from what directions without
    curvature need to settle in burn-in: estimates with different n_beta or gamma do not compare, so give both
    in a comparison. ``restrict`` names parameters or modules (``"1"``, ``"head"``): only these move.
    ``overdispersed`` starts chains away from w*, that many prior widths ``1 / sqrt(gamma)``.

    Returns:
        ``.value``, ``.standard_error``, ``.rhat``, ``.ess``, ``.equilibrated`` with ``.reasons``, ``.traces``
        ``[chains, draws]``. It prints with its verdict; 0 is the value where nothing can be learned.

    Raises:
        UserError: what is wrong with an argument.

    Source: Lau et al. 2023, "The Local Learning Coefficient".
    """
    potential, bound = problem(model, loss, data)
    settings = Settings(
        chains=chains, draws=draws, burn_in=burn_in, thinning=thinning, n_beta=n_beta, gamma=gamma,
        step_size=step_size, batch_size=batch_size, sampler=sampler, shared_batches=shared_batches,
        overdispersed=overdispersed, seed=seed,
    )  # fmt: skip
    return coefficient(potential, bound.flat, settings, mask=restriction(bound.layout, restrict, bound.flat))


def problem(model: Any, loss: Any, data: Any) -> tuple[NetworkLoss, "Bound"]:
    """The loss as a potential, and the module with its flat parameters.

    Raises:
        UserError: what is wrong with one of them.
    """
    bound = Bound(model)
    examples, size = as_tensors(data, bound.flat)
    is_of_model = _takes_the_model(loss)
    if not is_of_model and not (isinstance(examples, tuple) and len(examples) == 2):
        raise UserError(
            "a loss of outputs and targets needs data that are pairs (inputs, targets); for other data write "
            "loss(model, batch)"
        )

    def row(flat: Tensor, index: Tensor) -> Tensor:
        batch = pick(examples, index)
        with bound.to(flat) as network:
            value: Tensor = loss(network, batch) if is_of_model else loss(network(batch[0]), batch[1])
            return value

    with torch.no_grad():
        trial = row(bound.flat, torch.arange(min(size, 2), device=bound.flat.device))
    if not is_number(trial):
        shape = tuple(getattr(trial, "shape", ())) or type(trial).__name__
        raise UserError(f"the loss gives {shape}; it must give one number, the mean over a batch")
    refuse_sums(row, bound.flat, size)
    fast: RowsSlope | None = (
        None if is_of_model else stacked_slope(bound.module, bound.layout, loss, examples)
    )
    return NetworkLoss.of(row, size, fast), bound


def refuse_sums(row: RowLoss, flat: Tensor, size: int) -> None:
    """Asks for the loss of a few examples, once, twice and four times over: of a mean it is the same.

    One that grows by as much with every copy is a sum, whatever constants it holds besides: it would be
    sampled as many times too cold as a batch has examples. Others that change, such as contrastive ones,
    pass. It is asked a little way off, since at a minimum it may be 0.

    Raises:
        UserError: it is a sum.
    """
    some = torch.arange(min(size, SUMMED_EXAMPLES), device=flat.device)
    off = 0.1 * random.normal(random.key(0, "sum or mean"), tuple(flat.shape), torch.float64).to(flat)
    with torch.no_grad():
        once, twice, four_times = (float(row(flat + off, some.repeat(copies))) for copies in (1, 2, 4))
    grown = twice - once
    # NaN and infinity compare as false: what is wrong with them is told where they are sampled.
    if abs(grown) > 1e-3 * abs(twice) and abs(four_times - twice - 2 * grown) <= 0.01 * abs(grown):
        raise UserError(
            f"the loss sums over examples ({once:.4g} of {len(some)}, {twice:.4g} with each of them twice): "
            "give their mean, by reduction='mean', or .mean() for .sum()"
        )


class Bound:
    """A copy of a module in evaluation mode that takes its parameters from outside.

    Parameters that are not trained stay as they are; one with two names has the first.
    """

    def __init__(self, module: Any) -> None:
        if not isinstance(module, nn.Module):
            raise UserError(f"model is a {type(module).__name__}; give a torch.nn.Module")
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not trained:
            raise UserError("the model has no parameters that require a gradient")
        self.module = copy.deepcopy(module).eval()
        self.layout = Layout.of({name: p.shape for name, p in trained.items()})
        self.flat = self.layout.flatten({name: p.detach() for name, p in trained.items()}).clone()
        first = {id(p): name for name, p in self.module.named_parameters()}
        self._slots = [
            (part._parameters, name, first[id(p)], p)
            for part in self.module.modules()
            for name, p in part._parameters.items()
            if p is not None and first[id(p)] in trained
        ]

    @contextmanager
    def to(self, flat: Tensor) -> Iterator[nn.Module]:
        """The module with these numbers, for the length of a block."""
        values: Mapping[str, Tensor] = self.layout.unflatten(flat)
        for registry, name, full_name, _ in self._slots:
            registry[name] = values[full_name]  # type: ignore[assignment]
        try:
            yield self.module
        finally:
            for registry, name, _, own in self._slots:
                registry[name] = own


def is_number(value: object) -> bool:
    """Whether it is a tensor without axes."""
    return isinstance(value, Tensor) and value.ndim == 0


def _takes_the_model(loss: Any) -> bool:
    if not callable(loss):
        raise UserError(
            f"loss is a {type(loss).__name__}; give a function of outputs and targets, or of model and batch"
        )
    function = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return bool(names) and names[0] in OF_MODEL
