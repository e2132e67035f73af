"""The published MIML run as one writes it in plain PyTorch; imports nothing of epochal.

``preset=miml``: the transformer with 455,424 parameters, batches of 512 with the remainder, AdamW, a rate
that rises over 10 updates, both sets evaluated in full now and then.
"""

import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODULUS = 97
VOCABULARY, WIDTH, HEADS, DEPTH, POSITIONS = 239, 128, 4, 2, 2


class PlainBlock(nn.Module):
    """Post-norm, no biases, heads as one matrix each, torch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (
            nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)
        )
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        )
        self.dropout = nn.Dropout(0.1)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = (
            layer(h).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
        h = self.norm_attention(h + self.output(mixed))
        out: Tensor = self.norm_mlp(h + self.dropout(self.mlp(h)))
        return out


class PlainTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.register_buffer("position", _positions())
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(DEPTH)))
        self.unembed = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.unembed(self.blocks(self.embed(tokens) + self.position).mean(1))
        return logits


def train_plain(
    sets: dict[str, tuple[Tensor, Tensor]], steps: int, every: int, log: Path, seed: int = 0
) -> None:
    """A loop as one writes it: an ``nn.Module``, slices of a permutation as batches,
    ``torch.optim.AdamW``."""
    torch.manual_seed(seed)
    model = PlainTransformer()
    assert sum(p.numel() for p in model.parameters()) == 455_424
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 10, 1.0))
    step = 0

    def evaluate() -> None:
        model.eval()
        with torch.no_grad():
            line: dict[str, float] = {"step": step}
            for split, (inputs, targets) in sets.items():
                logits = model(inputs)
                line[f"{split}_loss"] = F.cross_entropy(logits, targets).item()
                line[f"{split}_accuracy"] = (logits.argmax(-1) == targets).float().mean().item()
            line["norm"] = math.sqrt(sum(p.square().sum().item() for p in model.parameters()))
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        model.train()

    inputs, targets = sets["train"]
    evaluate()
    while step < steps:
        for batch in torch.randperm(len(targets)).split(512):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step += 1
            if step % every == 0 or step == steps:
                evaluate()
            if step == steps:
                return


def table(fraction: float) -> dict[str, tuple[Tensor, Tensor]]:
    """Operands and sums modulo 97, cut once for all seeds."""
    pairs = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS))
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))
    train, val = order[: (cut := round(fraction * len(pairs)))], order[cut:]
    return {name: (pairs[of], pairs[of].sum(1) % MODULUS) for name, of in (("train", train), ("val", val))}


def _positions() -> Tensor:
    rows = [
        [
            math.sin(p / 10_000 ** (i / WIDTH)) if i % 2 == 0 else math.cos(p / 10_000 ** ((i - 1) / WIDTH))
            for i in range(WIDTH)
        ]
        for p in range(POSITIONS)
    ]
    return torch.tensor(rows)


if __name__ == "__main__":
    fraction, run_seed, updates, curve = sys.argv[1:]
    train_plain(table(float(fraction)), int(updates), int(updates), Path(curve), int(run_seed))
