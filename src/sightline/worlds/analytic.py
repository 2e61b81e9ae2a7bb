"""Networks of a few weights whose right explanation is known, to test explainers with.

Each function returns a `Known`, which unpacks into model, images and target; where one map is right
for every additive method, `expected` holds it. Write a method, then:

model, images, target = analytic.fitting("my-method", batch=4)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NotExplainable
from ..model import Model
from ..ops.noise import generator
from ..registry import create
from ..target import Class, Target


@dataclass(frozen=True, eq=False)
class Known:
    """A model with pictures, a target, and the map that is right: (batch, row, col), or None."""

    model: Model
    images: Tensor
    target: Target
    expected: Tensor | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.images, self.target))


def _pictures(batch: int, channels: int, row: int, col: int, seed: int) -> Tensor:
    """Positive noise, in [0.05, 1]."""
    drawn = torch.rand(
        (batch, channels, row, col),
        generator=generator(seed, "pictures"),
        dtype=torch.float32,
        device="cpu",
    )
    return 0.05 + 0.95 * drawn


class _Linear(nn.Module):
    def __init__(self, classes: int, channels: int, row: int, col: int) -> None:
        super().__init__()
        drawn = torch.randn(
            (classes, channels, row, col),
            generator=generator(0, "linear"),
            dtype=torch.float32,
            device="cpu",
        )
        self.weight = nn.Parameter(drawn)

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("bcij,kcij->bk", images, self.weight)


def linear(
    batch: int = 2, row: int = 6, col: int = 7, *, channels: int = 3, target: int = 1
) -> Known:
    """Logit of class k is the sum of `weight[k]` times the picture; expected is each pixel's own
    product.
    """
    net = _Linear(3, channels, row, col)
    images = _pictures(batch, channels, row, col, 1)
    expected = (net.weight[target].detach() * images).sum(1)
    return Known(Model(net, size=(row, col)), images, Class(target), expected)


class _PooledHead(nn.Module):
    """The layer `maps` is the picture (which is positive) and one dead filter, as real networks
    have them.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        channels = weight.shape[1]
        self.copy = nn.Conv2d(channels, channels + 1, 1, bias=False)
        self.maps = nn.ReLU()
        self.weight = nn.Parameter(weight)
        with torch.no_grad():
            self.copy.weight.copy_(
                torch.eye(channels + 1, dtype=torch.float32, device="cpu")[:, :channels, None, None]
            )

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.maps(self.copy(images)).mean((2, 3))
        return pooled[:, :-1] @ self.weight.T


def pooled_head(
    batch: int = 2, row: int = 5, col: int = 5, *, channels: int = 3, target: int = 1
) -> Known:
    """Global average of the layer `maps`, then one linear layer; weights and pictures are positive.

    expected is the class map over the area, sum over k of weight[target, k] * picture[k] / (row *
    col).
    """
    net = _PooledHead(
        0.1
        + torch.rand(
            (5, channels), generator=generator(0, "pooled head"), dtype=torch.float32, device="cpu"
        )
    )
    images = _pictures(batch, channels, row, col, 2)
    weight = net.weight[target].detach()
    expected = torch.einsum("k,bkij->bij", weight, images) / (row * col)
    return Known(Model(net, size=(row, col)), images, Class(target), expected)


def symmetric_classes(batch: int = 2, row: int = 5, col: int = 5) -> Known:
    """Two classes with opposite weights: evidence for one is equal evidence against the other."""
    half = torch.randn(
        (1, 3), generator=generator(0, "symmetric"), dtype=torch.float32, device="cpu"
    )
    net = _PooledHead(torch.cat([half, -half]))
    images = _pictures(batch, 3, row, col, 3)
    expected = torch.einsum("k,bkij->bij", half[0], images) / (row * col)
    return Known(Model(net, size=(row, col)), images, Class(0), expected)


