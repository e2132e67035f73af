"""Adam in one pass: torch's own numbers, and a member's bits whoever else is in the pack."""

import pytest
import torch

from epochal.core.tensors import random
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context
from epochal.optim import one_pass
from epochal.optim.optimizers.adamw import adamw

MEMBERS, NUMBERS = 3, one_pass.FEWEST_NUMBERS + 7
DIFFERENT = [(1e-3, 0.9, 0.999, 1e-8), (0.05, 0.0, 0.98, 1e-3), (0.2, 0.5, 0.5, 1e-8)]
EQUAL = DIFFERENT[:1] * MEMBERS
UPDATES = 20


def gradients(member: int, time: int, dtype: torch.dtype) -> torch.Tensor:
    return random.normal(random.key(member, "gradient", time), (NUMBERS,), dtype)


def updates(rows: list[tuple[float, ...]], members: range, dtype: torch.dtype) -> torch.Tensor:
    """The sum of all updates, ``[members, NUMBERS]``."""
    mean = torch.zeros(len(members), NUMBERS, dtype=dtype)
    square, total = torch.zeros_like(mean), torch.zeros_like(mean)
    for time in range(1, UPDATES + 1):
        gradient = torch.stack([gradients(member, time, dtype) for member in members])
        assert one_pass.applies(gradient)
        total += one_pass.adam(gradient, mean, square, [rows[m] for m in members], time)  # type: ignore[misc]
    return total


@pytest.mark.parametrize("rows", [DIFFERENT, EQUAL], ids=["different", "equal"])
def test_the_updates_are_torchs(rows: list[tuple[float, ...]]) -> None:
    ours = updates(rows, range(MEMBERS), torch.float64)
    for member, (rate, beta1, beta2, epsilon) in enumerate(rows):
        parameter = torch.nn.Parameter(torch.zeros(NUMBERS, dtype=torch.float64))
        theirs = torch.optim.Adam([parameter], lr=rate, betas=(beta1, beta2), eps=epsilon, foreach=False)
        for time in range(1, UPDATES + 1):
            parameter.grad = gradients(member, time, torch.float64)
            theirs.step()
        torch.testing.assert_close(ours[member], parameter.detach(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [DIFFERENT, EQUAL], ids=["different", "equal"])
def test_a_member_alone_has_the_same_bits(rows: list[tuple[float, ...]], dtype: torch.dtype) -> None:
    together = updates(rows, range(MEMBERS), dtype)
    for member in range(MEMBERS):
        assert torch.equal(updates(rows, range(member, member + 1), dtype)[0], together[member])


def test_decay_in_the_same_pass_is_decay_after_it() -> None:
    layout = Layout.of({"weight": (NUMBERS,)})
    fields = {
        name: torch.tensor([[rows[place]] for rows in DIFFERENT], dtype=torch.float64)
        for place, name in enumerate(("learning_rate", "beta1", "beta2", "adam_epsilon"))
    } | {"weight_decay": torch.tensor([[0.0], [0.3], [1.0]], dtype=torch.float64)}
    together, apart = (torch.ones(MEMBERS, NUMBERS, dtype=torch.float64) for _ in range(2))
    transform, links = adamw(), adamw().links
    states = transform.init(together), [link.init(apart) for link in links]
    for time in range(UPDATES):
        gradient = torch.stack([gradients(member, time, torch.float64) for member in range(MEMBERS)])

        def context(flat: torch.Tensor, time: int = time) -> Context:
            return Context(
                flat=flat, initial=flat, layout=layout, fields=fields, learning_rate=fields["learning_rate"],
                key=random.key(0, "test"), step=time,
            )  # fmt: skip

        together = together + transform.update(gradient.clone(), states[0], context(together))[0]
        delta = gradient
        for link, state in zip(links, states[1], strict=True):
            delta, _ = link.update(delta, state, context(apart))
        apart = apart + delta
    assert not torch.equal(together, torch.ones_like(together))
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-13)


def test_small_and_scattered_numbers_are_left_to_single_operations() -> None:
    assert not one_pass.applies(torch.zeros(2, one_pass.FEWEST_NUMBERS - 1))
    assert not one_pass.applies(torch.zeros(2, 3 * one_pass.FEWEST_NUMBERS)[:, ::2])
    assert not one_pass.applies(torch.zeros(2, one_pass.FEWEST_NUMBERS, dtype=torch.bfloat16))


@pytest.mark.parametrize("numbers", [2 * one_pass.FEWEST_NUMBERS, one_pass.FEWEST_NUMBERS // 20])
def test_a_decay_below_half_a_digit_of_float32_still_acts_on_the_average(numbers: int) -> None:
    """Weights of 1 lose ``lr weight_decay`` = 1e-8 of themselves per update, a sixth of float32's last digit.

    ``torch.optim.AdamW`` multiplies the weights by 1 - 1e-8, which is 1: there nothing decays at all.
    """
    members, rate, decay, many = 2 * one_pass.FEWEST_NUMBERS // numbers, 1e-5, 1e-3, 300
    layout = Layout.of({"weight": (numbers,)})
    columns = {"beta1": 0.9, "beta2": 0.999, "adam_epsilon": 1e-8}
    transform = adamw()

    def ends(weight_decay: float) -> torch.Tensor:
        flat = torch.ones(members, numbers)
        state = transform.init(flat)
        fields = {
            name: torch.full((members, 1), value, dtype=torch.float64)
            for name, value in (columns | {"weight_decay": weight_decay}).items()
        }
        for time in range(many):
            key = random.key(0, "gradient", time)
            context = Context(
                flat=flat, initial=flat, layout=layout, fields=fields, key=key, step=time,
                learning_rate=torch.full((members, 1), rate, dtype=torch.float64),
            )  # fmt: skip
            delta, state = transform.update(random.normal(key, (members, numbers)), state, context)
            flat = flat + delta
        return flat.double()

    lost = float((ends(0.0) - ends(decay)).mean())
    assert lost == pytest.approx(many * rate * decay, rel=0.005)
