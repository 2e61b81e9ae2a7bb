"""PGD: steps along the sign of the gradient, within a box around the picture.

Paper: Madry et al., ICLR 2018, eq. 4, with a target: x <- clip(x - step * sign(grad CE(f(x), t))).
Deviations: no random start; the most confident picture of the way is kept, not the last. Budget as
in AdvEdge's code, epsilon 0.031 and steps of 1/255.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ..attack import Attack
from ..errors import BadField
from ..explainer import Explainer
from ..model import Model
from ..registry import register
from ..shapes import Images
from ..target import Target
from ._losses import BestPicture, class_goal, slope, within


@register("pgd", paper="arXiv:1706.06083")
@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Which small change of all pixels makes the model predict the target class?

    epsilon: largest change of a pixel value, in [0, 1]. step: size of each of the `steps`.
    `-target` moves away from a class instead. The explainer is not used: this is the baseline for
    attacks on maps.

    Do not trust a failed attack as proof of robustness: another start, loss or budget may reach the
    class.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"steps": 3}

    epsilon: float = 0.031
    step: float = 1 / 255
    steps: int = 40

    def __post_init__(self) -> None:
        if self.epsilon < 0 or self.step <= 0 or self.steps < 1:
            raise BadField(
                "pgd needs epsilon >= 0, step > 0 and steps >= 1; got"
                f" {self.epsilon}, {self.step} and {self.steps}."
            )

    def deceive(
        self, model: Model, images: Images, target: Target, explainer: Explainer | None
    ) -> Images:
        aim = class_goal(model, target, self.registered_name, away=True)
        kept, moved = BestPicture(images), images
        for i in range(self.steps + 1):
            trace = model.trace(moved, read=("input",))
            confidence = aim.confidence(trace.logits)
            kept.offer(moved, confidence, 1 - confidence)
            if i < self.steps:
                step = self.step * torch.sign(slope(trace, aim.loss(trace.logits)))
                moved = within(moved - step, images, self.epsilon)
        return kept.image
