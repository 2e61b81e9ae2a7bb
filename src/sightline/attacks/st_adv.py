"""stAdv: warp the picture instead of changing its colours.

Paper: Xiao et al., ICLR 2018: a flow field moves each pixel, read by bilinear sampling, and the
flow is kept smooth: sum over four neighbours of sqrt(squared differences + 1e-8). Recipe from
AdvEdge's code (arXiv:2211.15926): flow in pixels from U(-0.1, 0.1), Adam 0.01 with amsgrad; stage 1
lowers CE + 5e-4 smoothness, stage 2 2 CE + 5e-4 smoothness + pull * map loss; with edges the
picture is x + w (warp - x). Deviations: diagonal neighbours as in that code (the paper's are, from
memory, the nearest four); w is at most 1; the best picture of stage 2 is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..attack import Attack
from ..errors import BadField
from ..explainer import Explainer
from ..model import Model
from ..ops.noise import generator
from ..registry import register
from ..shapes import Images
from ..target import Target
from ._edges import edges
from ._losses import BestPicture, class_goal, slope, soft_label, soft_loss
from ._objective import MapObjective

TINY = 1e-8


@register("st-adv", paper="arXiv:1801.02612")
@dataclass(frozen=True, kw_only=True)
class StAdv(Attack):
    """Which small warp of the picture makes the model predict the target class?

    rate: of Adam on the flow. smooth: weight of the flow's roughness. first, second: steps against
    the classifier, then against classifier and map. pull: weight of the map in the second stage, at
    its start and end. edges: `never`; `stage1` or `always` keep flat areas in place, as AdvEdge
    does.

    Do not trust pixel differences as a measure of this change: a shift by one pixel changes an edge
    by its whole contrast, and yet is hard to see. Compare by eye, and by SSIM.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"first": 2, "second": 3}

    rate: float = 0.01
    smooth: float = 5e-4
    first: int = 200
    second: int = 600
    pull: tuple[float, float] = (5.0, 10.0)
    edges: Literal["never", "stage1", "always"] = "never"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.smooth < 0 or min(self.first, self.second) < 0:
            raise BadField(
                "st-adv needs rate > 0, smooth >= 0 and first, second >= 0; got"
                f" {self.rate}, {self.smooth}, {self.first} and {self.second}."
            )
        if self.edges not in ("never", "stage1", "always"):
            raise BadField(f"edges is 'never', 'stage1' or 'always'; got {self.edges!r}.")

    def deceive(
        self, model: Model, images: Images, target: Target, explainer: Explainer | None
    ) -> Images:
        index = class_goal(model, target, self.registered_name).index
        objective = MapObjective.of(model, images, index, explainer, self.pull)
        plain = MapObjective(index, self.pull)
        drawn = torch.rand(
            (1, 2, *images.shape[-2:]),
            generator=generator(self.seed, "flow"),
            dtype=torch.float32,
            device="cpu",
        )
        flow = (0.2 * drawn - 0.1).to(images).requires_grad_()
        stepper = torch.optim.Adam([flow], lr=self.rate, amsgrad=True)
        kept = BestPicture(images)
        for i in range(self.first + self.second + 1):
            second = i >= self.first
            at = objective if second else plain
            made = self._moved_image(images, flow, second)
            trace = at.trace(model, made)
            loss = (1 + second) * soft_loss(trace.logits, soft_label(trace.output.shape[1], index))
            done = max(0, i - self.first) / max(1, self.second)
            loss, confidence, apart = at.add_map(model, trace, loss, done)
            if second:
                kept.offer(made.detach(), confidence, apart)
            push = (made * slope(trace, loss)).sum() + self.smooth * roughness(flow)
            (flow.grad,) = torch.autograd.grad(push, flow)
            stepper.step()
        return kept.image

    def _moved_image(self, images: Tensor, flow: Tensor, second: bool) -> Tensor:
        limited = self.edges == "always" or (self.edges == "stage1" and not second)
        bent = warp(images, flow)
        bent = images + edges(images).clamp(max=1) * (bent - images) if limited else bent
        return bent.clamp(0, 1)


def warp(images: Images, flow: Float[Tensor, "batch 2 row col"]) -> Images:
    """`images` read `flow` (batch, 2, row, col) pixels away, rows first; the border is repeated."""
    rows, cols = images.shape[-2:]
    down, right = torch.meshgrid(
        torch.arange(rows, device="cpu"), torch.arange(cols, device="cpu"), indexing="ij"
    )
    at = torch.stack([right.to(flow) + flow[:, 1], down.to(flow) + flow[:, 0]], 3)
    span = torch.tensor([max(cols - 1, 1), max(rows - 1, 1)], device="cpu").to(flow)
    return functional.grid_sample(
        images, 2 * at / span - 1, mode="bilinear", padding_mode="border", align_corners=True
    )


def roughness(flow: Float[Tensor, "1 2 row col"]) -> Float[Tensor, ""]:
    """Sum over pixels and their four diagonal neighbours of the length of the flow's difference."""
    falling = flow[:, :, 1:, 1:] - flow[:, :, :-1, :-1]
    rising = flow[:, :, 1:, :-1] - flow[:, :, :-1, 1:]
    lengths = [(d.square().sum(1) + TINY).sqrt().sum() for d in (falling, rising)]
    return 2 * (lengths[0] + lengths[1])
