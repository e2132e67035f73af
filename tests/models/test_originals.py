"""Networks against the published ones, written here as their authors wrote them, in torch's own layers."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.models.initialization import initializer
from epochal.models.tokens.lstm import LSTM
from epochal.models.tokens.mlp import MLP
from epochal.models.tokens.transformer import Transformer, sinusoidal


def transformer(**changes: object) -> Network:
    fields: dict[str, object] = {
        "vocabulary": 11, "sequence_length": 4, "num_classes": 11, "width": 8, "depth": 2, "heads": 2,
        "mlp_ratio": 4.0, "layer_norm": "post", "activation": "relu", "position": "sinusoidal",
        "readout": "mean",
    }  # fmt: skip
    return Network(lambda: Transformer(**(fields | changes)), initializer("torch"))  # type: ignore[arg-type]


def tokens(count: int = 5, length: int = 4, vocabulary: int = 11) -> Tensor:
    return (random.uniform(random.key(1, "tokens"), (count, length), torch.float64) * vocabulary).long()


def drawn(net: Network, seed: int = 0) -> dict[str, Tensor]:
    """Generic numbers: norms and biases away from their starts."""
    flat, _ = net.init(random.key(seed, "init"), torch.float64)
    shift = random.normal(random.key(seed, "perturb"), flat.shape, torch.float64)
    return net.layout.unflatten(flat + 0.2 * shift)


def openai_body(p: dict[str, Tensor], x: Tensor, heads: int, depth: int) -> Tensor:
    """The decoder of openai/grok, head by head: post-norm, no biases, masked scores."""

    def norm(h: Tensor, name: str) -> Tensor:
        return F.layer_norm(h, h.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"])

    h = p["embed.weight"][x] + sinusoidal(x.shape[1], p["embed.weight"].shape[1], torch.float64, x.device)
    mask = torch.ones(x.shape[1], x.shape[1]).tril()
    for layer in range(depth):
        name = f"block.{layer}"
        results = []
        for head in range(heads):
            q, k, v = (
                h @ p[f"{name}.{part}.weight"].chunk(heads)[head].T for part in ("query", "key", "value")
            )
            scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(mask == 0, -math.inf)
            results.append(scores.softmax(-1) @ v)
        h = norm(h + torch.cat(results, -1) @ p[f"{name}.output.weight"].T, f"{name}.norm_attention")
        inner = torch.relu(h @ p[f"{name}.up.weight"].T) @ p[f"{name}.down.weight"].T
        h = norm(h + inner, f"{name}.norm_mlp")
    return h


def test_mimls_transformer_reads_the_mean_over_positions() -> None:
    net = transformer(mlp_bias=False)
    p, x = drawn(net), tokens()
    expected = openai_body(p, x, 2, 2).mean(-2) @ p["unembed.weight"].T
    torch.testing.assert_close(net(p, {}, x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_openais_transformer_reads_the_last_positions(length: int) -> None:
    net = transformer(mlp_bias=False, readout="last", answer_length=length)
    p, x = drawn(net), tokens()
    expected = (openai_body(p, x, 2, 2) @ p["unembed.weight"].T)[:, -length:]
    assert expected.shape == (5, length, 11)
    torch.testing.assert_close(
        net(p, {}, x), expected[:, 0] if length == 1 else expected, rtol=1e-11, atol=1e-11
    )


def test_the_mean_over_positions_is_one_answer() -> None:
    with pytest.raises(UserError, match="readout=mean gives one answer, the task asks for 2"):
        transformer(answer_length=2)


@pytest.mark.parametrize("length", [1, 3])
def test_grokfasts_decoder(length: int) -> None:
    """``x = ln(x); x = x + attention(x)``: the stream itself is normalised, unlike in ``pre``."""
    net = transformer(
        layer_norm="input", activation="gelu", position="learned", readout="last", attention_bias=True,
        answer_length=length,
    )  # fmt: skip
    p, x = drawn(net), tokens()
    h = (p["embed.weight"][x] + p["position.weight"]).transpose(0, 1)  # torch's attention wants [S, B, D]
    mask = torch.full((4, 4), -math.inf, dtype=torch.float64).triu(1)
    for layer in range(2):
        name = f"block.{layer}"
        own = {key.removeprefix(f"{name}."): value for key, value in p.items() if key.startswith(f"{name}.")}
        h = F.layer_norm(h, (8,), own["norm_attention.weight"], own["norm_attention.bias"])
        a, _ = F.multi_head_attention_forward(
            h, h, h, 8, 2,
            torch.cat([own[f"{part}.weight"] for part in ("query", "key", "value")]),
            torch.cat([own[f"{part}.bias"] for part in ("query", "key", "value")]),
            None, None, False, 0.0, own["output.weight"], own["output.bias"],
            attn_mask=mask, need_weights=False,
        )  # fmt: skip
        h = h + a
        inner = F.layer_norm(h, (8,), own["norm_mlp.weight"], own["norm_mlp.bias"])
        inner = F.gelu(inner @ own["up.weight"].T + own["up.bias"])
        h = h + inner @ own["down.weight"].T + own["down.bias"]
    h = F.layer_norm(h, (8,), p["norm.weight"], p["norm.bias"])
    expected = (h @ p["unembed.weight"].T).transpose(0, 1)[:, -length:]
    torch.testing.assert_close(
        net(p, {}, x), expected[:, 0] if length == 1 else expected, rtol=1e-11, atol=1e-11
    )


def test_nandas_transformer() -> None:
    """In his letters: d embedding, h of a head, i head, p and q positions, b equation, m neuron."""
    net = transformer(depth=1, layer_norm="none", position="learned", readout="last")
    p, x = drawn(net), tokens()
    h = p["embed.weight"][x] + p["position.weight"]
    own = {key.removeprefix("block.0."): value for key, value in p.items()}
    q, k, v = (
        torch.einsum("ihd,bpd->biph", own[f"{part}.weight"].reshape(2, 4, 8), h)
        for part in ("query", "key", "value")
    )
    scores = torch.einsum("biph,biqh->biqp", k, q)
    scores = scores.tril() - 1e10 * (1 - torch.ones(4, 4, dtype=torch.float64).tril())
    z = torch.einsum("biph,biqp->biqh", v, (scores / 2.0).softmax(-1))
    h = h + torch.einsum("df,bqf->bqd", own["output.weight"], z.transpose(1, 2).flatten(-2))
    neurons = torch.relu(torch.einsum("md,bpd->bpm", own["up.weight"], h) + own["up.bias"])
    h = h + torch.einsum("dm,bpm->bpd", own["down.weight"], neurons) + own["down.bias"]
    torch.testing.assert_close(net(p, {}, x), h[:, -1] @ p["unembed.weight"].T, rtol=1e-11, atol=1e-11)


def test_dropout_of_the_mlp_only_touches_what_the_mlp_adds() -> None:
    """With a silent MLP nothing is left to drop; with dropout everywhere there still is."""
    key = random.key(0, "dropout")
    for where, changes in (("mlp", False), ("all", True)):
        net = transformer(dropout=0.5, dropout_at=where)
        p, x = drawn(net), tokens()
        trained = net(p, {}, x, Tap(training=True, key=key))
        assert not torch.allclose(trained, net(p, {}, x))
        silent = {name: value * 0 if ".down" in name else value for name, value in p.items()}
        trained = net(silent, {}, x, Tap(training=True, key=key))
        assert torch.allclose(trained, net(silent, {}, x), rtol=1e-12) != changes


def test_mimls_lstm_is_torchs_on_one_hot_vectors() -> None:
    net = Network(
        lambda: LSTM(vocabulary=7, num_classes=7, width=8, depth=2, embedding="onehot", readout_bias=True),
        initializer("torch"),
    )
    p, x = drawn(net), tokens(vocabulary=7)
    with torch.device("meta"):
        theirs = nn.LSTM(7, 8, num_layers=2, batch_first=True, dtype=torch.float64)
    names = {"weight_ih": "input.weight", "weight_hh": "recurrent.weight", "bias_ih": "input.bias",
             "bias_hh": "recurrent.bias"}  # fmt: skip
    values = {
        f"{torchs}_l{layer}": p[f"layer.{layer}.{ours}"] for torchs, ours in names.items() for layer in (0, 1)
    }
    values["weight_ih_l0"] = values["weight_ih_l0"].T.contiguous()
    theirs.load_state_dict(values, assign=True)
    states, _ = theirs(F.one_hot(x, 7).double())
    readout = F.linear(states, p["unembed.weight"], p["unembed.bias"])
    torch.testing.assert_close(net(p, {}, x), readout[:, -1], rtol=1e-11, atol=1e-11)
    several = Network(
        lambda: LSTM(
            vocabulary=7, num_classes=7, width=8, depth=2, embedding="onehot", readout_bias=True,
            answer_length=3,
        ),
        initializer("torch"),
    )  # fmt: skip
    torch.testing.assert_close(several(p, {}, x), readout[:, -3:], rtol=1e-11, atol=1e-11)


def test_the_lstm_on_one_hot_vectors_starts_like_torchs() -> None:
    """torch draws by the width: a bound of 1 / sqrt(64), not of 1 / sqrt(9) for nine tokens."""
    net = Network(
        lambda: LSTM(vocabulary=9, num_classes=9, width=64, depth=1, embedding="onehot"), initializer("torch")
    )
    p = net.layout.unflatten(net.init(random.key(0, "init"), torch.float64)[0])
    for name in ("layer.0.input.weight", "layer.0.input.bias", "layer.0.recurrent.weight"):
        assert 0.95 / 8 < p[name].abs().max() <= 1 / 8, name


@pytest.mark.parametrize("answer_length", [1, 2])
def test_mimls_mlp_is_the_dense_product_with_one_hot_vectors(answer_length: int) -> None:
    net = Network(
        lambda: MLP(
            vocabulary=7, sequence_length=3, num_classes=5, width=6, depth=2, readout_bias=True,
            answer_length=answer_length,
        ),
        initializer("torch"),
    )  # fmt: skip
    p, x = drawn(net), tokens(length=3, vocabulary=7)
    h = F.one_hot(x, 7).double().flatten(1) @ p["layer.0.weight"]
    h = torch.relu(torch.relu(h + p["layer.0.bias"]) @ p["layer.1.weight"].T + p["layer.1.bias"])
    expected = h @ p["readout.weight"].T + p["readout.bias"]
    expected = expected if answer_length == 1 else expected.reshape(5, 2, 5)
    torch.testing.assert_close(net(p, {}, x), expected, rtol=1e-11, atol=1e-11)


def test_an_mlp_on_learned_embeddings_is_one_on_one_hot_vectors_with_folded_weights() -> None:
    build = {"vocabulary": 7, "sequence_length": 2, "num_classes": 5, "width": 6, "depth": 1}
    learned = Network(lambda: MLP(**build, embedding="learned"), initializer("torch"))  # type: ignore[arg-type]
    onehot = Network(lambda: MLP(**build), initializer("torch"))  # type: ignore[arg-type]
    p, x = drawn(learned), tokens(length=2, vocabulary=7)
    folded = [p["embed.weight"] @ part.T for part in p["layer.0.weight"].chunk(2, dim=1)]
    q = {**p, "layer.0.weight": torch.cat(folded)}
    torch.testing.assert_close(learned(p, {}, x), onehot(q, {}, x), rtol=1e-11, atol=1e-11)


def quadratic(modulus: int, width: int) -> Network:
    return Network(
        lambda: MLP(
            vocabulary=modulus, sequence_length=2, num_classes=modulus, width=width, depth=1,
            activation="quadratic", mlp_bias=False, parametrization="mean_field",
        ),
        initializer("normal"),
    )  # fmt: skip


def closed_form(modulus: int, width: int, seed: int, *, phases: float = 1.0) -> dict[str, Tensor]:
    """Gromov 2023, equations 6, 7 and 12: cosines of one frequency per neuron, with phi_a + phi_b = phi_c.

    The amplitude (2 D)^(1/3), D = 2 p, makes the output of the right answer 1 on average. ``phases`` other
    than 1 breaks the condition.
    """
    n = torch.arange(modulus, dtype=torch.float64)
    frequency = (1 + torch.arange(width) % ((modulus - 1) // 2)).double() * 2 * math.pi / modulus
    key = random.key(seed, "phases")
    a, b = 2 * math.pi * random.uniform(key, (2, width), torch.float64)
    amplitude = (4 * modulus) ** (1 / 3)
    first = [torch.cos(n[:, None] * frequency + phase) for phase in (a, b)]
    readout = torch.cos(-n[:, None] * frequency - phases * (a + b))
    return {"layer.0.weight": amplitude * torch.cat(first), "readout.weight": amplitude * readout}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gromovs_weights_answer_every_sum(seed: int) -> None:
    p, width = 97, 500
    net = quadratic(p, width)
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    truth = pairs.sum(1) % p
    logits = net(closed_form(p, width, seed), {}, pairs)
    assert (logits.argmax(-1) == truth).all()
    # (cos a + cos b)^2 holds cos(a + b) once; times the read-out's it averages to 1 / 2: amplitude^3 / (2 D)
    # = 1.
    assert abs(logits.gather(1, truth[:, None]).mean() - 1) < 0.05
    wrong = net(closed_form(p, width, seed, phases=0.0), {}, pairs)
    assert (wrong.argmax(-1) == truth).double().mean() < 0.1


def test_gromovs_network_in_his_equations_and_at_its_start() -> None:
    p, width = 97, 500
    net = quadratic(p, width)
    assert net.layout.size == 145_500
    flat, _ = net.init(random.key(0, "init"), torch.float64)
    values = net.layout.unflatten(flat)
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    x = F.one_hot(pairs, p).double().flatten(1)
    expected = (x @ values["layer.0.weight"]).square() @ values["readout.weight"].T / (2 * p * width)
    logits = net(values, {}, pairs)
    torch.testing.assert_close(logits, expected, rtol=1e-11, atol=1e-11)
    # Weights of order 1 under his scales give logits near 0: the loss starts at 1 / p.
    truth = F.one_hot(pairs.sum(1) % p, p).double()
    assert abs((logits - truth).square().mean() * p - 1) < 0.01
    assert abs(flat.square().mean() - 1) < 0.02
