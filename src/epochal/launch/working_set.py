"""How many members of a pack fit into a processor's caches together."""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from epochal.core.tensors.rule import has_memory
from epochal.core.values.spec import Spec
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import Experiment
from epochal.rules.backprop import Backprop

CACHE_BYTES = 48 << 20
"""What members may keep from a forward pass for its backward pass and still gain from being batched.

A constant, not this machine's cache: packs decide bits, and a request should have the same packs everywhere.
At width 128 and batch 512 (5.3 MB each) 8 members gained a tenth and 64 lost three tenths; at width 64 and
batch 256 (1.4 MB) 64 doubled their speed (bench/results/populations.md).
"""

FEWEST = 8
"""So many members lose nothing, however large they are: each operation is dispatched once for all of them."""

LARGEST_BATCHED = 12 << 20
"""Members that keep more than this gain nothing from being batched, and few of them lose.

With 16, 31 and 36 MB each (presets miml, openai, nanda) three took 1.2 times as long per member under vmap as
in turn, eight of 16 MB as long; five of 4 MB (preset demo) took .9 times as long.
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One member's update: bytes kept for the backward pass, seconds, and where it was computed."""

    bytes: int
    seconds: float
    device: torch.device

    @property
    def is_large(self) -> bool:
        """Whether batching such members gains nothing."""
        return self.device.type == "cpu" and self.bytes > LARGEST_BATCHED

    @property
    def most_members(self) -> int:
        """Of a batched pack; 0 where the caches set no limit: a GPU has bandwidth instead of them."""
        if self.device.type != "cpu":
            return 0
        return max(FEWEST, CACHE_BYTES // max(self.bytes, 1))


def try_alone(experiment: Experiment, member: Spec) -> Trial:
    """Counts one update of a throwaway member and times another."""
    program: Program = replace(experiment.build((member,)), executor="loop", is_compiled=False)
    kept = bytes_kept(program)
    population, stepper = initial_population(program), Stepper(program)
    stepper.update(population)
    start = time.perf_counter()
    stepper.update(population)
    if program.device.type == "cuda":
        torch.cuda.synchronize(program.device)
    return Trial(bytes=kept, seconds=time.perf_counter() - start, device=program.device)


def bytes_kept(program: Program) -> int:
    """What one update of a program keeps from the forward for the backward pass.

    Of a rule with feedback it is what backpropagation keeps, which is as much: torch.func, with which such a
    rule takes the error at the logits, allows no hooks.
    """
    rule = Backprop() if has_memory(program.rule) else program.rule
    counted = replace(program, rule=rule, executor="loop", is_compiled=False)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()  # views of one activation share it
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    population, stepper = initial_population(counted), Stepper(counted)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        stepper.update(population)
    return sum(kept.values())
