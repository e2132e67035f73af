"""The LSTM against torch's own."""

import torch
from torch import nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Network
from epochal.models.initialization import initializer
from epochal.models.tokens.lstm import LSTM
from tests.engine.programs import program, trained

TOKENS = torch.tensor([[3, 1, 6, 2], [0, 5, 6, 6], [2, 2, 0, 1]])


def test_it_is_torchs_lstm_with_its_weights() -> None:
    net = Network(lambda: LSTM(vocabulary=7, num_classes=6, width=8, depth=2), initializer("torch"))
    flat, _ = net.init(random.key(0, "init"), torch.float64)
    p = net.layout.unflatten(flat)
    # On meta: building a module elsewhere would move the global generator.
    with torch.device("meta"):
        theirs = nn.LSTM(8, 8, num_layers=2, batch_first=True, dtype=torch.float64)
    names = {"weight_ih": "input.weight", "weight_hh": "recurrent.weight", "bias_ih": "input.bias",
             "bias_hh": "recurrent.bias"}  # fmt: skip
    values = {
        f"{torchs}_l{layer}": p[f"layer.{layer}.{ours}"] for torchs, ours in names.items() for layer in (0, 1)
    }
    theirs.load_state_dict(values, assign=True)
    states, _ = theirs(p["embed.weight"][TOKENS])
    torch.testing.assert_close(
        net(p, {}, TOKENS), states[:, -1] @ p["unembed.weight"].T, rtol=1e-12, atol=1e-13
    )


def test_a_population_of_lstms_learns_what_single_ones_learn() -> None:
    fields = {
        "model": "lstm",
        "width": 16,
        "batch_size": 16,
        "precision": "float64",
        "dropout": 0.1,
        "depth": 2,
    }
    pack, _ = trained(program(seed="0:3", **fields))
    alone, _ = trained(program(seed=1, **fields))
    torch.testing.assert_close(pack.flat[1], alone.flat[0], rtol=1e-9, atol=1e-11)
    assert not torch.equal(alone.flat[0], alone.initial[0])
