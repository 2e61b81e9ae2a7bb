"""Iterative saliency: optimise one picture's mask until it holds the class and the rest does not.

Paper: Dabkowski and Gal, NIPS 2017, and the per-image script of the authors' code: a mask of 32 x
32 cells and two channels, M = |a| / (|a| + |b| + 1e-3), 200 steps of SGD at 0.1 with Nesterov
momentum 0.9; destroyer + 11 area + 0.5 smooth + 0.2 preserver (nets/mask_loss.py). Deviations: the
terms and what stands where the mask is 0 are those of the training script; the start, a = b = 1, is
a project definition (not confirmed by the code); a step ends at 0 instead of beyond it: |a| has a
kink there, and a channel that jumps from one side to the other comes out as a checkerboard made of
rounding, which grew from 1e-7 to a tenth of the map (positive channels make every mask that signed
ones make). Each picture is searched in passes of its own, whose rounding does not depend on the
other pictures of the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...nets.mask_loss import MaskedBatch, MaskLoss
from ...nets.masking import share
from ...ops.noise import generator
from ...ops.resize import resize
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._class_targets import classes_of

EPSILON = 1e-3
FLOOR = 1e-6  # of a channel: |a| has no slope at 0 itself, so that it could not come back


@register(
    "iterative-saliency",
    paper="arXiv:1705.07857",
    claims=("non-negative",),
)
@dataclass(frozen=True, kw_only=True)
class IterativeSaliency(Explainer):
    """What is the smallest region that shows the class, and without which it is gone?

    values: the mask, in [0, 1], 1 for kept; native: the same in its own cells. cells: of the mask
    along each side, at most one per pixel. steps, rate, momentum: of the descent; one step is two
    pictures forward and backward. area, smooth, preserver: weights beside the destroyer's 1.
    details: `loss_terms` (image, term) of the last step: preserver, destroyer, area, smooth.

    Do not trust it where the model is fooled by flat colours: hiding a few cells can then destroy
    the class although the class is not there. Check whether two seeds agree.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True
    probability: ClassVar[bool] = True
    tiny: ClassVar[Mapping[str, Any]] = {"steps": 20, "rate": 2.0}
    differentiable_as: ClassVar[str] = "optimised mask"

    cells: int = 32
    steps: int = 200
    rate: float = 0.1
    momentum: float = 0.9
    area: float = 11.0
    smooth: float = 0.5
    preserver: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.cells, self.steps) < 1 or self.rate <= 0 or not 0 < self.momentum < 1:
            raise BadField(
                "iterative-saliency needs cells >= 1, steps >= 1, rate > 0 and momentum between 0"
                f" and 1; got {self.cells}, {self.steps}, {self.rate} and {self.momentum}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        classes = classes_of(target, len(images), self.registered_name).to(images.device)
        found = [
            self._search(model, images[row : row + 1], classes[row : row + 1], row)
            for row in range(len(images))
        ]
        masks, terms = (torch.cat(each) for each in zip(*found, strict=True))
        values = resize(masks, images.shape[-2:])[:, 0]
        return Heatmap(values, native=masks[:, 0], details={"loss_terms": terms})

    def _search(
        self, model: Model, image: Tensor, classes: Tensor, row: int
    ) -> tuple[Tensor, Tensor]:
        """The mask (1, 1, row, col) and the last step's terms (1, term) of one picture."""
        shown = MaskedBatch(
            image,
            classes,
            torch.ones(1, dtype=torch.float32, device="cpu").bool(),
            rows=torch.tensor([row], device="cpu"),
        )
        loss = MaskLoss(area=self.area, smooth=self.smooth, preserver=self.preserver)
        dice = generator(self.seed, "iterative saliency")
        cells = [min(self.cells, side) for side in image.shape[-2:]]
        channels = torch.ones(1, 2, *cells, device=image.device, dtype=torch.float32)
        speed, terms = torch.zeros_like(channels), {}
        with torch.enable_grad(), torch.autocast(image.device.type, enabled=False):
            for _ in range(self.steps):
                at = channels.requires_grad_()
                total, terms = loss(model, shown, share(at, EPSILON), dice, alike=True)
                (slope,) = torch.autograd.grad(total.sum(), at)
                channels, speed = stepped(at.detach(), speed, slope, self.rate, self.momentum)
        last = torch.stack([terms[n] for n in ("preserver", "destroyer", "area", "smooth")], 1)
        return share(channels, EPSILON), last.detach()


def stepped(
    channels: Float[Tensor, "*cells"],
    speed: Float[Tensor, "*cells"],
    slope: Float[Tensor, "*cells"],
    rate: float,
    momentum: float,
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Channels and speed after one step of Nesterov's momentum that ends at 0, where it stands."""
    speed = momentum * speed + slope
    ahead = channels - rate * (slope + momentum * speed)
    inside = ahead > FLOOR
    return torch.where(inside, ahead, FLOOR), speed * inside
