"""Manipulation: the same prediction with another map, by an invisible change.

Paper: Dombrowski et al., NeurIPS 2019 (arXiv:1906.07983): minimise ||h(x') - h_t||^2 + gamma
||g(x') - g(x)||^2, h the map and g the output, with softplus for the rectifiers. It is the control
of the attacks here: what it reaches is how far the *map* can be moved while the decision stays.
Deviations (project definitions): signed steps in a box instead of plain descent; the wanted map is
a blob in the corner farthest from where the map was; maps from 0 to 1 and the output as soft label,
so that `keep` is the same for all networks; the best picture that keeps the class is the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..attack import Attack
from ..errors import BadField
from ..explainer import Explainer
from ..model import Model
from ..registry import register
from ..shapes import Heat, Images
from ..target import Target, Top
from ._differentiable_maps import differentiable_map
from ._losses import class_goal, slope, soft_loss, within

WIDTH = 0.15  # of the blob, as a share of the map's sides


@register("manipulation", paper="arXiv:1906.07983")
@dataclass(frozen=True, kw_only=True)
class Manipulation(Attack):
    """Can the map be moved into a corner while the prediction stays the same?

    The target is the class to keep, the model's own where none is given. epsilon: largest change of
    a pixel value. keep: weight of the output beside the map. drift: largest allowed drop of the
    class's probability. It needs an explainer with a differentiable map.

    Do not trust it as proof that a map is wrong: it shows that the map can be moved, not that it
    was. A map that cannot be moved within the budget may still be wrong.
    """

    aim: ClassVar[Target] = Top()
    tiny: ClassVar[Mapping[str, Any]] = {"steps": 3}
    keeps_class: ClassVar[bool] = True

    epsilon: float = 0.031
    step: float = 1 / 255
    steps: int = 300
    keep: float = 0.1
    drift: float = 0.1

    def __post_init__(self) -> None:
        if self.epsilon < 0 or self.step <= 0 or self.steps < 1 or min(self.keep, self.drift) < 0:
            raise BadField(
                "manipulation needs epsilon, keep, drift >= 0, step > 0 and steps >= 1; got"
                f" {self.epsilon}, {self.keep}, {self.drift}, {self.step} and {self.steps}."
            )

    def deceive(
        self, model: Model, images: Images, target: Target, explainer: Explainer | None
    ) -> Images:
        if explainer is None:
            raise BadField(
                "manipulation moves the map of an explainer, and none was given."
                " Pass one as `explainer`."
            )
        index = class_goal(model, target, self.registered_name).index
        mapping = differentiable_map(explainer, model)
        wanted = corner(mapping.clean_map(model, images, index))
        label = model.probabilities(images)[0]
        moved, kept, nearest = images, images, float("inf")
        for i in range(self.steps + 1):
            trace = mapping.trace(model, moved)
            shares = trace.logits.detach().softmax(1)[0]
            apart = mapping.distance(model, trace, index, wanted)
            same = int(shares.argmax()) == index and shares[index] >= label[index] - self.drift
            if same and apart.item() < nearest:
                kept, nearest = moved, apart.item()
            if i < self.steps:
                loss = apart + self.keep * soft_loss(trace.logits, label)
                push = slope(trace, loss).sign()
                moved = within(moved - self.step * push, images, self.epsilon)
        return kept


def corner(maps: Heat) -> Float[Tensor, "1 row col"]:
    """A blob (1, row, col), from 0 to 1, in the corner farthest from the centre of `maps`."""
    rows, cols = maps.shape[-2:]
    down = torch.linspace(0, 1, rows, dtype=torch.float32, device="cpu").to(maps)[None, :, None]
    right = torch.linspace(0, 1, cols, dtype=torch.float32, device="cpu").to(maps)[None, None, :]
    mass = maps.clamp(min=0) + 1e-12
    centre = [((axis * mass).sum() / mass.sum()).item() for axis in (down, right)]
    at = [0.85 if c < 0.5 else 0.15 for c in centre]
    far = ((down - at[0]) ** 2 + (right - at[1]) ** 2) / (2 * WIDTH**2)
    return torch.exp(-far)