class _TwoPaths(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        first, second = images[:, 0, 1, 1], images[:, 0, -2, -2]
        either = 1 - torch.relu(1 - first - second)
        return torch.stack([either, torch.relu(first + second - 1)], 1)


def two_paths(batch: int = 1, row: int = 6, col: int = 6, *, target: int = 0) -> Known:
    """Class 0 is OR and class 1 is AND of two pixels, (1, 1) and (-2, -2); both are 1 and the rest
    is 0.

    By symmetry each pixel is worth a half, which is expected. Looked at singly, hiding one pixel
    changes OR not at all and AND altogether; the gradient of OR is 0.
    """
    images = torch.zeros(batch, 1, row, col, dtype=torch.float32, device="cpu")
    images[:, :, 1, 1] = images[:, :, -2, -2] = 1
    return Known(Model(_TwoPaths(), size=(row, col)), images, Class(target), images[:, 0] / 2)


class _Finder(nn.Module):
    def __init__(self, pattern: Tensor) -> None:
        super().__init__()
        self.match = nn.Conv2d(1, 1, pattern.shape[-1], padding=pattern.shape[-1] // 2, bias=False)
        self.maps = nn.ReLU()
        self.enough = 0.6 * float(pattern.clamp(min=0).sum())
        with torch.no_grad():
            self.match.weight.copy_(pattern)

    def forward(self, images: Tensor) -> Tensor:
        found = self.maps(self.match(images) - self.enough).sum((2, 3))
        return torch.cat([found, -found], 1)


def planted_patch(batch: int = 2, row: int = 16, col: int = 16) -> Known:
    """A network that answers to one 3 x 3 pattern, planted once in faint noise; expected is 1 on
    it, 0 elsewhere.
    """
    pattern = torch.tensor(
        [[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]], dtype=torch.float32, device="cpu"
    )[None, None]
    images = 0.1 * torch.rand(
        (batch, 1, row, col), generator=generator(0, "planted"), dtype=torch.float32, device="cpu"
    )
    expected = torch.zeros(batch, row, col, dtype=torch.float32, device="cpu")
    for i in range(batch):
        top, left = 2 + (3 * i) % (row - 5), 3 + (5 * i) % (col - 6)
        images[i, 0, top : top + 3, left : left + 3] = pattern[0, 0].clamp(min=0)
        expected[i, top : top + 3, left : left + 3] = 1
    return Known(Model(_Finder(pattern), size=(row, col)), images, Class(0), expected)


class _Blind(nn.Module):
    seen: Tensor

    def __init__(self, seen: Tensor) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.maps = nn.Conv2d(3, 6, 3, padding=1)
            self.head = nn.Linear(6, 3)
        self.register_buffer("seen", seen)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.tanh(self.maps(images * self.seen))
        return self.head(maps.mean((2, 3)))


def dead_pixel(batch: int = 2, row: int = 8, col: int = 9) -> Known:
    """A small smooth network that never sees the top left quarter; expected is 1 where it looks."""
    seen = torch.ones(row, col, dtype=torch.float32, device="cpu")
    seen[: row // 2, : col // 2] = 0
    images = _pictures(batch, 3, row, col, 4)
    model = Model(_Blind(seen), size=(row, col))
    return Known(model, images, Class(2), seen.expand(batch, -1, -1))


class _AttendingNetwork(nn.Module):
    def __init__(self, row: int, col: int) -> None:
        super().__init__()
        width = 8
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embed = nn.Conv2d(3, width, 2, stride=2)
            self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
            self.place = nn.Parameter(
                torch.randn(1, 1 + row * col // 4, width, dtype=torch.float32, device="cpu") * 0.3
            )
            self.token = nn.Parameter(torch.randn(1, 1, width, dtype=torch.float32, device="cpu"))
            self.head = nn.Linear(width, 3)
        self.attention = nn.ModuleList(nn.Softmax(-1) for _ in range(2))
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1) + self.place
        for qkv, attend, block in zip(self.qkv, self.attention, self.blocks, strict=True):
            q, k, v = (part.unflatten(2, (2, -1)).transpose(1, 2) for part in qkv(x).chunk(3, 2))
            weights = attend(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5)
            x = block(x + (weights @ v).transpose(1, 2).flatten(2))
        return self.head(x[:, 0])


def attending(batch: int = 2, row: int = 10, col: int = 12) -> Known:
    """Two layers of plain attention over a class token and patches of 2 x 2 pixels; two heads, no
    other mixing.
    """
    images = _pictures(batch, 3, row, col, 5)
    return Known(Model(_AttendingNetwork(row, col), size=(row, col)), images, Class(1))


NETWORKS: tuple[Callable[..., Known], ...] = (
    pooled_head,
    dead_pixel,
    linear,
    planted_patch,
    symmetric_classes,
    two_paths,
    attending,
)


def fitting(name: str, batch: int = 2) -> Known:
    """The first of these networks that the explainer called `name` accepts.

    Raises: NotExplainable, with each network's reason, where it accepts none.
    """
    method, reasons = create("explainer", name), []
    for network in NETWORKS:
        known = network(batch=batch)
        try:
            method(known.model, known.images[:1], known.target)
        except NotExplainable as reason:
            reasons.append(f"{network.__name__}: {reason}")
            continue
        return known
    raise NotExplainable(f"{name} accepts none of the analytic networks. " + " ".join(reasons))
