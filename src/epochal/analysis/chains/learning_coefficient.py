"""The local learning coefficient from traces of losses, with its error and whether its chains had settled.

``LLC = n_beta (E[L(w)] - L(w*))``, w from ``exp(-n_beta L(w) - gamma/2 |w - w*|^2)``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from epochal.analysis.chains.chain_mixing import bulk_ess, mean_error, rank_rhat
from epochal.analysis.chains.inference_data import inference_data
from epochal.analysis.chains.verdict import FEWEST_DRAWS, LARGEST_STEP_BIAS, Signs, reasons_of
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]

NUM_BLOCKS = 50
"""Of a chain. Noise of minibatches is white and hides slow modes; means of blocks have less of it."""

HIGHEST_STEP_BIAS = 0.03
"""Of the estimate, by steps that are not corrected: what is more is noted, and no calibration chooses it.
Above :data:`~epochal.analysis.chains.verdict.LARGEST_STEP_BIAS` it is no estimate."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A local learning coefficient, which means something only together with n_beta and gamma.

    ``value`` (NaN where every chain diverged) is of the chains that did not diverge, and no number to report
    unless ``equilibrated``: it prints with its verdict, and ``float(estimate)`` and ``f"{estimate:.3f}"``
    refuse otherwise.
    ``standard_error`` is the root of the squares of ``errors``: "sampling" (autocorrelation and differences
    between chains) and "baseline" (L(w*), 0 where it is of the full data). ``traces [chains, draws]`` are
    ``n_beta (L_t - L(w*))`` after burn-in.
    """

    value: float
    standard_error: float
    errors: Mapping[str, float]
    rhat: float
    ess: float
    drift: float
    """The second half of the draws less the first, in standard errors."""

    equilibrated: bool
    reasons: Sequence[str]
    notes: Sequence[str]
    traces: Float[Array, "K T"]
    baseline: float
    n_beta: float
    gamma: float
    step_size: float
    burn_in: int
    diverged: Mapping[int, int] = field(default_factory=dict)
    """The step at which a chain diverged, by its number."""

    sampler: str = "sgld"
    step_bias: float | None = None
    """How much too high the value is for the length of its steps, as a share of what exact steps would give;
    exact on quadratics, mostly an upper bound elsewhere. None: not known for this sampler. Not finite: cannot
    be told, infinite where steps may have made all of it, NaN where it is not positive."""

    acceptance: float | None = None
    """Mean probability after burn-in, of samplers that accept or reject."""

    block_rhat: float = math.nan
    half: float = math.nan
    """What the first half of the draws say."""

    stuck: int = 0
    """Chains that did not diverge and have one loss in all of their draws."""

    @property
    def verdict(self) -> str:
        return "equilibrated" if self.equilibrated else "not equilibrated"

    @property
    def label(self) -> str:
        """What the number depends on."""
        chains, draws = self.traces.shape
        of = f"n_beta={self.n_beta:.5g}, gamma={self.gamma:.5g}"
        how = f"{self.sampler} step_size={self.step_size:.3g}"
        return f"{of}, {how}, {chains} chains x {draws} draws after {self.burn_in}"

    def to_arviz(self) -> Any:
        """The traces as ArviZ's ``InferenceData``, with the variable ``llc``.

        Raises:
            UserError: ArviZ is not installed.
        """
        about = {"n_beta": self.n_beta, "gamma": self.gamma, "step_size": self.step_size,
                 "sampler": self.sampler, "verdict": self.verdict}  # fmt: skip
        return inference_data({"llc": self.traces}, {}, {}, about)

    def __float__(self) -> float:
        if not self.equilibrated:
            raise UserError(
                f"these chains are not equilibrated ({'; '.join(self.reasons)}): .value has what they say"
            )
        return self.value

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)

    def __repr__(self) -> str:
        number = f"{self.value:.4g} +- {self.standard_error:.2g}"
        found = f"LLC = {number}" if self.equilibrated else f"LLC not equilibrated (chains say {number})"
        lines = [
            f"{found} ({self.label})",
            f"  {self.verdict}: R-hat {self.rhat:.3f}, ESS {self.ess:.0f}, drift {self.drift:+.1f} SE"
            + ("" if self.acceptance is None else f", acceptance {self.acceptance:.2g}"),
            *(f"  - {reason}" for reason in self.reasons),
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def estimate(
    losses: Float[Array, "K T"],
    *,
    baseline: float,
    n_beta: float,
    gamma: float,
    step_size: float,
    burn_in: int,
    baseline_error: float = 0.0,
    sampler: str = "sgld",
    excess: Float[Array, " K"] | None = None,
    acceptance: Float[Array, " K"] | None = None,
) -> Estimate:
    """From the losses of all steps, burn-in included; a chain diverged where its loss is not finite.

    ``excess`` is what long steps added to each chain's ``n_beta E[L]``, where the sampler says so;
    ``acceptance`` is each chain's, of one that accepts or rejects.
    """
    losses = np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(losses)
    diverged = {chain: int(np.argmin(row)) for chain, row in enumerate(finite) if not row.all()}
    traces = n_beta * (losses[:, burn_in:] - baseline)
    sound = traces[finite.all(axis=-1)]
    reasons = [f"chain {chain} diverged at step {step}" for chain, step in diverged.items()]
    if not len(sound):
        return Estimate(
            value=math.nan, standard_error=math.nan, errors={}, rhat=math.nan, ess=math.nan, drift=math.nan,
            equilibrated=False, reasons=reasons, notes=[], traces=traces, baseline=baseline, n_beta=n_beta,
            gamma=gamma, step_size=step_size, burn_in=burn_in, diverged=diverged, sampler=sampler,
        )  # fmt: skip
    value, error = float(sound.mean()), mean_error(sound)
    errors = {"sampling": error, "baseline": n_beta * baseline_error}
    total = math.hypot(*errors.values())
    chains, length = sound.shape
    rhat, ess, drift = rank_rhat(sound), bulk_ess(sound), drift_of(sound)
    block_rhat, half = rank_rhat(blocks(sound)), float(sound[:, : max(length // 2, 1)].mean())
    stuck = int((np.ptp(sound, axis=-1) == 0).sum()) if length > 1 else 0
    is_sound = finite.all(axis=-1)
    added = math.nan if excess is None else float(excess[is_sound].mean())
    step_bias = None if excess is None else share_of_steps(value, added)
    accepted = None if acceptance is None else float(acceptance[is_sound].mean())
    reasons += reasons_of(
        Signs(
            value=value, standard_error=total, sampling_error=error, ess=ess, drift=drift, half=half,
            rhat=rhat if length >= FEWEST_DRAWS else math.nan, block_rhat=block_rhat, chains=chains,
            stuck=stuck, step_bias=step_bias, step_excess=added, acceptance=accepted,
        )
    )  # fmt: skip
    notes = []
    if n_beta > math.e:
        notes.append(
            f"where the singularity has multiplicity m > 1, this lies (m - 1) / log n_beta = "
            f"{1 / math.log(n_beta):.2g} (m - 1) below lambda"
        )
    if step_bias is not None and HIGHEST_STEP_BIAS < step_bias <= LARGEST_STEP_BIAS:
        notes.append(f"steps of {step_size:.3g} make this up to {step_bias:.1%} too high: take shorter ones")
    elif step_bias is not None and added > 0 and not reasons and not step_bias <= LARGEST_STEP_BIAS:
        notes.append(f"steps of {step_size:.3g} add up to {added:.2g}, less than half of the standard error")
    return Estimate(
        value=value, standard_error=total, errors=errors, rhat=rhat, ess=ess, drift=drift,
        equilibrated=not reasons, reasons=reasons, notes=notes, traces=traces, baseline=baseline,
        n_beta=n_beta, gamma=gamma, step_size=step_size, burn_in=burn_in, diverged=diverged, sampler=sampler,
        step_bias=step_bias, acceptance=accepted, block_rhat=block_rhat, half=half, stuck=stuck,
    )  # fmt: skip


def share_of_steps(value: float, excess: float) -> float:
    """``excess`` of what is left of ``value`` without it; infinite where nothing is left, NaN of a value that
    is not positive: there a share says nothing, and shorter steps would change nothing."""
    if excess == 0:
        return 0.0
    if value <= 0:
        return math.nan
    return excess / (value - excess) if value > excess else math.inf


def drift_of(draws: Float[Array, "K T"]) -> float:
    """Second half less first half, in standard errors; each half's error counts its autocorrelation."""
    half = draws.shape[-1] // 2
    first, second = draws[:, :half], draws[:, -half:]
    # Within a chain: what chains differ by in both halves is no drift.
    change = second.mean(axis=-1) - first.mean(axis=-1)
    own = [math.hypot(mean_error(a[None]), mean_error(b[None])) for a, b in zip(first, second, strict=True)]
    error = math.sqrt(sum(each**2 for each in own)) / len(own)
    return float(change.mean() / error) if error > 0 else 0.0


def blocks(draws: Float[Array, "K T"]) -> Float[Array, "K S"]:
    """Means of equal blocks of a chain; the draws themselves where there are fewer than two per block."""
    size = draws.shape[-1] // NUM_BLOCKS
    if size < 2:
        return draws
    return np.asarray(draws[:, : NUM_BLOCKS * size].reshape(len(draws), NUM_BLOCKS, size).mean(axis=-1))
