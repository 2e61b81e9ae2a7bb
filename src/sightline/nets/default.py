"""The networks that come with the package: small, trained on the aviary, readable in one sitting.

`default` and `clever-hans` are one residual network (He et al., CVPR 2016), pooled linear head;
`default-vit` is a vision transformer (Dosovitskiy et al., ICLR 2021) on the early maps of
`default`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnknownName, near

NAMES = ("default", "clever-hans", "default-vit")
WIDTHS = (40, 80, 144)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, then ReLU."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.relu2 = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride > 1 or before != after:
            pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(
                pool, nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(maps)))))
        return self.relu2(inner + self.shortcut(maps))


def _stem() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU())


class SmallResNet(nn.Module):
    """Residual network of stride 8: 128 px in, maps of 16 x 16 before the pool, one linear head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = _stem()
        self.stage1 = nn.Sequential(Residual(24, first, 2))
        self.stage2 = nn.Sequential(Residual(first, second, 2), Residual(second, second))
        self.stage3 = nn.Sequential(Residual(second, third), Residual(third, third))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(third, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stage3(self.stage2(self.stage1(self.stem(images))))
        return self.head(self.pool(maps).flatten(1))


class TokenAttention(nn.Module):
    """Softmax attention of several heads, through torch's fused function."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))


class TokenBlock(nn.Module):
    """Attention, then a two-layer perceptron, each beside a shortcut and after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = TokenAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class TinyViT(nn.Module):
    """Vision transformer with a class token on early maps: 128 px in, 8 x 8 tokens of stride 16.

    `stem`, `stage1` and `stage2` see 41 px around each token and are those of `SmallResNet`.
    """

    def __init__(self, classes: int, width: int = 128, depth: int = 6, heads: int = 4) -> None:
        super().__init__()
        self.stem = _stem()
        self.stage1 = nn.Sequential(Residual(24, WIDTHS[0], 2))
        self.stage2 = nn.Sequential(Residual(WIDTHS[0], WIDTHS[1], 2))
        self.patch_embed = nn.Conv2d(WIDTHS[1], width, 2, 2)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width, dtype=torch.float32, device="cpu"))
        self.pos_embed = nn.Parameter(torch.zeros(1, 65, width, dtype=torch.float32, device="cpu"))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.blocks = nn.Sequential(*(TokenBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patch_embed(self.stage2(self.stage1(self.stem(images))))
        patches = maps.flatten(2).transpose(1, 2)
        tokens = (
            torch.cat([self.cls_token.expand(len(images), -1, -1), patches], 1) + self.pos_embed
        )
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def build(name: str, classes: int) -> nn.Module:
    """The named network with fresh weights."""
    check_name(name)
    return TinyViT(classes) if name == "default-vit" else SmallResNet(classes)


def check_name(name: str) -> None:
    """Raises: UnknownName for a network that is not embedded."""
    if name not in NAMES:
        raise UnknownName(f"no embedded network named {name!r}{near(name, NAMES)}")
