"""Another processor, as far as this one can play it: other kernels, threads and rounding."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def without_onednn() -> Iterator[None]:
    """Convolutions and products by torch's own kernels, which add up in another order."""
    before = torch.backends.mkldnn.set_flags(_enabled=False)[0]
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rounded_otherwise(values: Tensor, share: float, seed: int = 5) -> Tensor:
    """The values, each off by about this share of itself."""
    drawn = torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))
    return values * (1 + share * drawn.to(values))
