"""Sparse points: the few pixels whose hiding flips the decision.

Paper: AdvMask (Yang et al., arXiv:2209.10305, number from memory), stage A. The paper's loss was
not found; this is a project definition after its abstract: gates th (row, col), hard mask m =
1[sigmoid(th) > 0.5] with the sigmoid's gradient, picture x (1 - m) + o m; lower max(margin, -kappa)
+ weight * sum(m) by Adam 0.1 over 300 steps from th = -1, in 6 rounds: `weight` is halved after a
round that did not succeed and doubled after one that did. The picture with the fewest points among
those that succeeded is the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from ..attack import Attack
from ..errors import BadField
from ..explainer import Explainer
from ..model import Model
from ..ops.blur import gaussian_blur
from ..ops.noise import normal
from ..registry import register
from ..shapes import Images
from ..target import Target, Top
from ._losses import ClassGoal, class_goal, slope

START = -1.0


@register("sparse-points", paper="arXiv:2209.10305")
@dataclass(frozen=True, kw_only=True)
class SparsePoints(Attack):
    """Which pixels, as few as possible, change the predicted class when they are hidden?

    Without a target, any class but the model's own is reached. weight: initial weight of the number
    of pixels; kappa: margin after which nothing more is gained. occluder: what replaces a hidden
    pixel: `blur`, `zero`, `noise`, or `learned` with the points. `points_of` returns the pixels.

    Do not trust "sparse" to mean a few: on small pictures the published points are a quarter of all
    pixels. The points do not explain the decision either: hiding them makes an unnatural picture.
    """

    aim: ClassVar[Target] = -Top()
    tiny: ClassVar[Mapping[str, Any]] = {"steps": 14, "rounds": 2}

    weight: float = 0.01
    kappa: float = 1.0
    rate: float = 0.1
    steps: int = 300
    rounds: int = 6
    occluder: Literal["blur", "zero", "noise", "learned"] = "blur"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.weight, self.rate) <= 0 or self.kappa < 0 or min(self.steps, self.rounds) < 1:
            raise BadField(
                "sparse-points needs weight and rate > 0, kappa >= 0, steps and rounds >= 1; got"
                f" {self.weight}, {self.rate}, {self.kappa}, {self.steps} and {self.rounds}."
            )
        if self.occluder not in ("blur", "zero", "noise", "learned"):
            raise BadField(
                f"occluder is 'blur', 'zero', 'noise' or 'learned'; got {self.occluder!r}."
            )

    def deceive(
        self, model: Model, images: Images, target: Target, explainer: Explainer | None
    ) -> Images:
        aim = class_goal(model, target, self.registered_name, away=True)
        return self.search(model, images, self._hidden(images), aim)

    def search(self, model: Model, images: Images, hidden: Images, aim: ClassGoal) -> Images:
        """The picture (1, channel, row, col) with `hidden` at the points found.

        Where no round succeeds it is the one that came nearest.
        """
        best = _Best(images)
        weight = self.weight
        for _ in range(self.rounds):
            done = self._round(model, images, hidden, (aim, weight, best))
            weight = weight * 2 if done else weight / 2
        return best.image

    def _hidden(self, images: Tensor) -> Tensor:
        if self.occluder == "blur":
            reach = max(1, min(images.shape[-2:]) // 8)
            return gaussian_blur(images, 2 * reach + 1, reach / 2)
        if self.occluder == "noise":
            drawn = normal(tuple(images.shape[1:]), self.seed, "occluder", images)
            return (0.5 + 0.25 * drawn).clamp(0, 1)[None]
        return torch.full_like(images, 0.0 if self.occluder == "zero" else 0.5)

    def _round(
        self, model: Model, images: Tensor, hidden: Tensor, how: "tuple[ClassGoal, float, _Best]"
    ) -> bool:
        aim, weight, best = how
        gates = torch.full_like(images[:, :1], START).requires_grad_()
        learned = [hidden.clone().requires_grad_()] if self.occluder == "learned" else []
        stepper = torch.optim.Adam([gates, *learned], lr=self.rate)
        done = False
        for _ in range(self.steps):
            soft = gates.sigmoid()
            mask = (soft > 0.5).to(soft) + soft - soft.detach()
            shown = learned[0].clamp(0, 1) if learned else hidden
            made = images * (1 - mask) + shown * mask
            trace = model.trace(made, read=("input",))
            margin = aim.margin(trace.logits)
            count = int((soft > 0.5).sum())
            done |= best.offer(made.detach(), margin.item(), count)
            loss = margin.clamp(min=-self.kappa)
            push = (made * slope(trace, loss)).sum() + weight * mask.sum()
            found = torch.autograd.grad(push, [gates, *learned])
            for variable, grad in zip((gates, *learned), found, strict=True):
                variable.grad = grad
            stepper.step()
        return done


@dataclass
class _Best:
    image: Tensor
    margin: float = float("inf")
    count: int = 0

    def offer(self, image: Tensor, margin: float, count: int) -> bool:
        """Whether this picture has succeeded; it is kept where it is better."""
        done, was = margin < 0, self.margin < 0
        fewer = count < self.count if done and was else done
        if fewer or (not done and not was and margin < self.margin):
            self.image, self.margin, self.count = image, margin, count
        return done


def points_of(benign: Images, fooled: Images) -> list[Int[Tensor, "point 2"]]:
    """The pixels that differ between pictures, for each of them as (point, 2) rows and columns."""
    changed = (benign != fooled).any(1)
    return [each.nonzero() for each in changed]
