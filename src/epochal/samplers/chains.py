"""What all samplers share: positions and losses of chains, and what becomes of one that diverges."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.samplers.kept import Kept, Observe
from epochal.samplers.noise import RowNoise

Number = float | Tensor
"""A number, or a tensor of the leading axes ``[...]``: a grid of settings is sampled at once."""

Box = tuple[float, float]


class Potential(Protocol):
    """``L(w[..., d]) -> [...]``, differentiable; one with a second argument is also told the step."""

    def __call__(self, w: Tensor, /) -> Tensor: ...


Slope = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""``(w [R, d], step) -> (L [R], gradient [R, d])``."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What chains visited.

    ``losses [..., chains, steps]`` are L before the step that uses it, of every step, burn-in included: NaN
    from where a chain diverged. ``positions [..., chains, kept, d]`` are those of every ``thinning``-th step
    after burn-in, at the same moments as their losses; ``last [..., chains, d]`` is where the chains are now.
    ``observed [..., chains, kept, *O]`` is what ``observe`` gave there, if it was given.
    ``diverged`` holds the step at which a chain's loss was no longer finite, by its index. ``acceptance
    [..., chains]`` is of samplers that accept or reject; ``statistics`` is what else a sampler tells.
    """

    losses: Float[Tensor, "... K T"]
    positions: Float[Tensor, "... K S d"]
    last: Float[Tensor, "... K d"]
    burn_in: int
    observed: Tensor | None = None
    diverged: Mapping[tuple[int, ...], int] = field(default_factory=dict)
    acceptance: Float[Tensor, "... K"] | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def draws(self) -> Float[Tensor, "... K S"]:
        """The losses after burn-in."""
        return self.losses[..., self.burn_in :]


@dataclass(kw_only=True)
class Setting:
    """The checked arguments of a sampler, with leading axes and chains as rows ``R``."""

    slope: Slope
    w0: Float[Tensor, "R d"]
    start: Float[Tensor, "R d"]
    step_size: Number
    gamma: Number
    n_beta: Number
    num_steps: int
    burn_in: int
    thinning: int
    keeps: bool
    mask: Bool[Tensor, " d"] | None
    box: Box | None
    lead: tuple[int, ...]
    noise: RowNoise
    key: Tensor
    names: list[int]
    is_told_the_step: bool
    observe: Observe | None = None

    def inside(self, w: Float[Tensor, "R d"]) -> Float[Tensor, "R d"]:
        """Reflected at the walls of the box, which leaves the uniform prior on it as it is."""
        if self.box is None:
            return w
        low, high = self.box
        width = high - low
        folded = torch.remainder(w - low, 2 * width)
        return low + torch.where(folded > width, 2 * width - folded, folded)

    def force(self, w: Tensor, gradient: Tensor) -> Tensor:
        """``n_beta grad L + gamma (w - w0)``, 0 where the mask is."""
        force = gradient * self.n_beta
        if not (isinstance(self.gamma, float) and self.gamma == 0):
            force += (w - self.w0) * self.gamma
        return force if self.mask is None else force * self.mask

    def kick(self) -> Tensor:
        noise = self.noise.next()
        return noise if self.mask is None else noise * self.mask


State = dict[str, Tensor]
Step = Callable[[Tensor, Tensor, Tensor, State, int], Tensor]
"""``(w, loss, gradient, state, step) -> next w``; the state is changed in place."""


class ChainOptions(TypedDict, total=False):
    """What every sampler takes besides.

    ``burn_in`` (0) steps are not part of ``positions`` and ``draws``, ``thinning`` (1) keeps every n-th
    position, ``keep_positions`` (True) may be switched off in many dimensions. ``mask [d]`` moves only where
    it is true. ``box=(low, high)`` has reflecting walls. ``start [..., d]`` or ``[..., chains, d]`` is where
    chains begin, if not at ``w0``. ``common_noise`` (False) gives the same numbers to all places of the
    leading axes. ``observe`` is a function of the positions ``[..., chains, d]``, asked at the steps whose
    positions would be kept.
    """

    burn_in: int
    thinning: int
    keep_positions: bool
    mask: Tensor | None
    box: Box | None
    start: Tensor | None
    common_noise: bool
    observe: Observe | None


