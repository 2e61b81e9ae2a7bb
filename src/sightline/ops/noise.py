"""Random numbers that do not depend on the batch: one generator per image, from (seed, purpose)
alone."""

import zlib

import torch

from ..shapes import AnyTensor


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator started from `seed` and a word for what the numbers are for."""
    return torch.Generator().manual_seed((seed * 1_000_003 + zlib.crc32(purpose.encode())) % 2**63)


def normal(shape: tuple[int, ...], seed: int, purpose: str, like: AnyTensor) -> AnyTensor:
    """Standard normal numbers on the device and in the type of `like`; the same for every image."""
    drawn = torch.randn(
        shape, generator=generator(seed, purpose), dtype=torch.float32, device="cpu"
    )
    return drawn.to(device=like.device, dtype=like.dtype)
