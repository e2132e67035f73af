"""The table of all pairs of operands in order of their group elements, put together from both splits."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.probes.modular.group import EXCLUDED, Group, group_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pair ``(i, j)`` of group elements is row ``i n + j``; n is the group's order.

    ``targets`` are the answers' classes, ``is_train`` tells the splits apart, ``classes[k]`` is the class
    that stands for element k.
    """

    group: Group
    modulus: int
    order: Int64[Tensor, " R"]
    inputs: Tensor
    targets: Int64[Tensor, " R"]
    is_train: Bool[Tensor, " R"]
    classes: Int64[Tensor, " n"]

    def arranged(self, train: Float[Tensor, "N ..."], val: Float[Tensor, "V ..."]) -> Float[Tensor, "R ..."]:
        """What belongs to the examples of both splits, one row per pair."""
        return torch.cat([train, val])[self.order]

    @property
    def tokens(self) -> Int64[Tensor, " n"]:
        """The token of the first operand, for every element: the input that changes with i and not with j."""
        n = self.group.order
        tokens = self.inputs.reshape(n, n, -1)
        wide = tokens.double()
        along_i, along_j = wide.mean(1).var(0), wide.var(1).mean(0)
        position = (along_i - along_j).argmax()
        return tokens[:, 0].index_select(-1, position[None])[:, 0].long()


def pairs_of(view: View) -> Pairs:
    """The pairs of a view whose task is a complete table of ``a op b`` modulo a number.

    With wrong targets in between (label noise) ``classes`` is right as long as they are a minority.

    Raises:
        UserError: it is not, or part of the table is in neither split.
    """
    operation, modulus = (getattr(view.task, name, None) for name in ("operation", "modulus"))
    if not isinstance(operation, str) or not isinstance(modulus, int):
        raise UserError("this probe measures networks that learn a op b modulo a number (algorithmic)")
    group = group_of(operation, modulus)
    train, val = view.data("train"), view.data("val")
    if set(train.factors) != {"a", "b"}:
        raise UserError(
            "this probe measures tasks of two operands, a and b; the operands here are "
            f"{', '.join(sorted(train.factors)) or 'unknown'}"
        )
    if train.targets.ndim != 1:
        raise UserError(
            f"this probe measures one answer per equation; here are {train.targets.shape[1]}: "
            "let the loss be on the answer alone"
        )
    size = len(train.targets) + len(val.targets)
    if size != group.table_size:
        raise UserError(
            f"this probe needs all {group.table_size} equations, those that train and those that validate; "
            f"here are {size}: let all that do not train validate"
        )
    n, device = group.order, train.targets.device
    first = torch.tensor(group.first, device=device)[torch.cat([train.factors["a"], val.factors["a"]])]
    second = torch.tensor(group.second, device=device)[torch.cat([train.factors["b"], val.factors["b"]])]
    is_out = (first == EXCLUDED) | (second == EXCLUDED)
    places = torch.where(is_out, n * n, first * n + second)
    order = places.argsort(stable=True)[: n * n]
    is_train = torch.arange(size, device=device) < len(train.targets)
    targets = torch.cat([train.targets, val.targets])[order]
    return Pairs(
        group=group,
        modulus=modulus,
        order=order,
        inputs=torch.cat([train.inputs, val.inputs])[order],
        targets=targets,
        is_train=is_train[order],
        classes=by_sum(targets.reshape(n, n)).median(0).values,
    )


def by_sum(table: Shaped[Tensor, "n n *rest"]) -> Shaped[Tensor, "n n *rest"]:
    """Entry ``[i, k]`` is that of the pair ``(i, k - i)``, whose sum is k."""
    n = table.shape[0]
    i = torch.arange(n, device=table.device)
    return table[i[:, None], (i[None] - i[:, None]) % n]
