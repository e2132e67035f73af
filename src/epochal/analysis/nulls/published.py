"""The fresh-feedback control as published code prints it, and its rule, beside the null on the same data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.nulls.credit import as_feedback
from epochal.analysis.nulls.directions import as_matrix, directions
from epochal.analysis.nulls.joint import Joint, MeanNull, Site, joint, shared_feedback
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]
Rule = Literal["real", "similar", "mixed"]

DRAWS = 20
FIRST_SEED = 10_000
REAL, SIMILAR = 0.05, 0.10
EPS = 1e-30


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """Per layer 0 .. L: the cosine with the feedback of training, and with 20 fresh ones ``[K, L+1]``.

    The deep means leave layer 0 out. ``verdict`` is the published rule's; ``joint`` and ``deep`` are the null
    on the same data, and ``adapted`` what follows from it.
    """

    training: Float[Array, " L+1"]
    fresh: Float[Array, "K L+1"]
    training_deep: float
    fresh_deep: Float[Array, " K"]
    verdict: Rule
    joint: Joint
    deep: MeanNull
    alpha: float

    @property
    def fresh_mean(self) -> Float[Array, " L+1"]:
        return np.asarray(self.fresh.mean(axis=0))

    @property
    def fresh_sd(self) -> Float[Array, " L+1"]:
        """Over the draws, per layer."""
        return np.asarray(self.fresh.std(axis=0, ddof=1))

    @property
    def pooled_sd(self) -> float:
        """Over draws and deep layers together: not the sd of the deep mean, which is ``deep.null_sd``."""
        return float(self.fresh[:, 1:].std(ddof=1))

    @property
    def adapted(self) -> bool:
        """The deep mean is further from 0 than fresh feedback explains."""
        return self.deep.p <= self.alpha

    def lines(self) -> list[str]:
        """What the published code prints, its rule's answer, and the null's."""
        layers = range(len(self.training))
        spread = zip(layers, self.fresh_mean, self.fresh_sd, strict=True)
        fresh = f"{self.fresh_deep.mean():+.4f} ± {self.pooled_sd:.4f}"
        rule = f"|fresh deep mean| below {REAL:g} is real, above {SIMILAR:g} similar"
        null = f"{self.deep.statistic:+.4f} against 0 ± {self.deep.null_sd:.4f}, z = {self.deep.z:.1f}"
        p = f"p = {self.deep.p:.2g}; any layer p = {self.joint.p:.2g}"
        told = "adapted to this feedback" if self.adapted else "as with feedback it never saw"
        return [
            "training B  " + "  ".join(f"l{l} {self.training[l]:+.4f}" for l in layers),
            *(
                f"draw {k:<2}     " + "  ".join(f"l{l} {row[l]:+.4f}" for l in layers)
                for k, row in enumerate(self.fresh)
            ),
            "fresh B     " + "  ".join(f"l{l} {mean:+.4f} ± {sd:.4f}" for l, mean, sd in spread),
            f"deep mean   training {self.training_deep:+.4f}, fresh {fresh} over draws and layers",
            f"published rule: {self.verdict} ({rule}; it never looks at the training B)",
            f"null: deep mean {null}, {p}: {told}",
        ]


def published(
    errors: ArrayLike,
    gradients: Sequence[ArrayLike],
    feedbacks: Sequence[ArrayLike],
    *,
    fresh: Sequence[Sequence[ArrayLike]] | None = None,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
) -> Published:
    """The published control on errors ``[n, C]``, gradients ``[n, d]`` of layers 0 .. L and L feedbacks.

    ``fresh`` are the sets of feedback that were drawn afresh; else 20 by NumPy, from seeds 10000 + k. Layer l
    uses feedback min(l, L - 1). As there, a norm is at least 1e-30 and a zero vector counts as cosine 0; the
    null leaves such samples out. ``draws``, ``seed``, ``alpha`` are those of the null.

    Raises:
        UserError: as ``joint``; for fewer than two layers.
    """
    if len(gradients) < 2:
        raise UserError(
            "gradients: give at least two layers, the first being the embedding, which is not deep"
        )
    if fresh is not None and (not fresh or any(len(one) != len(feedbacks) for one in fresh)):
        raise UserError(
            f"fresh has sets of {sorted({len(x) for x in fresh})} matrices: give at least one set, each of "
            f"{len(feedbacks)} as in training, or None for {DRAWS}"
        )
    index = shared_feedback(len(gradients), len(feedbacks))
    known = [directions(errors, g) for g in gradients]
    e = as_matrix(errors, "errors", "[n, C]")
    layers = [as_matrix(g, f"gradients of layer {l}", "[n, d]") for l, g in enumerate(gradients)]
    sets = [list(feedbacks)]
    sets += [list(one) for one in fresh] if fresh is not None else drawn_like(feedbacks)
    table = np.array(
        [
            [
                plain_cosine(e @ as_feedback(one[i], known[l], f"feedback {i}").T, layers[l])
                for l, i in enumerate(index)
            ]
            for one in sets
        ]
    )
    family = joint(
        [
            Site(name=f"l{l}", errors=e, gradients=g, feedback=i)
            for l, (g, i) in enumerate(zip(layers, index, strict=True))
        ],
        feedbacks,
        draws=draws,
        seed=seed,
        alpha=alpha,
    )
    deep = table[:, 1:].mean(axis=1)
    return Published(
        training=table[0],
        fresh=table[1:],
        training_deep=float(deep[0]),
        fresh_deep=deep[1:],
        verdict=published_verdict(float(deep[1:].mean())),
        joint=family,
        deep=family.mean([f"l{l}" for l in range(1, len(layers))]),
        alpha=alpha,
    )


def published_verdict(fresh_deep_mean: float) -> Rule:
    """ "real" where |mean over fresh draws and deep layers| < .05, "similar" above .10, else "mixed".

    By symmetry that mean is near 0 whatever the network did, so that the answer is nearly always "real".
    """
    size = abs(fresh_deep_mean)
    return "real" if size < REAL else "similar" if size > SIMILAR else "mixed"


def plain_cosine(credit: Float[Array, "n d"], gradients: Float[Array, "n d"]) -> float:
    lengths = [np.maximum(np.linalg.norm(rows, axis=1), EPS) for rows in (credit, gradients)]
    return float(np.mean(np.einsum("nd,nd->n", credit, gradients) / (lengths[0] * lengths[1])))


def drawn_like(feedbacks: Sequence[ArrayLike]) -> list[list[ArrayLike]]:
    shapes = [np.shape(one) for one in feedbacks]
    generators = [np.random.Generator(np.random.PCG64(FIRST_SEED + k)) for k in range(DRAWS)]
    return [[generator.standard_normal(shape) for shape in shapes] for generator in generators]
