"""The masking network: from a classifier's own maps to a mask of the evidence for one class.

Paper: Dabkowski and Gal, NIPS 2017, section 4: a frozen classifier as the encoder, up-blocks with
skips, a class selector at the coarsest maps, output at a quarter of the picture's side. Deviations:
the encoder is any classifier whose layers can be read, at the resolutions that it has, and the
network holds its own layers only; a resolution that the classifier lacks gets an up-block without a
skip; the default width is half the authors' code's 64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..artifact import Artifact, Tensors, filled
from ..errors import NotExplainable
from ..model import Model
from ..network.calling.modules import blank
from ..ops.resize import resize
from ..shapes import Classes, Images, Maps

EPSILON = 1e-6  # where both channels are 0 the mask is 0, not NaN
FLOOR = -30.0  # a gate of 1e-13 is shut; below, numbers so small are slow on CPUs
NEARLY = 0.8  # of the wanted grid is fine enough: 55 cells for 56 need no further block


@dataclass(frozen=True, kw_only=True)
class MaskingBlueprint:
    """The layers of a classifier that are read, and the widths of the up-blocks.

    layers: coarse to fine, the first carries the evidence; None stands for a resolution that the
    classifier does not have. widths, grids: filters and (row, col) of each. size: of the pictures
    that the grids belong to. base: filters of the last up-block. digest: of the classifier.
    """

    layers: tuple[str | None, ...]
    widths: tuple[int, ...]
    grids: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    classes: int
    base: int
    digest: str
    name: str = ""

    @classmethod
    def of(
        cls, model: Model, size: tuple[int, int] | None = None, base: int = 32, cell: int = 4
    ) -> "MaskingBlueprint":
        """The blueprint for a model, from its anatomy; cell: pixels of the picture per mask cell.

        Raises: NotExplainable where no layer can be read, or the output is no row of scores.
        """
        if not model.differentiable:
            raise NotExplainable(
                f"a masking network reads layers, which the black box {model.name} does not have."
            )
        frame: tuple[int, int] = size or model.size or (224, 224)
        known = model.study(frame)
        if known.n_classes < 2:
            raise NotExplainable(
                f"a masking network has one selector per class; {model.name} does not return"
                " class scores."
            )
        if known.spatial is None:
            raise NotExplainable(f"{model.name} has no spatial layer: {known.reason}")
        grids: dict[str, tuple[int, int]] = {}
        for name in (known.spatial, *known.candidates):
            grid = known.layouts[name].grid
            if grid is not None and grid not in grids.values():
                grids[name] = grid
        layers, steps = _climb(grids, frame, cell)
        read = tuple(name for name in layers if name)
        with torch.no_grad():
            maps = model.trace(
                torch.full((1, known.channels, *frame), 0.5, dtype=torch.float32, device="cpu"),
                read=read,
            ).maps
            widths = tuple(maps[name].shape[1] if name else 0 for name in layers)
        return cls(
            layers=layers,
            widths=widths,
            grids=steps,
            size=frame,
            classes=known.n_classes,
            base=base,
            digest=model.digest,
            name=model.name,
        )

    @property
    def model(self) -> str:
        """The classifier's name."""
        return self.name

    @property
    def read(self) -> tuple[str, ...]:
        """The layers that the classifier must show."""
        return tuple(name for name in self.layers if name)

    def maps(self, model: Model, images: Images) -> list[Float[Tensor, "batch _ _ _"]]:
        """The classifier's maps of these pictures, coarse to fine, without their graph."""
        found = model.trace(images, read=self.read).maps
        return [found[name].detach() for name in self.read]


def _climb(
    grids: dict[str, tuple[int, int]], size: tuple[int, int], cell: int
) -> tuple[tuple[str | None, ...], tuple[tuple[int, int], ...]]:
    """From the coarsest grid to cells of `cell` pixels, doubling, over the layers on the way."""
    (first, at), *finer = grids.items()
    layers: list[str | None] = [first]
    steps = [at]
    while at[0] * cell < NEARLY * size[0] and at[1] * cell < NEARLY * size[1]:
        wanted = (2 * at[0], 2 * at[1])
        fits = [(name, g) for name, g in finer if _alike(g[0], wanted[0], g[1], wanted[1])]
        layer, at = fits[0] if fits else (None, wanted)
        layers.append(layer)
        steps.append(at)
    return tuple(layers), tuple(steps)


