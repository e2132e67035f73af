"""A residual network on the 8 x 8 digits, at its start or trained by backpropagation or direct feedback."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

Array = np.ndarray
WIDTH, DEPTH, CLASSES, BATCH = 256, 4, 10, 128


class Residual(nn.Module):
    """Embedding, blocks h + W2 gelu(W1 norm(h)), norm, head; ``forward`` gives the logits and every h."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(64, WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
            for _ in range(DEPTH)
        )
        for block in self.blocks:
            nn.init.normal_(block[3].weight, std=0.01)
        self.top = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES))

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = [self.embed(inputs)]
        for block in self.blocks:
            hidden.append(hidden[-1] + block(hidden[-1]))
        return self.top(hidden[-1]), hidden


def trained(rule: str, steps: int, seed: int) -> tuple[Array, list[Array], list[Array]]:
    """Errors ``[n, C]`` and gradients ``[n, d]`` by site over all digits, and the feedback ``[d, C]``.

    DFA updates each block by the inner product of its output with B e, which is normalised per sample, and
    the top by its own gradient; ``rule="bp"`` has feedback too, which it never uses.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Residual()
        feedback = [torch.randn(WIDTH, CLASSES) / CLASSES**0.5 for _ in range(DEPTH)]
        digits = load_digits()
        inputs = torch.tensor(digits.data / 16 - 0.3, dtype=torch.float32)
        targets = torch.tensor(digits.target)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
        for _ in range(steps):
            index = torch.randint(len(inputs), (BATCH,))
            surrogate(net, rule, feedback, inputs[index], targets[index]).backward()
            optimizer.step()
            optimizer.zero_grad()
    net = net.double()
    logits, hidden = net(inputs.double())
    loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
    gradients = torch.autograd.grad(loss, hidden)
    errors = (logits.softmax(1) - nn.functional.one_hot(targets, CLASSES)).detach()
    return errors.numpy(), [g.numpy() for g in gradients], [b.double().numpy() for b in feedback]


def surrogate(net: Residual, rule: str, feedback: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    if rule == "bp":
        return nn.functional.cross_entropy(net(inputs)[0], targets)
    with torch.no_grad():
        logits, hidden = net(inputs)
        errors = logits.softmax(1) - nn.functional.one_hot(targets, CLASSES)
    total = nn.functional.cross_entropy(net.top(hidden[-1]), targets)
    for place, (part, given) in enumerate([(net.embed, inputs), *zip(net.blocks, hidden[:-1], strict=True)]):
        credit = errors @ feedback[max(place - 1, 0)].T
        credit = credit / (credit.pow(2).mean(1, keepdim=True).sqrt() + 1e-6)
        total = total + (part(given) * credit).sum(1).mean()
    return total
