"""Adam: steps of the size of the rate, whatever the size of the gradient."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.core.values.optimization import Optimization
from epochal.optim import one_pass


@dataclass(frozen=True)
class Adam:
    """``-lr m_hat / (sqrt(v_hat) + epsilon)`` per member. Reads ``beta1``, ``beta2``, ``adam_epsilon``.

    m and v are running means of g and g^2 with decays ``beta1`` and ``beta2`` in [0, 1), hats divide by
    1 - beta^t. Decay stands beside it: ``chain(CoupledDecay(), Adam())`` is ``torch.optim.Adam`` with
    ``weight_decay``, ``adamw()`` its decoupled kin. State: ``mean`` and ``square``, both [M, P].

    Source: Kingma & Ba 2015, algorithm 1; agrees with ``torch.optim.Adam`` to rounding.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"mean": torch.zeros_like(flat), "square": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        return self.update_onto(None, delta, state, context)

    def update_onto(
        self, onto: Float[Tensor, "M P"] | None, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        """The update added to ``onto``, which it may write into."""
        fields, time = context.fields, context.step + 1
        beta1, beta2 = fields["beta1"], fields["beta2"]

        def cast(value: Tensor) -> Tensor:
            return value.to(delta.dtype)

        mean, square = state["mean"], state["square"]
        if one_pass.applies(delta):
            columns = (context.learning_rate, beta1, beta2, fields["adam_epsilon"])
            rows = list(zip(*(column.flatten().tolist() for column in columns), strict=True))
            return one_pass.adam(delta, mean, square, rows, time, onto), state
        mean.lerp_(delta, cast(1 - beta1))
        square.mul_(cast(beta2)).addcmul_(delta.square(), cast(1 - beta2))
        root = square.sqrt().mul_(cast((1 - beta2**time).rsqrt())).add_(cast(fields["adam_epsilon"]))
        moved = torch.div(mean, root, out=delta).mul_(cast(-context.learning_rate / (1 - beta1**time)))
        return moved if onto is None else moved.add_(onto), state


def optimizer(spec: Optimization, layout: Layout) -> Transform:
    return Adam()
