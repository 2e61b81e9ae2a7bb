"""ILSVRC localisation error: is the right class named, with a box that fits?

Paper: Russakovsky et al., IJCV 2015, section 4.2 (from memory): 0 where one of the guesses has the
right label and a box with an IoU above 0.5 with a true one, else 1. The box is the one of Zhou et
al., CVPR 2016: around the largest connected part above a fifth of the map's largest value.
Deviations: only the guess that the map explains has a box, which is all that counts where that is
the right label; the box is drawn in the model's frame, and true ones are cut to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...metric import Case, Metric
from ...ops.boxes import overlap
from ...registry import register
from ...shapes import Scores
from ._components import boxes_above
from ._object import boxes_in_model

IOU = 0.5


@register("ilsvrc-localisation", paper="arXiv:1409.0575", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class ILSVRCLocalisation(Metric):
    """Does the model miss the object's class, or the map's box miss the object? 0 is right, 1 an
    error.

    guesses: how many of the model's first classes may hold the right one; 5 as published, 1 is also
    quoted, and 0 gives the label ("ground truth known"). The class explained must be the right one:
    explain the label, or the top class for top-1. threshold: what is inside the box, as a share of
    the map's largest value. A map without positive values has no box. An image without label or
    boxes, or whose boxes the model did not see, is NaN.

    Do not trust a difference between methods unless `threshold` was chosen for each on other
    pictures: it changes the error more than the method does. `max-box-acc` does not depend on it.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "share of errors"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    guesses: int = 5
    threshold: float = 0.2

    def __post_init__(self) -> None:
        if self.guesses < 0:
            raise BadField(f"guesses is a number of classes, or 0; got {self.guesses}.")
        if not 0 <= self.threshold < 1:
            raise BadField(
                f"threshold is a share of the largest value, in [0, 1); got {self.threshold}."
            )

    def score(self, case: Case) -> Scores:
        true = boxes_in_model(case, "ilsvrc-localisation")
        labels = case.truth.labels if case.truth else None
        if labels is None:
            raise NotExplainable(
                "ilsvrc-localisation needs the right labels: class folders, a CSV, or a `Truth`."
            )
        explained = case.target.indices(len(case.images))
        named = self._named(case, labels)
        found = []
        for row, heat in enumerate(case.heat.cpu()):
            boxes = true[row]
            if boxes is None:
                found.append(float("nan"))
                continue
            right = explained[row] == labels[row] and named[row]
            found.append(float(not (right and self._fits(heat, boxes))))
        return torch.tensor(found, dtype=torch.float32, device="cpu")

    def _named(self, case: Case, labels: Sequence[int]) -> list[bool]:
        if not self.guesses:
            return [True] * len(case.images)
        outputs = case.model.outputs(case.images)
        first = outputs.topk(min(self.guesses, outputs.shape[1]), 1).indices.tolist()
        return [label in row for label, row in zip(labels, first, strict=True)]

    def _fits(self, heat: Tensor, true: Tensor) -> bool:
        peak = heat.max()
        if not bool(peak > 0):
            return False
        above = (heat > self.threshold * peak).to(torch.uint8).numpy()
        (box,) = boxes_above(above, 0, largest=True)
        return bool((overlap(box, true) > IOU).any())
