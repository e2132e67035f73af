"""Several sites and checkpoints of one network, with common draws of the feedback they share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.nulls.credit import CreditNull, against, as_feedback, two_sided
from epochal.analysis.nulls.directions import Directions, directions
from epochal.analysis.nulls.enough import check_draws
from epochal.analysis.nulls.fresh import fresh_statistics
from epochal.analysis.nulls.rules import check_fresh
from epochal.analysis.runs.multiplicity import max_t
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """Errors ``[n, C]`` and gradients ``[n, d]`` at a site of a checkpoint, and the index of its feedback."""

    name: str
    errors: ArrayLike
    gradients: ArrayLike
    feedback: int
    checkpoint: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteNull:
    """A site's own null; ``adjusted_p`` after all sites and checkpoints of the family."""

    name: str
    checkpoint: int
    null: CreditNull
    adjusted_p: float


@dataclass(frozen=True, kw_only=True)
class MeanNull:
    """The mean of several statistics; ``null_sd`` from the draws, to 1 / sqrt(2 (K - 1)) of itself."""

    statistic: float
    null_sd: float
    z: float
    p: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """Sites in the order given; ``p`` that any is aligned; ``null_statistics`` ``[K, H]``, draws by sites."""

    sites: tuple[SiteNull, ...]
    p: float
    null_statistics: Float[Array, "K H"]

    def mean(self, names: Sequence[str] | None = None, *, checkpoint: int | None = None) -> MeanNull:
        """Of the sites with these names (None: all) at one checkpoint (None: all), such as all deep layers.

        Sites that share feedback are correlated, so the sd of the mean is not that of a site / sqrt(sites).

        Raises:
            UserError: where no site has that name and checkpoint.
        """
        chosen = [
            h
            for h, site in enumerate(self.sites)
            if (names is None or site.name in names) and checkpoint in (None, site.checkpoint)
        ]
        if not chosen:
            known = ", ".join(dict.fromkeys(site.name for site in self.sites))
            raise UserError(f"no site is named {names} at checkpoint {checkpoint}: the names are {known}")
        nulls = [self.sites[h].null for h in chosen]
        statistic, centre = (
            float(np.mean(v)) for v in zip(*((n.statistic, n.null_mean) for n in nulls), strict=True)
        )
        null = self.null_statistics[:, chosen].mean(axis=1) - centre
        sd = float(np.sqrt(np.mean(null**2)))
        z = (statistic - centre) / sd if sd > 0 else math.nan
        return MeanNull(statistic=statistic, null_sd=sd, z=z, p=two_sided(statistic - centre, null))


def joint(
    sites: Sequence[Site],
    feedbacks: Sequence[ArrayLike],
    *,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
    rule: str = "dfa",
) -> Joint:
    """``credit_cosine`` of several sites and checkpoints as one family, by max-|z| over common draws.

    ``feedbacks`` are the matrices of training, each ``[d, C]``; a site names its own by index
    (``shared_feedback`` for the usual sharing). Draw k replaces every matrix by a fresh one, at all sites and
    checkpoints that use it: the null repeats the sharing of training. Each |T| is divided by its exact null
    sd, and the largest of each draw gives adjusted p-values (stepping down), which no number of checkpoints
    makes hopeless: neighbours are strongly correlated. A site without any cosine has NaN and is not counted.

    Raises:
        UserError: as ``credit_cosine``; for no sites, an unknown index, a site of a checkpoint given twice.

    Source: Westfall & Young 1993, Resampling-Based Multiple Testing, algorithm 4.1.
    """
    check_fresh(rule)
    check_draws(draws, alpha)
    check_names([(site.name, site.checkpoint) for site in sites])
    known: list[Directions] = []
    matrices: list[Float[Array, "d C"]] = []
    for site in sites:
        if not 0 <= site.feedback < len(feedbacks):
            raise UserError(
                f"site {site.name!r} has feedback={site.feedback}, but there are {len(feedbacks)}: 0 to "
                f"{len(feedbacks) - 1}"
            )
        known.append(directions(site.errors, site.gradients))
        matrices.append(as_feedback(feedbacks[site.feedback], known[-1], f"feedback {site.feedback}"))
    null = np.empty((draws, len(sites)))
    for index in sorted({site.feedback for site in sites}):
        columns = [h for h, site in enumerate(sites) if site.feedback == index]
        null[:, columns] = fresh_statistics(
            [known[h] for h in columns], draws=draws, seed=seed, feedback=index
        )
    each = [against(known[h], matrices[h], null[:, h], keep_draws=False) for h in range(len(sites))]
    return family([(site.name, site.checkpoint) for site in sites], each, null)


def family(names: Sequence[tuple[str, int]], each: Sequence[CreditNull], null: Float[Array, "K H"]) -> Joint:
    """Adjusts what the same draws gave for each site."""
    adjusted = np.full(len(each), np.nan)
    counted = [h for h, one in enumerate(each) if math.isfinite(one.z)]
    if counted:
        centre, sd = (
            np.array(v) for v in zip(*((each[h].null_mean, each[h].null_sd) for h in counted), strict=True)
        )
        adjusted[counted] = max_t(
            np.abs([each[h].z for h in counted]), np.abs(null[:, counted] - centre) / sd
        )
    rows = tuple(
        SiteNull(name=name, checkpoint=checkpoint, null=one, adjusted_p=float(p))
        for (name, checkpoint), one, p in zip(names, each, adjusted, strict=True)
    )
    return Joint(sites=rows, p=float(np.nanmin(adjusted)) if counted else math.nan, null_statistics=null)


def shared_feedback(num_sites: int, num_feedbacks: int) -> list[int]:
    """The index of each site's feedback, sites counted from the embedding: the last is used for all further.

    With L blocks, L matrices and L + 1 sites: 0, 1, ..., L - 1, L - 1. For the inputs of blocks; at the
    places that DFA updates, embedding first, it is 0, 0, 1, ..., L - 1.
    """
    if num_sites < 1 or num_feedbacks < 1:
        raise UserError(f"{num_sites} sites and {num_feedbacks} feedback matrices: at least one of each")
    return [min(site, num_feedbacks - 1) for site in range(num_sites)]


def check_names(names: Sequence[tuple[str, int]]) -> None:
    if not names:
        raise UserError("no sites: give at least one")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UserError(
            f"site {twice[0][0]!r} of checkpoint {twice[0][1]} is given twice: sites need own names"
        )
