"""How fast this machine runs a network: the best batch size, and whether bfloat16 pays."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .calling.failures import out_of_memory

BATCHES = (4, 16, 32)


@cache
def bfloat16_pays(device: str) -> bool:
    """Whether a 512-cubed product is faster in bfloat16 than in float32; asked once per process."""
    spent = []
    for dtype in (torch.bfloat16, torch.float32):
        a = torch.ones(512, 512, device=device, dtype=dtype)
        spent.append(min(_seconds(lambda a=a: (a @ a)[0, 0].item(), device) for _ in range(6)))
    return spent[0] < 0.9 * spent[1]


def _seconds(work: Callable[[], Any], device: str) -> float:
    """CPU time on a CPU, where other processes spoil the wall clock; elsewhere the wall clock."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    work()
    return clock() - start


def measure_batch(
    run: Callable[[Tensor], Any], image_shape: tuple[int, ...], device: str = "cpu"
) -> int:
    """The batch size with the best throughput among 4, 16 and 32; a larger one must be 5 % better.

    run: images (n, *image_shape) -> scores. Costs 56 forwards: ask before thousands of them.
    """
    best, pace = 1, float("inf")
    run(torch.rand(BATCHES[0], *image_shape, device=device, dtype=torch.float32))
    for size in BATCHES:
        images = torch.rand(size, *image_shape, device=device, dtype=torch.float32)
        try:
            spent = _seconds(lambda images=images: run(images)[0].sum().item(), device) / size
        except (RuntimeError, MemoryError) as error:
            if best == 1 or not out_of_memory(error):
                raise
            break
        if spent > 0.95 * pace:
            break
        best, pace = size, spent
    return best
