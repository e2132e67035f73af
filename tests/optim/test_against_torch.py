"""Every transform that torch has agrees with torch: float64, 1e-12 over 100 steps, members apart."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Transform
from epochal.core.values.errors import UserError
from epochal.optim.chain import chain
from epochal.optim.clip import Clip
from epochal.optim.decay import CoupledDecay, DecayToZero
from epochal.optim.optimizers.adam import Adam
from epochal.optim.optimizers.adamw import adamw
from epochal.optim.optimizers.muon import Muon, orthogonalised
from epochal.optim.optimizers.rmsprop import RMSprop
from epochal.optim.optimizers.sgd import SGD
from epochal.optim.scope import groups
from tests.optim.examples import FIELDS, MEMBERS, columns, context, gradient, starting, steps

STEPS = 100
LAYOUT = Layout.of({"weight": (4, 5)})
Make = Callable[[Tensor, Mapping[str, float]], Optimizer]


def theirs(make: Make, start: Tensor, *, clip: bool = False, shape: tuple[int, ...] = (4, 5)) -> Tensor:
    """torch's own, one member at a time, with its own warm-up and clipping."""
    ends = []
    for member in range(MEMBERS):
        fields = {name: values[member] for name, values in FIELDS.items()}
        parameter = torch.nn.Parameter(start[member].clone().reshape(shape))
        optimizer = make(parameter, fields)
        for step in range(STEPS):
            ramp = min(1.0, (step + 1) / fields["warmup_steps"]) if fields["warmup_steps"] else 1.0
            optimizer.param_groups[0]["lr"] = fields["learning_rate"] * ramp
            flat = parameter.detach().reshape(1, -1)
            parameter.grad = gradient(flat, step, torch.tensor([member])).reshape(shape)
            if clip and fields["gradient_clip"] > 0:
                torch.nn.utils.clip_grad_norm_([parameter], fields["gradient_clip"])
            optimizer.step()
        ends.append(parameter.detach().reshape(-1))
    return torch.stack(ends)


def torch_adamw(parameter: Tensor, fields: Mapping[str, float]) -> Optimizer:
    return torch.optim.AdamW(
        [parameter],
        betas=(fields["beta1"], fields["beta2"]),
        eps=fields["adam_epsilon"],
        weight_decay=fields["weight_decay"],
    )


def torch_adam(parameter: Tensor, fields: Mapping[str, float]) -> Optimizer:
    return torch.optim.Adam(
        [parameter],
        betas=(fields["beta1"], fields["beta2"]),
        eps=fields["adam_epsilon"],
        weight_decay=fields["weight_decay"],
    )


def torch_sgd(nesterov: bool) -> Make:
    # torch refuses Nesterov without momentum; there it is plain descent.
    return lambda parameter, fields: torch.optim.SGD(
        [parameter],
        momentum=fields["momentum"],
        nesterov=nesterov and fields["momentum"] > 0,
        weight_decay=fields["weight_decay"],
    )


def torch_rmsprop(parameter: Tensor, fields: Mapping[str, float]) -> Optimizer:
    return torch.optim.RMSprop(
        [parameter],
        alpha=fields["rmsprop_alpha"],
        eps=fields["adam_epsilon"],
        weight_decay=fields["weight_decay"],
    )


PAIRS: dict[str, tuple[Transform, Make]] = {
    "adam": (chain(CoupledDecay(), Adam()), torch_adam),
    "adamw": (chain(adamw()), torch_adamw),
    "sgd": (chain(CoupledDecay(), SGD()), torch_sgd(nesterov=False)),
    "nesterov": (chain(CoupledDecay(), SGD(nesterov=True)), torch_sgd(nesterov=True)),
    "rmsprop": (chain(CoupledDecay(), RMSprop()), torch_rmsprop),
}


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("name", list(PAIRS))
def test_it_agrees_with_torch(name: str, clip: bool) -> None:
    transform, make = PAIRS[name]
    start = starting(LAYOUT)
    ours, _ = steps(chain(Clip(), transform) if clip else transform, start, until=STEPS, layout=LAYOUT)
    torch.testing.assert_close(ours, theirs(make, start, clip=clip), rtol=1e-12, atol=1e-12)


needs_muon = pytest.mark.skipif(
    not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9: install a newer torch"
)


