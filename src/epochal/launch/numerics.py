"""Settings of torch and of memory that hold for a whole process, while a request is executed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from epochal.core.values.spec import Spec
from epochal.launch.heap import kept_heap


@contextmanager
def steady(threads: int | None) -> Iterator[None]:
    """So many threads, or as many as there are: the same sums in the same order. Freed memory is kept."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with kept_heap():
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def numerics(spec: Spec) -> Iterator[None]:
    """Threads, and what CUDA may do: tf32 only where ``precision=tf32`` asks for it, and the same bits twice.

    On other devices tf32 computes as float32. Everything is put back afterwards.
    """
    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    before = (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    is_tf32 = spec.precision == "tf32"
    torch.set_float32_matmul_precision("high" if is_tf32 else "highest")
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = is_tf32, False, True
    try:
        with steady(spec.threads):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
