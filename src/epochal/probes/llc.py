"""The local learning coefficient of the training loss."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate
from epochal.analysis.chains.paired_chains import change
from epochal.analysis.chains.verdict import SIGNS
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options
from epochal.probes.learning_coefficient.along import estimates_along, loss_of, num_at_once
from epochal.probes.learning_coefficient.restriction import block_names
from epochal.probes.learning_coefficient.settings import Sampler, Settings

COLUMNS = ("llc", "llc_standard_error", "llc_rhat", "llc_ess", "llc_equilibrated")
OF_VERDICT = tuple(f"llc_{sign}" for sign in SIGNS)
CHANGES = ("llc_change", "llc_change_error")


class CoefficientOptions(Options):
    """How to sample.

    What is None follows from the data's size and the loss's curvature at that step: give step_size, gamma and
    n_beta, or calibrate, to compare steps.
    """

    chains: int = Field(default=4, ge=2, le=1024, description="sampled side by side")
    draws: int = Field(default=100, ge=20, description="of each chain, after burn-in")
    burn_in: int | None = Field(default=None, ge=0, description="steps before; none: as many as draws take")
    thinning: int = Field(default=1, ge=1, description="steps per draw")
    step_size: float | None = Field(default=None, gt=0, description="none: a tenth of the stiffest scale")
    gamma: float | None = Field(default=None, ge=0, description="localisation; none: what burn-in can settle")
    n_beta: float | None = Field(default=None, gt=0, description="inverse temperature; none: n / log n")
    batch_size: int | None = Field(default=None, ge=1, description="none: 256, or all where there are fewer")
    sampler: Sampler = Field(default="sgld", description="sgld, rmsprop_sgld, sgnht or mala")
    shared_batches: bool = Field(default=False, description="the same minibatches for all chains")
    overdispersed: float = Field(default=0.0, ge=0, description="start off w*, in prior widths")
    restrict: tuple[str, ...] = Field(default=(), description="parameters or blocks that move; none: all")
    blocks: tuple[str, ...] = Field(default=(), description="also each of these alone; each: every module")
    traces: bool = Field(default=True, description="kept beside the table, for changes between snapshots")


def columns_of(options: CoefficientOptions) -> dict[str, Any]:
    names = names_of(options)
    of_blocks = dict.fromkeys((in_blocks(name) for name in names), 1) if options.blocks else {}
    return dict.fromkeys(names, 0) | of_blocks


def names_of(options: CoefficientOptions) -> tuple[str, ...]:
    """``llc_chains`` sampled, of them ``llc_diverged``, of the others ``llc_stuck`` at one loss;
    ``llc_block_rhat`` of block means, ``llc_drift`` in standard errors, ``llc_half`` what the first half of
    the draws say; of samplers that tell, ``llc_step_bias`` as a share, infinite where it cannot be told, and
    ``llc_acceptance``."""
    told = {"sgld": ("llc_step_bias",), "mala": ("llc_acceptance",)}
    return (*COLUMNS, *OF_VERDICT, *told.get(options.sampler, ()))


def in_blocks(name: str) -> str:
    return name.replace("llc", "llc_blocks", 1)


def kept_of(options: CoefficientOptions) -> tuple[str, ...]:
    """``llc_traces [K, T]``, ``n_beta (L_t - L(w*))`` after burn-in, and ``llc_settings``: n_beta, gamma,
    step size and burn-in of what was sampled; with an axis in front of blocks."""
    of = ("llc", "llc_blocks") if options.blocks else ("llc",)
    return tuple(f"{name}_{what}" for name in of for what in ("traces", "settings")) if options.traces else ()


def change_columns_of(options: CoefficientOptions) -> dict[str, Any]:
    of_blocks = tuple(in_blocks(name) for name in CHANGES) if options.blocks else ()
    return (dict.fromkeys(CHANGES, 0) | dict.fromkeys(of_blocks, 1)) if options.traces else {}


def changes(
    options: CoefficientOptions, earlier: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, NDArray[np.float64]]:
    """Against the snapshot before, from paired draws; NaN where n_beta, gamma or step size differ, since then
    two things change."""
    found: dict[str, NDArray[np.float64]] = {}
    for of in ("llc", *(("llc_blocks",) if options.blocks else ())):
        lead = now[f"{of}_traces"].shape[:-2]
        pairs = np.full((*lead, 2), math.nan)
        for place in np.ndindex(lead):
            if np.array_equal(earlier[f"{of}_settings"][place], now[f"{of}_settings"][place]):
                pairs[place] = change(earlier[f"{of}_traces"][place], now[f"{of}_traces"][place])
        found |= {f"{of}_change": pairs[..., 0], f"{of}_change_error": pairs[..., 1]}
    return found


def labels_of(options: CoefficientOptions, view: View) -> dict[str, list[str]]:
    if not options.blocks:
        return {}
    names = block_names(view.layout, options.blocks)
    columns = (*columns_of(options), *change_columns_of(options))
    return dict.fromkeys((name for name in columns if "blocks" in name), names)


def along(options: CoefficientOptions, views: Iterable[View]) -> Iterator[dict[str, Tensor]]:
    """Several snapshots at a time, as many as fit."""
    rest, at_once = iter(views), 0
    for view in rest:
        at_once = at_once or num_at_once(loss_of(view), view.flat, settings_of(options, view))
        yield from together(options, [view, *itertools.islice(rest, at_once - 1)])


def together(options: CoefficientOptions, views: Sequence[View]) -> list[dict[str, Tensor]]:
    """What the probe says of each of one member's views."""
    settings = settings_of(options, views[0])
    whole = estimates_along(views, settings, options.restrict)
    found = [measured([estimate], options, "llc") for estimate in whole]
    if not options.blocks:
        return found
    names = block_names(views[0].layout, options.blocks)
    alone = zip(*(estimates_along(views, settings, (name,)) for name in names), strict=True)
    return [
        of_all | measured(of_blocks, options, "llc_blocks")
        for of_all, of_blocks in zip(found, alone, strict=True)
    ]


