"""The null of credit that passes through the network: other feedback, and the credit computed again."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.nulls.credit import CreditNull, two_sided
from epochal.analysis.nulls.directions import as_matrix, cosines, unit_rows
from epochal.analysis.nulls.enough import check_draws
from epochal.analysis.nulls.joint import Joint, check_names, family
from epochal.analysis.nulls.rules import null_of
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]


def redraw(
    credit: Mapping[str, ArrayLike],
    gradients: Mapping[str, ArrayLike],
    recompute: Callable[[int], Mapping[str, ArrayLike]],
    *,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
    rule: str,
) -> Joint:
    """Whether credit follows the gradient more than it would with other feedback, for any rule that draws it.

    * ``credit``, ``gradients``: ``[n, d]`` by site, of the network and the feedback it was trained with.
    * ``recompute(seed)``: the credits of the same samples, the network frozen, all feedback drawn anew from
      that seed with the law and the sharing of training; ``draws`` calls. The gradients stay.
    * ``rule``: ``"fa"``, ``"drtp"``, ``"pepita"``, or ``"dfa"`` where a site's credit carries a mask.

    p = (1 + #{|T_k - m| >= |T - m|}) / (K + 1) per site, adjusted over sites by max-|z|, is exact under the
    null that the feedback of training is independent of the network. The mean m (``null_mean``) and
    ``null_sd`` are those of all K + 1 values, which keeps it exact. m need not be 0: credit that shares masks
    or weights with the gradient may be aligned under *any* feedback.

    Raises:
        UserError: for a rule without a null, sites or shapes that differ between calls, too few
            draws.
    """
    null_of(rule)
    check_draws(draws, alpha)
    names = list(credit)
    check_names([(name, 0) for name in names])
    known = {
        name: unit_rows(as_matrix(g, f"gradients of {name!r}", "[n, d]")) for name, g in gradients.items()
    }
    observed = per_sample(credit, known, names)
    seeds = np.random.SeedSequence(seed).generate_state(draws, np.uint64) >> np.uint64(1)
    null = np.array([means(per_sample(recompute(int(one)), known, names)) for one in seeds])
    statistic = means(observed)
    all_of_them = np.concatenate([null, statistic[None]])
    centre, sd = all_of_them.mean(axis=0), all_of_them.std(axis=0, ddof=1)
    each = [
        CreditNull(
            statistic=float(statistic[h]),
            null_mean=float(centre[h]),
            null_sd=float(sd[h]),
            z=float((statistic[h] - centre[h]) / sd[h]) if sd[h] > 0 else math.nan,
            p=two_sided(float(statistic[h] - centre[h]), null[:, h] - centre[h]),
            isometric_reference=None,
            n_eff=None,
            leading_variance=None,
            num_samples=int(np.isfinite(observed[h]).sum()),
            num_zero_errors=0,
            num_zero_gradients=int(np.sum(~known[name].any(axis=1))),
            num_zero_credits=int(np.sum(~np.isfinite(observed[h]) & known[name].any(axis=1))),
            draws=draws,
            null_statistics=None,
        )
        for h, name in enumerate(names)
    ]
    return family([(name, 0) for name in names], each, null)


def per_sample(
    credit: Mapping[str, ArrayLike], gradients: Mapping[str, Array], names: list[str]
) -> list[Float[Array, " n"]]:
    """Cosines by site; NaN where credit or gradient is zero."""
    for what, given in (("gradients", gradients), ("recompute", credit)):
        if sorted(given) != sorted(names):
            raise UserError(f"credit is of sites {names}, but {what} of {list(given)}: the same sites in all")
    found = []
    for name in names:
        matrix, expected = as_matrix(credit[name], f"credit of {name!r}", "[n, d]"), gradients[name].shape
        if matrix.shape != expected:
            raise UserError(
                f"credit of {name!r} has shape {list(matrix.shape)}, its gradients {list(expected)}: give "
                "the same samples and features"
            )
        found.append(cosines(matrix, gradients[name]))
    return found


def means(found: list[Float[Array, " n"]]) -> Float[Array, " H"]:
    return np.array([one[np.isfinite(one)].mean() if np.isfinite(one).any() else math.nan for one in found])
