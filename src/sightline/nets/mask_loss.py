"""What a mask must do: kept it shows the class, cut out it takes the class away, and it is small.

Paper: Dabkowski and Gal, NIPS 2017. The paper's loss is (from memory) 10 TV(M) + 1e-3 mean(M) - log
f_c(phi(x, M)) + 5 f_c(phi(x, 1 - M))^0.3. What is here is the loss of the authors' code, which
differs: destroyer + 8 area + 0.005 smooth + 0.3 preserver, hinges on the margin of the logits.
Deviations: the code's pictures are in [-1, 1] and the colour is grey; here noise, colours and grain
are those in parts of the model's own mean and deviation, so that a network means the same with its
preprocessing inside or outside; its blur is for 224 pixels and shrinks with the picture; each
picture draws its own alternative.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..model import Model
from ..ops.blur import gaussian_blur
from ..ops.masks import blend
from ..ops.resize import resize
from ..shapes import Classes, Images, Logits, Scores

SIDE = 224  # pixels of the pictures that the code's blur was chosen for
USUAL = 0.225  # deviation of photographs in [0, 1], which the code's sizes are parts of


def margins(scores: Logits, classes: Classes) -> Scores:
    """How far the best other class is ahead of the class, (batch,); negative where it wins."""
    at = classes.to(scores.device)[:, None]
    others = scores.scatter(1, at, float("-inf")).amax(1)
    return others - scores.gather(1, at)[:, 0]


def area(masks: Float[Tensor, "batch 1 row col"], power: float = 0.3) -> Scores:
    """Mean of (M + 0.0005)^power of each mask (batch, 1, row, col); the power favours empty."""
    return ((masks + 0.0005) ** power).mean((1, 2, 3))


def roughness(masks: Float[Tensor, "batch 1 row col"], border: float = 0.3) -> Scores:
    """Half the squared steps between neighbours and, times `border`, the squares at the edge."""
    down = masks.diff(dim=2).square().sum((1, 2, 3))
    right = masks.diff(dim=3).square().sum((1, 2, 3))
    squared = masks.square()
    edges = squared[:, :, [0, -1]].sum((1, 2, 3)) + squared[:, :, :, [0, -1]].sum((1, 2, 3))
    return (down + right + border * edges) / 2


@dataclass(frozen=True, kw_only=True)
class RandomFill:
    """What stands where the mask is 0: a blurred picture, or one colour with noise.

    noise, colour (how far from the mean) and grain (noise on what is kept): for a model with the
    deviation of photographs, 0.225; others in proportion to theirs. blurred: the share of pictures
    that are blurred. kernel, sigma: for 224 pixels, shrunk with the short side.
    """

    noise: float = 0.055
    colour: float = 0.165
    blurred: float = 0.5
    grain: float = 0.015
    kernel: int = 55
    sigma: float = 11.0

    def alternatives(
        self, model: Model, images: Images, dice: torch.Generator, *, alike: bool
    ) -> Images:
        """Pictures to show instead; `alike`: one draw for all of the batch."""
        draws = 1 if alike else len(images)
        blurred = (
            torch.rand(draws, generator=dice, dtype=torch.float32, device="cpu") < self.blurred
        )
        shift = (
            2
            * torch.rand(
                draws, images.shape[1], 1, 1, generator=dice, dtype=torch.float32, device="cpu"
            )
            - 1
        ) * self.colour
        flat = shift + self.noise * torch.randn(
            draws, *images.shape[1:], generator=dice, dtype=torch.float32, device="cpu"
        )
        mean, unit = model.mean.to(images), model.std.to(images) / USUAL
        other = (mean + unit * flat.to(images)).expand_as(images).clone()
        if blurred.any():
            sigma = self.sigma * min(images.shape[-2:]) / SIDE
            kernel = 2 * int(self.kernel // 2 * sigma / self.sigma) + 1
            rows = blurred.expand(len(images)).to(images.device)
            other[rows] = gaussian_blur(images[rows], kernel, sigma)
        return other

    def __call__(
        self,
        model: Model,
        images: Images,
        masks: Float[Tensor, "batch 1 mrow mcol"],
        dice: torch.Generator,
        *,
        alike: bool = False,
    ) -> Images:
        """phi(x, M): the pictures where the masks (batch, 1, row, col) are 1, else alternatives."""
        images = images.contiguous()  # a channels-last blur in bfloat16 takes minutes on a CPU
        with torch.autocast(images.device.type, enabled=False):
            other = self.alternatives(model, images, dice, alike=alike)
            drawn = torch.randn(
                1 if alike else len(images),
                *images.shape[1:],
                generator=dice,
                dtype=torch.float32,
                device="cpu",
            )
            seen = images + self.grain / USUAL * model.std.to(images) * drawn.to(images)
            return blend(seen, resize(masks.to(images), images.shape[-2:]), other)


@dataclass(frozen=True, eq=False)
class MaskedBatch:
    """Pictures, their true class (batch,), and whether the mask was made for it or for a fake.

    rows: the numbers of these pictures, which the model's side inputs follow; None for 0, 1, ...
    """

    images: Tensor
    classes: Tensor
    real: Tensor
    rows: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class MaskLoss:
    """Weights of the terms, as in the authors' training script."""

    destroyer: float = 1.0
    area: float = 8.0
    smooth: float = 0.005
    preserver: float = 0.3
    hiding: RandomFill = field(default_factory=RandomFill)

    def __call__(
        self,
        model: Model,
        shown: MaskedBatch,
        masks: Float[Tensor, "batch 1 mrow mcol"],
        dice: torch.Generator,
        *,
        alike: bool = False,
    ) -> tuple[Scores, dict[str, Scores]]:
        """The loss of each picture (batch,), differentiable in the masks, and its terms."""
        kept = self.hiding(model, shown.images, masks, dice, alike=alike)
        cut = self.hiding(model, shown.images, 1 - masks, dice, alike=alike)
        both = torch.cat([kept, cut])
        rows = (
            torch.arange(len(masks), device="cpu") if shown.rows is None else shown.rows
        ).repeat(2)
        with torch.enable_grad():
            trace = model.trace(both, read=("input",), rows=rows)
            ahead = margins(trace.output.float(), shown.classes.repeat(2)).chunk(2)
            preserver, destroyer = hinges(ahead[0], ahead[1], shown.real)
            wanted = self.preserver * preserver + self.destroyer * destroyer
            (push,) = torch.autograd.grad(wanted.sum(), trace.raw["input"])
        # the classifier's part as a function of its pictures: right in value and in first slope
        slope = (both * push.detach()).flatten(1).sum(1)
        first, second = (slope - slope.detach()).chunk(2)
        terms = {"preserver": preserver.detach(), "destroyer": destroyer.detach()}
        terms |= {"area": area(masks), "smooth": roughness(masks)}
        total = wanted.detach() + first + second
        return total + self.area * terms["area"] + self.smooth * terms["smooth"], terms


def hinges(kept: Scores, cut: Scores, real: Bool[Tensor, " batch"]) -> tuple[Scores, Scores]:
    """Preserver and destroyer from the true class's margins on the kept and the cut picture.

    For a real class the kept picture must show it and the cut one must not, by 5. For a fake one
    the roles swap, so that its mask learns to be empty.
    """
    real = real.to(kept.device)
    preserver = torch.where(real, (kept + 1).relu(), (1 - kept).relu())
    destroyer = torch.where(real, (5 - cut).relu(), (cut + 1).relu())
    return preserver, destroyer
