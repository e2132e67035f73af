"""Initial distributions of convolutions and their options, against torch's and closed forms."""

import math

import pytest
import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.models.images.mlp import MLP
from epochal.models.initialization import Scaled, initializer
from epochal.models.resnet import PreActivationResNet18
from epochal.models.tokens.transformer import Transformer


def resnet(
    scheme: str, *, zero_readout: bool = False, scale: float = 1.0, init_scaled: Scaled = "weights"
) -> dict[str, Tensor]:
    net = Network(
        lambda: PreActivationResNet18(num_classes=10, width=16),
        initializer(scheme, zero_readout=zero_readout, init_scaled=init_scaled),
    )
    return net.layout.unflatten(net.init(random.key(0, "init"), torch.float64, scale)[0])


def quantiles(values: Tensor) -> Tensor:
    return torch.quantile(values.flatten()[:200_000].double(), torch.linspace(0, 1, 11).double())


def test_convolutions_are_drawn_as_torch_draws_them() -> None:
    ours = resnet("torch")["layer4.1.conv2.weight"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = nn.Conv2d(128, 128, 3, bias=False).weight.detach()
    assert ours.shape == theirs.shape and ours.abs().max() <= 1 / math.sqrt(128 * 9)
    # 147,456 numbers of a uniform distribution this wide: quantiles have standard errors below 8e-5.
    torch.testing.assert_close(quantiles(ours), quantiles(theirs), rtol=0, atol=4e-4)


def test_lecun_has_variance_one_over_fan_in() -> None:
    p = resnet("lecun")
    for name, fan_in in (("layer4.1.conv2.weight", 128 * 9), ("layer4.0.shortcut.0.weight", 64)):
        assert abs(p[name].std() * math.sqrt(fan_in) - 1) < 5 / math.sqrt(2 * p[name].numel())
    assert (p["linear.bias"] == 0).all()


def test_orthogonal_weights_keep_lengths() -> None:
    p = resnet("orthogonal")
    for name, weight in p.items():
        if weight.ndim > 1:
            matrix = weight.flatten(1)
            gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), msg=name)
    assert (p["linear.bias"] == 0).all() and (p["layer1.0.bn1.weight"] == 1).all()


def test_orthogonal_weights_are_uniform_over_rotations() -> None:
    """Without the sign of R's diagonal the first column would always point the same way."""
    net = Network(lambda: MLP(num_inputs=3, num_classes=3, depth=0, width=1), initializer("orthogonal"))
    draws = torch.stack(
        [
            net.layout.unflatten(net.init(random.key(seed, "init"), torch.float64)[0])["readout.weight"]
            for seed in range(400)
        ]
    )
    assert draws.mean(0).abs().max() < 5 * math.sqrt(1 / 3 / 400)
    assert (draws.square().mean(0) - 1 / 3).abs().max() < 5 * math.sqrt(4 / 45 / 400)


@pytest.mark.parametrize("scheme", ["torch", "lecun", "orthogonal"])
def test_the_options_touch_what_they_name(scheme: str) -> None:
    plain, zeroed, scaled = (
        resnet(scheme), resnet(scheme, zero_readout=True), resnet(scheme, scale=4.0)
    )  # fmt: skip
    for name, value in plain.items():
        assert torch.equal(zeroed[name], value * 0 if name.startswith("linear") else value), name
        assert torch.equal(scaled[name], value * 4 if value.ndim > 1 else value), name


def test_the_read_out_of_other_models_is_found_and_embeddings_are_scaled() -> None:
    transformer = Network(
        lambda: Transformer(
            vocabulary=5, sequence_length=3, num_classes=4, width=8, depth=1, heads=2, mlp_ratio=2.0,
            layer_norm="pre", activation="relu", position="learned", readout="last",
        ),
        initializer("orthogonal", zero_readout=True),
    )  # fmt: skip
    mlp = Network(
        lambda: MLP(num_inputs=3, num_classes=3, depth=2, width=5), initializer("torch", zero_readout=True)
    )
    for net, zero in ((transformer, {"unembed"}), (mlp, {"readout"})):
        p = net.layout.unflatten(net.init(random.key(0, "init"), torch.float32)[0])
        found = {
            name.rpartition(".")[0] for name, v in p.items() if name.endswith("weight") and (v == 0).all()
        }
        assert found == zero
    embed = transformer.layout.unflatten(transformer.init(random.key(0, "init"), torch.float32, 2.0)[0])
    assert abs(embed["embed.weight"].std() - 2 / math.sqrt(8)) < 0.2


def drawn_transformer(scheme: str, **changes: object) -> dict[str, Tensor]:
    fields: dict[str, object] = {
        "vocabulary": 200, "sequence_length": 3, "num_classes": 200, "width": 64, "depth": 1, "heads": 2,
        "mlp_ratio": 4.0, "layer_norm": "none", "activation": "relu", "position": "learned",
        "readout": "last",
    }  # fmt: skip
    net = Network(lambda: Transformer(**(fields | changes)), initializer(scheme))  # type: ignore[arg-type]
    return net.layout.unflatten(net.init(random.key(0, "init"), torch.float64)[0])


def assert_deviation(values: Tensor, expected: float) -> None:
    """Within five standard errors of a normal's standard deviation."""
    assert abs(values.std() / expected - 1) < 5 / math.sqrt(2 * values.numel())


def test_nandas_weights_have_variance_one_over_width_or_classes() -> None:
    p = drawn_transformer("nanda")
    for name, value in p.items():
        if name.endswith("bias"):
            assert (value == 0).all()
        else:
            assert_deviation(value, 1 / math.sqrt(200 if name.startswith("unembed") else 64))


def test_multihead_is_torchs_with_its_attention() -> None:
    p = drawn_transformer("multihead", attention_bias=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = nn.MultiheadAttention(64, 2)
    bound = theirs.in_proj_weight.abs().max()
    for part in ("query", "key", "value"):
        assert abs(p[f"block.0.{part}.weight"].abs().max() / bound - 1) < 0.01
        assert abs(p[f"block.0.{part}.weight"].std() / theirs.in_proj_weight.std() - 1) < 0.03
        assert (p[f"block.0.{part}.bias"] == 0).all()
    assert (theirs.in_proj_bias == 0).all() and (theirs.out_proj.bias == 0).all()
    assert abs(p["block.0.output.weight"].std() / theirs.out_proj.weight.std() - 1) < 0.03
    assert (p["block.0.output.bias"] == 0).all()
    plain = drawn_transformer("torch", attention_bias=True)
    for name, value in p.items():
        redrawn = any(part in name for part in (".query", ".key", ".value", "output.bias"))
        assert torch.equal(value, plain[name]) != redrawn


def test_normal_weights_have_variance_one() -> None:
    for name, value in drawn_transformer("normal").items():
        if name.endswith("bias"):
            assert (value == 0).all()
        else:
            assert_deviation(value, 1.0)


def test_init_scale_takes_biases_where_it_says_so() -> None:
    cases: tuple[tuple[Scaled, float], ...] = (("weights", 1.0), ("all", 4.0))
    for scaled, factor in cases:
        plain, large = resnet("torch"), resnet("torch", scale=4.0, init_scaled=scaled)
        assert torch.equal(large["linear.bias"], factor * plain["linear.bias"])
        assert torch.equal(large["linear.weight"], 4 * plain["linear.weight"])
