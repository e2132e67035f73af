"""Settings of torch and of memory that hold for a whole process, while a request is executed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from epochal.core.values.spec import Spec
from epochal.launch.heap import kept_heap


@contextmanager
def numerics(spec: Spec) -> Iterator[None]:
    """Threads, and what CUDA may do: tf32 only where ``precision=tf32`` asks for it, and the same bits twice.

    On other devices tf32 computes as float32. Everything is put back afterwards.
    """
    threads = torch.get_num_threads()
    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    before = (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    is_tf32 = spec.precision == "tf32"
    torch.set_num_threads(spec.threads or threads)
    torch.set_float32_matmul_precision("high" if is_tf32 else "highest")
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = is_tf32, False, True
    try:
        with kept_heap():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
