"""Linear read-outs of features, fitted with weights of examples: no shape depends on who is weighted 0."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.probes.shortcuts.shares import is_in

NEWTON_STEPS = 20
STEP_SIZES = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.0)


def equal_mass(group: Int64[Tensor, " N"], num_groups: int, is_fitted: Tensor) -> Float[Tensor, " N"]:
    """Weights with sum 1 that give every group that occurs among the fitted the same; 0 for the others."""
    member = is_in(group, num_groups) & is_fitted
    count = member.sum(-1).double()
    each = torch.where(count == 0, 0.0, 1.0 / count.clamp(min=1)) / (count > 0).sum().clamp(min=1)
    return (member * each[:, None]).sum(0)


def standardised(features: Float[Tensor, "N D"], weight: Float[Tensor, " N"]) -> Float[Tensor, "N K"]:
    """Centred and divided by the deviation of the weighted; what does not vary there becomes 0.

    With more features than examples: their coordinates in the space that the examples span, which a ridge
    cannot tell from them.
    """
    mean = weight @ features
    deviation = (weight @ (features - mean).square()).sqrt()
    # The deviation of a constant is what rounding leaves of it.
    is_constant = deviation <= 1e-10 * (weight @ features.square()).sqrt()
    scaled = torch.where(is_constant, 0.0, (features - mean) / torch.where(is_constant, 1.0, deviation))
    if scaled.shape[-1] <= scaled.shape[-2]:
        return scaled
    values, vectors = torch.linalg.eigh(_finite(scaled @ scaled.T))
    coordinates = vectors * values.clamp(min=0).sqrt()
    return torch.where(scaled.isfinite().all(), coordinates, torch.nan)


def ridge_scores(
    features: Float[Tensor, "N D"], classes: Int64[Tensor, " N"], num: int, weight: Tensor, ridge: float
) -> Float[Tensor, "N C"]:
    """Scores of all examples by the weighted least squares of one-hot classes, in closed form.

    Minimises ``sum_i w_i |y_i - b - x_i B|^2 + ridge D |B|^2`` over features that are standardised by the
    weighted; D makes the ridge's share of a feature's variance the same for any number of them.
    """
    x = standardised(features, weight)
    one_hot = is_in(classes, num).T.to(x.dtype)
    mean = weight @ one_hot
    gram = (x.T * weight) @ x
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    right = (x.T * weight) @ (one_hot - mean)
    solution: Tensor = torch.linalg.solve_ex(gram + ridge * eye, right).result
    return mean + x @ solution


def logistic_scores(
    features: Float[Tensor, "N D"], classes: Int64[Tensor, " N"], num: int, weight: Tensor, ridge: float
) -> Float[Tensor, "N C"]:
    """Scores of all examples by weighted logistic regressions, each class against the rest; two classes: one.

    Minimises ``sum_i w_i log(1 + exp(-y_i f_i)) + ridge / 2 |b|^2`` by a fixed number of Newton steps, each
    of the length among 1, 1/2, ..., 1/16 and 0 that lowers this most: it never rises.
    """
    x = standardised(features, weight)
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=-1)
    penalty = torch.full_like(x[0], ridge)
    penalty[-1] = 1e-9  # the offset is free; this keeps it finite where only one class occurs
    signs = torch.where(is_in(classes, num), 1.0, -1.0).to(x.dtype)
    if num == 2:
        score = _newton(x, signs[1], weight, penalty)
        return torch.stack([-score, score], dim=-1)
    return torch.stack([_newton(x, signs[c], weight, penalty) for c in range(num)], dim=-1)


def _newton(
    x: Float[Tensor, "N D"], sign: Float[Tensor, " N"], weight: Float[Tensor, " N"], penalty: Tensor
) -> Float[Tensor, " N"]:
    def loss(b: Float[Tensor, " D"]) -> Float[Tensor, ""]:
        return weight @ torch.nn.functional.softplus(-sign * (x @ b)) + (penalty * b.square()).sum() / 2

    b = torch.zeros_like(penalty)
    for _ in range(NEWTON_STEPS):
        wrong = torch.sigmoid(-sign * (x @ b))
        slope = penalty * b - (weight * sign * wrong) @ x
        hessian = (x.T * (weight * wrong * (1 - wrong))) @ x + torch.diag(penalty)
        step: Tensor = torch.linalg.solve_ex(hessian, slope).result
        tried = torch.stack([b - size * step for size in STEP_SIZES])
        losses = torch.stack([loss(each) for each in tried])
        b = torch.gather(tried, 0, losses.argmin().expand(1, len(b)))[0]
    return x @ b


def _finite(matrix: Tensor) -> Tensor:
    """Where it is not, zeros: eigh and svd stop the whole pack at the first NaN."""
    return torch.where(matrix.isfinite().all(), matrix, 0.0)