@probe(
    columns=columns_of,
    unit="1",
    low=-math.inf,
    high=math.inf,
    null="0, where the loss does not depend on the parameters",
    cost="(burn_in + draws x thinning) x chains forward and backward passes over a minibatch",
    source="Lau et al. 2023; errors and R-hat by Vehtari et al. 2021",
    labels=labels_of,
    is_apart=True,
    kept=kept_of,
    across=changes,
    across_columns=change_columns_of,
    along=along,
)
def llc(options: CoefficientOptions, view: View) -> dict[str, Tensor]:
    """``n_beta (E[L(w)] - L(w*))`` around the parameters, on the training set; half the number of directions
    that matter, at a regular minimum.

    ``llc_equilibrated`` is 1 where chains had settled: R-hat, effective draws, drift, half the draws against
    all, what steps add, acceptance; these have columns, which say why not. Elsewhere the number is what they
    said so far, and no estimate. NaN where the loss is not finite.
    Noise and minibatches depend on the seed and not on the step: steps are compared under common random
    numbers, and ``llc_change`` with its error is of paired draws. ``blocks`` are sampled one by one, the rest
    held: theirs are arrays, one place per block.
    """
    return together(options, [view])[0]


def measured(estimates: Sequence[Estimate | None], options: CoefficientOptions, of: str) -> dict[str, Tensor]:
    """Columns and what is kept, of one or of blocks; NaN where there is no estimate."""
    names = names_of(options)
    columns: dict[str, list[float]] = {name.replace("llc", of, 1): [] for name in names}
    traces, settings = [], []
    for found in estimates:
        values = dict.fromkeys(names, math.nan) if found is None else numbers_of(found)
        for column, name in zip(columns.values(), names, strict=True):
            column.append(values[name])
        shape = (options.chains, options.draws)
        traces.append(np.full(shape, math.nan) if found is None else found.traces)
        how = (math.nan,) * 4
        settings.append(how if found is None else (found.n_beta, found.gamma, found.step_size, found.burn_in))
    kept = {f"{of}_traces": np.stack(traces), f"{of}_settings": np.array(settings, dtype=np.float64)}
    together = {name: torch.tensor(column, dtype=torch.float64) for name, column in columns.items()}
    together |= {name: torch.from_numpy(array) for name, array in kept.items() if options.traces}
    return together if of == "llc_blocks" else {name: value[0] for name, value in together.items()}


def numbers_of(found: Estimate) -> dict[str, float]:
    """An estimate as columns, NaN of what its sampler does not tell."""
    acceptance = math.nan if found.acceptance is None else found.acceptance
    bias = math.nan if found.step_bias is None else found.step_bias
    if found.step_bias is not None and math.isnan(bias):
        bias = math.inf  # in a table NaN is what was not measured
    return {
        "llc": found.value, "llc_standard_error": found.standard_error, "llc_rhat": found.rhat,
        "llc_ess": found.ess, "llc_equilibrated": float(found.equilibrated),
        "llc_chains": float(len(found.traces)), "llc_diverged": float(len(found.diverged)),
        "llc_stuck": float(found.stuck), "llc_block_rhat": found.block_rhat, "llc_drift": found.drift,
        "llc_half": found.half, "llc_step_bias": bias,
        "llc_acceptance": acceptance,
    }  # fmt: skip


def settings_of(options: CoefficientOptions, view: View) -> Settings:
    given = options.model_dump(exclude={"restrict", "blocks", "traces"})
    return Settings(**given, seed=int(view.fields.get("seed", 0)))


def small() -> CoefficientOptions:
    """What the checks of every probe are made with: hundreds of steps would show nothing else."""
    return CoefficientOptions(chains=2, draws=20, burn_in=4)


def truth() -> Iterator[tuple[Any, ...]]:
    targets = {"train": [0] * 8}
    place = {"w": torch.tensor([3.0, 1.0], dtype=torch.float64)}
    yield (
        CoefficientOptions(step_size=0.1, gamma=1.0),
        GivenView(given_params=place, given_targets=targets, given_loss=lambda flat: 0 * flat.sum() + 7),
        # Nothing settles where nothing moves the loss: 0 is what chains say.
        dict(zip(COLUMNS, (0.0, 0.0, 1.0, 400.0, 0.0), strict=True))
        | dict(zip(OF_VERDICT, (4.0, 0.0, 4.0, 1.0, 0.0, 0.0), strict=True))
        | {"llc_step_bias": 0.0},
    )
    broken = {"w": torch.tensor([math.nan], dtype=torch.float64)}
    yield (
        CoefficientOptions(),
        GivenView(given_params=broken, given_targets=targets, given_loss=lambda flat: flat.sum()),
        dict.fromkeys(names_of(CoefficientOptions()), math.nan),
    )