@needs_muon
@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (2, 10)])
def test_muon_agrees_with_torch(
    scale: str, nesterov: bool, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's cast to bfloat16 undone: in the parameters' dtype the two must be one algorithm."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)

    def torch_muon(parameter: Tensor, fields: Mapping[str, float]) -> Optimizer:
        return torch.optim.Muon(
            [parameter],
            momentum=fields["muon_momentum"],
            nesterov=nesterov,
            weight_decay=fields["weight_decay"],
            adjust_lr_fn=scale,
        )

    layout = Layout.of({"weight": shape})
    start = starting(layout)
    ours, _ = steps(
        chain(Muon(scale, nesterov=nesterov), DecayToZero()),  # type: ignore[arg-type]
        start,
        until=STEPS,
        layout=layout,
    )
    torch.testing.assert_close(ours, theirs(torch_muon, start, shape=shape), rtol=1e-12, atol=1e-12)


@needs_muon
def test_muon_in_bfloat16_takes_torchs_steps() -> None:
    """To rounding: neither is further from the exact iteration than 8 bits over 15 products allow."""
    layout = Layout.of({"weight": (8, 16)})
    start = starting(layout, members=1)
    parameter = torch.nn.Parameter(torch.zeros(8, 16, dtype=torch.float64))
    parameter.grad = start[0].reshape(8, 16)
    torch.optim.Muon([parameter], lr=1.0, momentum=0.0, weight_decay=0.0).step()
    now = context(start, fields=columns({"learning_rate": [1.0], "muon_momentum": [0.0]}), layout=layout)
    muon = Muon("original", dtype=torch.bfloat16)
    ours, _ = muon.update(start.clone(), muon.init(start), now)
    torch.testing.assert_close(ours[0].reshape(8, 16), parameter.detach(), rtol=0, atol=15 * 2.0**-8)
    assert torch.equal(ours, ours.bfloat16().double()), "computed in bfloat16"


def test_muon_makes_singular_values_equal() -> None:
    """Of a matrix of condition number 100; and it keeps the singular vectors."""
    u, _, v = torch.linalg.svd(starting(Layout.of({"w": (6, 6)}))[0].reshape(6, 6))
    result = orthogonalised(((u * torch.logspace(-2, 0, 6, dtype=torch.float64)) @ v)[None])[0]
    inside = u.mT @ result @ v.mT
    values = inside.diagonal()
    torch.testing.assert_close(inside, torch.diag(values), rtol=0, atol=1e-10)
    assert ((values > 0.6) & (values < 1.3)).all()


def test_clipping_each_tensor_is_torchs_clipping_of_each_tensor() -> None:
    names = ("a.0.in.weight", "b.weight", "a.0.out.weight", "a.10.bias", "a.0.in.bias")
    layout = Layout.of(dict(zip(names, ((2, 3), (4,), (3,), (5,), (2,)), strict=True)))
    given = 3 * starting(layout)
    for scope, grouping in {
        "member": [list(names)],
        "repeated": [["a.0.in.weight", "a.0.out.weight", "a.0.in.bias"], ["a.10.bias"]],
        "block": [["a.0.in.weight", "a.0.in.bias"], ["b.weight"], ["a.0.out.weight"], ["a.10.bias"]],
        "tensor": [[name] for name in names],
    }.items():
        now = context(given, layout=layout)
        clipped, _ = Clip(scope).update(given.clone(), {}, now)  # type: ignore[arg-type]
        for member, largest in enumerate(FIELDS["gradient_clip"]):
            parameters = {
                name: torch.nn.Parameter(value) for name, value in layout.unflatten(given[member]).items()
            }
            for parameter in parameters.values():
                parameter.grad = parameter.detach().clone()
            for group in grouping if largest > 0 else []:
                torch.nn.utils.clip_grad_norm_([parameters[name] for name in group], largest)
            expected = layout.flatten({name: p.grad for name, p in parameters.items() if p.grad is not None})
            torch.testing.assert_close(clipped[member], expected, rtol=1e-12, atol=1e-12)


def test_a_network_without_lists_has_no_repeated_block() -> None:
    layout = Layout.of({"up.weight": (2, 3), "down.bias": (4,)})
    with pytest.raises(UserError, match=r"repeats no block.*take member or block"):
        groups(layout, "repeated")


def test_clip_leaves_small_gradients_alone_and_bounds_large_ones() -> None:
    fields = {"gradient_clip": torch.tensor([[0.0], [1.0], [100.0]], dtype=torch.float64)}
    fields |= {"learning_rate": torch.ones(3, 1, dtype=torch.float64)}
    given = torch.tensor([[30.0, 40.0]] * 3)
    now = context(torch.zeros(3, 2), fields=fields, layout=Layout.of({"weight": (2,)}))
    clipped, _ = Clip().update(given.clone(), {}, now)
    assert torch.equal(clipped[0], given[0]) and torch.equal(clipped[2], given[2])
    torch.testing.assert_close(clipped[1], torch.tensor([0.6, 0.8]), rtol=1e-6, atol=0)


def test_float32_hyperparameters_are_derived_in_float64() -> None:
    """A first AdamW step is the rate exactly, whatever beta2: 1 - 0.999 in float32 is off by 1.3e-5."""
    values = {"learning_rate": 1.0, "beta1": 0.9, "beta2": 0.9999, "adam_epsilon": 1e-30, "weight_decay": 0.0}
    fields = columns({name: [value] for name, value in values.items()})
    now = context(torch.zeros(1, 4), fields=fields, layout=Layout.of({"weight": (4,)}))
    transform = adamw()
    delta, _ = transform.update(torch.tensor([[1.0, -2.0, 1e-3, 50.0]]), transform.init(now.flat), now)
    torch.testing.assert_close(delta, torch.tensor([[-1.0, 1.0, -1.0, -1.0]]), rtol=5e-7, atol=0)
