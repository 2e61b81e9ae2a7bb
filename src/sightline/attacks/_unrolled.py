"""An optimised mask as a function of the picture: a few steps of its descent, unrolled.

ADV2 and AdvEdge follow the mask of Fong and Vedaldi through 5 + 5 steps of its optimiser per step
of the attack. Here the mask is `iterative-saliency`'s (the same loss, rate and momentum): it starts
where that explainer ends on the picture, and each step of the attack goes STEPS steps on from where
the last one left it. The line search of the authors on the size of the attack's step is left out.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..explainers.mask.iterative_saliency import EPSILON, IterativeSaliency, stepped
from ..model import Model
from ..nets.mask_loss import MaskLoss, area, hinges, margins, roughness
from ..nets.masking import share
from ..network.costs import spend
from ..ops.noise import generator
from ..ops.rules import Rule

STEPS = 5


class _Slope(torch.autograd.Function):
    """A gradient that was taken at a leaf, as a function of what the leaf was a copy of.

    `model.trace` copies its pictures, so the graph between them and the gradient is cut; backward
    puts the product with the second derivative in its place.
    """

    @staticmethod
    def forward(ctx: Any, shown: Tensor, graph: tuple[Tensor, Tensor]) -> Tensor:
        ctx.graph = graph
        return graph[1].detach().clone()

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None]:
        leaf, found = ctx.graph
        if not found.requires_grad:
            return torch.zeros_like(leaf), None
        bent = torch.autograd.grad(found, leaf, signals[0], retain_graph=True, allow_unused=True)[0]
        return torch.zeros_like(leaf) if bent is None else bent, None


@dataclass
class Unrolled:
    """The descent of one picture's mask; `start` (1, row, col) is where it begins."""

    explainer: IterativeSaliency
    start: Tensor
    rules: tuple[Rule, ...] = ()
    dice: torch.Generator = field(init=False)
    channels: Tensor = field(init=False)
    speed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.dice = generator(self.explainer.seed, "unrolled mask")
        masks = self.start.detach().clamp(0.02, 0.98)[:, None]
        self.channels = 2 * torch.cat([masks, 1 - masks], 1)
        self.speed = torch.zeros_like(self.channels)

    def advance(self, model: Model, image: Tensor, index: int) -> Tensor:
        """The mask (1, row, col) after STEPS more steps on `image`, with its graph."""
        channels, speed = self.channels.requires_grad_(), self.speed
        keep, rate = self.explainer.momentum, self.explainer.rate
        for _ in range(STEPS):
            down = self._slope(model, image, channels, index)
            channels, speed = stepped(channels, speed, down, rate, keep)
        self.channels, self.speed = channels.detach(), speed.detach()
        return share(channels, EPSILON)[:, 0]

    def _slope(self, model: Model, image: Tensor, channels: Tensor, index: int) -> Tensor:
        loss = MaskLoss(
            area=self.explainer.area,
            smooth=self.explainer.smooth,
            preserver=self.explainer.preserver,
        )
        masks = share(channels, EPSILON)
        kept = loss.hiding(model, image, masks, self.dice, alike=True)
        both = torch.cat([kept, loss.hiding(model, image, 1 - masks, self.dice, alike=True)])
        rows = torch.zeros(2, dtype=torch.long, device="cpu")
        trace = model.trace(both, read=("input",), rules=self.rules, rows=rows)
        ahead = margins(trace.logits, torch.full((2,), index, device="cpu")).split(1)
        preserver, destroyer = hinges(
            ahead[0], ahead[1], torch.ones(1, dtype=torch.bool, device="cpu")
        )
        wanted = loss.preserver * preserver + loss.destroyer * destroyer
        spend(trace.spent, backward=2)
        leaf = trace.raw["input"]
        (found,) = torch.autograd.grad(wanted.sum(), leaf, create_graph=True)
        shape = loss.area * area(masks) + loss.smooth * roughness(masks)
        (inner,) = torch.autograd.grad(
            both, channels, _Slope.apply(both, (leaf, found)), create_graph=True
        )
        (outer,) = torch.autograd.grad(shape.sum(), channels, create_graph=True)
        return inner + outer