def _alike(row: int, rows: int, col: int, cols: int) -> bool:
    return 0.75 < row / rows < 1.34 and 0.75 < col / cols < 1.34


class UpBlock(nn.Module):
    """Twice the resolution: sub-pixel convolution, then a bottleneck over it and the skip."""

    def __init__(self, before: int, skip: int, after: int) -> None:
        super().__init__()
        inner = max(1, after // 2)
        self.grow = nn.Sequential(
            nn.Conv2d(before, 4 * after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(4 * after),
            nn.ReLU(),
            nn.PixelShuffle(2),
        )
        self.narrow = nn.Sequential(
            nn.Conv2d(after + skip, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, 1, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.past = nn.Conv2d(after + skip, after, 1, bias=False)

    def forward(
        self, maps: Float[Tensor, "batch _ _ _"], skip: Float[Tensor, "batch _ _ _"] | None
    ) -> Float[Tensor, "batch _ _ _"]:
        maps = self.grow(maps)
        if skip is not None:
            maps = torch.cat([resize(maps, skip.shape[-2:]), skip], 1)
        return functional.relu(self.narrow(maps) + self.past(maps))


class MaskingNetwork(nn.Module):
    """A mask of the evidence for one class, from the classifier's maps.

    Do not trust it for a class or a kind of picture that its training did not hold.
    """

    def __init__(self, blueprint: MaskingBlueprint) -> None:
        super().__init__()
        self.blueprint = blueprint
        deepest, *skips = blueprint.widths
        self.embedding = nn.Parameter(
            torch.randn(blueprint.classes, deepest, dtype=torch.float32, device="cpu")
            * deepest**-0.5
        )
        after = [blueprint.base * 2**i for i in reversed(range(len(skips)))]
        before = [deepest, *after]
        rises = (UpBlock(*w) for w in zip(before[:-1], skips, after, strict=True))
        self.rises = nn.ModuleList(rises)
        self.last = nn.Conv2d(before[-1], 2, 1)

    def forward(
        self,
        maps: Sequence[Float[Tensor, "batch _ _ _"]],
        classes: Classes,
        confidence: float = 0.0,
    ) -> Float[Tensor, "batch 1 row col"]:
        """Masks (batch, 1, row, col) in [0, 1] for one class of each picture.

        maps: what `blueprint.maps` returned. confidence: evidence a place must show to be let in.
        """
        found, *skips = maps
        doubt = (self.evidence(found, classes) - confidence).clamp(min=FLOOR)
        found = found * torch.sigmoid(doubt)[:, None]
        rest = iter(skips)
        for rise, layer in zip(self.rises, self.blueprint.layers[1:], strict=True):
            found = rise(found, next(rest) if layer else None)
        return share(self.last(found).float(), EPSILON)

    def evidence(self, deepest: Maps, classes: Classes) -> Float[Tensor, "batch mrow mcol"]:
        """How much each place (batch, row, col) of the coarsest maps is like the class."""
        chosen = self.embedding[classes.to(self.embedding.device)]
        return torch.einsum("bkij,bk->bij", deepest, chosen)

    def existence(self, deepest: Maps, classes: Classes) -> Float[Tensor, "batch 2"]:
        """Logits (batch, 2) of "the class is not there" and "it is"."""
        half = self.evidence(deepest, classes).mean((1, 2)) / 2
        return torch.stack([-half, half], 1)


def share(
    channels: Float[Tensor, "batch 2 row col"], epsilon: float
) -> Float[Tensor, "batch 1 row col"]:
    """|a| / (|a| + |b| + epsilon) of channels (batch, 2, row, col), as (batch, 1, row, col)."""
    a, b = channels.abs().split(1, 1)
    return a / (a + b + epsilon)


def _built(blueprint: MaskingBlueprint, tensors: Tensors) -> MaskingNetwork:
    return filled(blank(lambda: MaskingNetwork(blueprint)), tensors)


MASKS = Artifact(
    kind="sightline masking network 1",
    section="blueprint",
    what="a masking network",
    recipe="python -m sightline.recipes.saliency_masks",
    options="--model NAME --folder PICTURES",
    facts=MaskingBlueprint,
    build=_built,
    shipped="default-masks.safetensors",
    half=True,
)