def setting(
    potential: Any,
    w0: Tensor,
    *,
    step_size: Number,
    num_steps: int,
    chains: int,
    seed: int,
    gamma: Number,
    n_beta: Number,
    burn_in: int = 0,
    thinning: int = 1,
    keep_positions: bool = True,
    mask: Tensor | None = None,
    box: Box | None = None,
    start: Tensor | None = None,
    common_noise: bool = False,
    observe: Observe | None = None,
) -> Setting:
    """Arguments checked, and brought to rows.

    Raises:
        UserError: one of them is out of its range.
    """
    if not isinstance(w0, Tensor):
        raise UserError(f"w0 is a {type(w0).__name__}; give a floating tensor [..., d], as torch.zeros(d)")
    if w0.ndim < 1 or not w0.is_floating_point():
        raise UserError("w0 must be a floating tensor [..., d]: the point that chains start from")
    for name, number, least in (("num_steps", num_steps, 1), ("chains", chains, 1), ("burn_in", burn_in, 0),
                                ("thinning", thinning, 1)):  # fmt: skip
        if number < least:
            raise UserError(f"{name}={number} is too few: at least {least}")
    if burn_in >= num_steps:
        raise UserError(f"burn_in={burn_in} leaves none of num_steps={num_steps}: take more steps")
    *lead, size = w0.shape
    if box is not None and not bool(((w0 >= box[0]) & (w0 <= box[1])).all()):
        raise UserError(f"w0 lies outside box={box}")
    rows = math.prod(lead) * chains

    def spread(name: str, value: Number, *, positive: bool) -> Number:
        tensor = torch.as_tensor(value, dtype=torch.float64)
        if not bool((tensor.isfinite() & ((tensor > 0) if positive else (tensor >= 0))).all()):
            given = value if isinstance(value, (int, float)) else tensor.min().item()
            raise UserError(f"{name}={given} is not {'positive' if positive else '0 or more'} and finite")
        if tensor.ndim == 0:
            return float(tensor)
        if tuple(tensor.shape) != tuple(lead):
            raise UserError(
                f"{name} has shape {tuple(tensor.shape)}; a number, or the axes {tuple(lead)} of w0"
            )
        return tensor.to(w0)[..., None].expand(*lead, chains).reshape(rows, 1)

    center = w0.detach()[..., None, :].expand(*lead, chains, size).reshape(rows, size)
    begin = center
    if start is not None:
        start = start.detach().to(w0)
        start = start[..., None, :] if start.ndim == w0.ndim else start
        begin = start.expand(*lead, chains, size).reshape(rows, size)
    key = random.key(seed, "sampler")
    names = list(range(chains)) * math.prod(lead) if common_noise else list(range(rows))
    return Setting(
        slope=slope_of(potential, (*lead, chains)),
        w0=center,
        start=begin.clone(),
        step_size=spread("step_size", step_size, positive=True),
        gamma=spread("gamma", gamma, positive=False),
        n_beta=spread("n_beta", n_beta, positive=True),
        num_steps=num_steps,
        burn_in=burn_in,
        thinning=thinning,
        keeps=keep_positions,
        mask=None if mask is None else mask.to(w0),
        box=box,
        lead=(*lead, chains),
        noise=RowNoise(key, names, size, w0.dtype, w0.device),
        key=key,
        names=names,
        is_told_the_step=is_told_the_step(potential),
        observe=observe,
    )


def slope_of(potential: Any, lead: tuple[int, ...]) -> Slope:
    """Loss and gradient of rows, from a potential over the leading axes.

    A potential may have a method ``slope`` of its own: then it gets rows and gives both.
    """
    own = getattr(potential, "slope", None)
    if own is not None:
        return own  # type: ignore[no-any-return]
    is_told = is_told_the_step(potential)

    def slope(w: Tensor, step: int) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            place = w.detach().reshape(*lead, w.shape[-1]).requires_grad_()
            loss = potential(place, step) if is_told else potential(place)
            if not isinstance(loss, Tensor) or loss.shape != lead:
                shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise UserError(
                    f"the potential gives {shape} for positions {tuple(place.shape)}; it must give {lead}"
                )
            (gradient,) = torch.autograd.grad(loss.sum(), place)
        return loss.detach().reshape(-1), gradient.reshape(w.shape)

    return slope


def run(setting: Setting, state: State, step: Step) -> Samples:
    """Applies ``step`` as often as asked for.

    A row whose loss is not finite is left out from then on: it stands still where it started, what it does
    there is recorded as NaN, and its neighbours keep every bit.
    """
    w, rows = setting.start, len(setting.start)
    losses = torch.full((rows, setting.num_steps), math.nan, dtype=w.dtype, device=w.device)
    kept = Kept(setting)
    diverged: dict[int, int] = {}
    frozen = torch.zeros(rows, 1, dtype=torch.bool, device=w.device)
    with torch.no_grad():
        for number in range(setting.num_steps):
            if diverged:
                w = torch.where(frozen, setting.start, w)
            loss, gradient = setting.slope(w, number)
            losses[:, number] = loss
            if not bool(loss.isfinite().all()):
                for row in (~loss.isfinite()).nonzero().flatten().tolist():
                    diverged.setdefault(row, number)
                    frozen[row] = True
            kept.look(w, number)
            w = step(w, loss, gradient, state, number)
    for row, number in diverged.items():
        losses[row, number:] = math.nan
    positions, observed = kept.tensors(diverged, w)
    w = torch.where(frozen, torch.nan, w)
    lead = setting.lead
    return Samples(
        losses=losses.reshape(*lead, -1),
        positions=positions.reshape(*lead, *positions.shape[1:]),
        last=w.reshape(*lead, -1),
        burn_in=setting.burn_in,
        observed=None if observed is None else observed.reshape(*lead, *observed.shape[1:]),
        diverged={chain_index(row, lead): number for row, number in sorted(diverged.items())},
    )


def chain_index(row: int, lead: tuple[int, ...]) -> tuple[int, ...]:
    index: list[int] = []
    for size in reversed(lead):
        row, place = divmod(row, size)
        index.append(place)
    return tuple(reversed(index))


def is_told_the_step(potential: Any) -> bool:
    """Whether it takes a second argument, or says so itself (``is_stepwise``)."""
    if hasattr(potential, "slope"):
        return bool(potential.is_stepwise)
    try:
        parameters = inspect.signature(potential).parameters.values()
    except (TypeError, ValueError):  # a function without a signature, such as torch.sum
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [each for each in parameters if each.kind in kinds and each.default is each.empty]
    return len(required) >= 2
