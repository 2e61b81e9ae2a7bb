"""Baselines: maps that ignore the network, with which a metric's number is compared."""

import torch

from ..shapes import Heat, Images
from .blur import gaussian_blur
from .noise import generator
from .resize import resize

UNIFORM = "uniform map"
NULLS = ("random", "centred blob", "edge map", UNIFORM)


def reference(name: str, images: Images, seed: int = 0) -> Heat:
    """A null map (batch, row, col) for `images`: `random` (smooth noise on a 7x7 grid), `centred
    blob`, `edge map`, `uniform map` (1 everywhere: it prefers no place)."""
    size = tuple(images.shape[-2:])
    if name == "random":
        drawn = torch.rand(
            (1, 1, 7, 7), generator=generator(seed, "null map"), dtype=torch.float32, device="cpu"
        )
        return resize(drawn, size)[:, 0].to(images).expand(len(images), -1, -1)
    if name == "centred blob":
        rows, cols = (torch.linspace(-1, 1, n, dtype=torch.float32, device="cpu") for n in size)
        blob = torch.exp(-(rows[:, None] ** 2 + cols[None] ** 2) / (2 * 0.5**2))
        return blob.to(images).expand(len(images), -1, -1)
    if name == UNIFORM:
        return torch.ones_like(images[:, 0])
    assert name == "edge map", name
    return edges(images)


def edges(images: Images) -> Heat:
    """Strength of the picture's own edges (batch, row, col): the gradient of its grey, slightly
    blurred."""
    grey = images.mean(1, keepdim=True)
    down = torch.diff(grey, dim=2, append=grey[:, :, -1:])
    right = torch.diff(grey, dim=3, append=grey[:, :, :, -1:])
    return gaussian_blur((down**2 + right**2).sqrt(), 5, 1.0)[:, 0]
