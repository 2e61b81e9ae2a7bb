"""Six tiny networks whose anatomy is known, one for each way in which real networks differ.

Untrained, seeded, plain modules without hints. They test what reads a network rather than what it
has learned: re-used in-place activations, prefix tokens on a grid that is not square, channels
last, two streams, exits at two depths, attention pooling.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network.tracing.layouts import Layout


@dataclass(frozen=True, kw_only=True)
class Miniature:
    """How to make a tiny network, the (row, col) of its pictures, and what is true of it.

    layer, layout, head: what `anatomy.study` should find. Three channels; natural is normalised.
    """

    make: Callable[[], nn.Module]
    size: tuple[int, int]
    layer: str
    layout: Layout
    head: str

    def __call__(self) -> nn.Module:
        """The network, in evaluation mode; the same weights each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make().eval()


class PooledCNN(nn.Module):
    """Three convolutions and one in-place ReLU called three times; average, then linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.third = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.second(self.relu(self.first(images))))
        maps = self.relu(maps + self.norm(self.third(maps)))
        return self.head(maps.mean((2, 3)))


class Attention(nn.Module):
    """Self-attention of tokens; `fused` hides its weights in one operation."""

    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.inner = nn.Linear(width, 3 * width)
        self.outer = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.inner(tokens).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
        return self.outer(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, fused)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class TokenNet(nn.Module):
    """A pre-norm transformer that reads a class token; three registers follow it, grid 4x6."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, stride=8)
        self.prefix = nn.Parameter(0.02 * torch.randn(1, 4, 24, dtype=torch.float32, device="cpu"))
        self.place = nn.Parameter(0.02 * torch.randn(1, 28, 24, dtype=torch.float32, device="cpu"))
        self.blocks = nn.Sequential(*[Block(24, fused=True) for _ in range(3)])
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(tokens), -1, -1), tokens], 1) + self.place
        return self.head(self.norm(self.blocks(tokens))[:, 0])


class Windows(nn.Module):
    """A transformer block inside 4x4 windows of maps (batch, row, col, filter)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = Block(width, fused=False)

    def forward(self, maps: Tensor) -> Tensor:
        batch, rows, cols, width = maps.shape
        tiles = maps.view(batch, rows // 4, 4, cols // 4, 4, width).transpose(2, 3)
        tiles = self.block(tiles.reshape(-1, 16, width)).view(tiles.shape)
        return tiles.transpose(2, 3).reshape(maps.shape)


class Merging(nn.Module):
    """Four neighbouring places become one of twice the width, channels last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * width, 2 * width)

    def forward(self, maps: Tensor) -> Tensor:
        parts = [maps[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return self.linear(torch.cat(parts, -1))


class ChannelsLast(nn.Module):
    """A hierarchical window transformer that keeps channels last; average, then linear."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, stride=4)
        self.stages = nn.Sequential(Windows(12), Merging(12), Windows(24))
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages(self.patches(images).permute(0, 2, 3, 1))
        return self.head(self.norm(maps).mean((1, 2)))


class Streams(nn.Module):
    """Fine and coarse maps, each made from both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.coarse = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        coarse = F.relu(self.coarse(maps))
        up = F.interpolate(coarse, scale_factor=2, mode="nearest")
        return F.relu(self.fine(maps) + up), coarse


class TwoStreams(nn.Module):
    """Two grids at once; no single layer carries all evidence, a pair does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
        self.streams = Streams(8)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        fine, coarse = self.streams(self.stem(images))
        return self.head(torch.cat([fine.mean((2, 3)), coarse.mean((2, 3))], 1))


class TwoExits(nn.Module):
    """Each stage has a classifier of its own and the scores are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU())
        self.early_head = nn.Linear(8, 5)
        self.late_head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        early = self.early(images)
        late = self.late(early)
        return self.early_head(early.mean((2, 3))) + self.late_head(late.mean((2, 3)))


class Pooling(nn.Module):
    """One learned question attends over all places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.question = nn.Parameter(torch.randn(1, 1, width, dtype=torch.float32, device="cpu"))
        self.keys = nn.Linear(width, width)
        self.values = nn.Linear(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = maps.flatten(2).transpose(1, 2)
        weights = (self.question @ self.keys(tokens).transpose(1, 2)).softmax(-1)
        return (weights @ self.values(tokens))[:, 0]


class AttentionPooled(nn.Module):
    """Convolutions whose places are weighed by attention before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.pool = Pooling(16)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(self.features(images)))


MINIATURES: dict[str, Miniature] = {
    "pooled-cnn": Miniature(
        make=PooledCNN,
        size=(32, 32),
        layer="relu:2",
        layout=Layout("nchw", (8, 8)),
        head="pooled-linear",
    ),
    "token-net": Miniature(
        make=TokenNet,
        size=(32, 48),
        layer="blocks.1",
        layout=Layout("tokens", (4, 6), 4),
        head="class-token",
    ),
    "channels-last": Miniature(
        make=ChannelsLast,
        size=(32, 32),
        layer="norm",
        layout=Layout("nhwc", (4, 4)),
        head="pooled-linear",
    ),
    "two-streams": Miniature(
        make=TwoStreams,
        size=(32, 32),
        layer="streams[0]",
        layout=Layout("nchw", (8, 8)),
        head="pooled-linear",
    ),
    "two-exits": Miniature(
        make=TwoExits,
        size=(32, 32),
        layer="late",
        layout=Layout("nchw", (4, 4)),
        head="pooled-linear",
    ),
    "attention-pooled": Miniature(
        make=AttentionPooled,
        size=(24, 32),
        layer="features",
        layout=Layout("nchw", (6, 8)),
        head="attention-pool",
    ),
}
"""The tiny networks by name; call one to make it."""
