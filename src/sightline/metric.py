"""The contract of a metric: one number per image that judges an explanation, with a direction and
null levels.

A number has a meaning only beside what a map would get that knows nothing: `null_levels` scores a
random map, a centred blob and an edge map on the same case.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from .errors import NotExplainable, ShapeError
from .explainer import Explainer
from .explanation import Explanation, Heatmap
from .model import Model
from .ops.references import NULLS, reference
from .target import Target


@dataclass(frozen=True)
class Truth:
    """What is known to be true of each image, one entry per image; None where it is not known.

    boxes: x0, y0, x1, y1 in pixels of the picture as shown. masks: bool arrays (row, col), in the
    model's input frame. parts: part name -> mask, in the model's input frame. keypoints: part name
    -> (row, col).
    """

    labels: Sequence[int] | None = None
    boxes: Sequence[Sequence[tuple[float, float, float, float]] | None] | None = None
    masks: Sequence[np.ndarray | None] | None = None
    parts: Sequence[Mapping[str, np.ndarray]] | None = None
    keypoints: Sequence[Mapping[str, tuple[float, float]]] | None = None

    def take(self, rows: Sequence[int]) -> "Truth":
        """The truth of some images."""
        return Truth(
            **{k: None if v is None else [v[i] for i in rows] for k, v in self.__dict__.items()}
        )


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a metric may look at: the model, the images, the fixed target, the
    explanation, the truth."""

    model: Model
    images: Tensor
    target: Target
    explanation: Explanation
    explainer: Explainer | None = None
    truth: Truth | None = None

    @property
    def heat(self) -> Tensor:
        """The map's values (batch, row, col). Raises: NotExplainable for an explanation without a
        map."""
        if not isinstance(self.explanation, Heatmap):
            raise NotExplainable(
                f"this metric reads a heatmap, not {type(self.explanation).__name__}."
            )
        return self.explanation.values

    def with_heat(self, values: Tensor) -> "Case":
        """The same case with another map."""
        kept = self.explanation
        return replace(
            self,
            explanation=Heatmap(
                values, images=kept.images, pictures=kept.pictures, frames=kept.frames
            ),
        )


class Metric(ABC):
    """How far an explanation can be believed. Metrics are frozen dataclasses.

    direction: whether a `higher` or a `lower` number is better. unit: what the number counts, for
    labels.
    """

    kind: ClassVar[str] = "metric"
    registered_name: ClassVar[str] = ""
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = ""

    @final
    def __call__(self, case: Case) -> Tensor:
        """One number for each image, (batch,) float32; NaN where the metric is undefined for that
        image.

        Raises: NotExplainable where the case lacks what the metric needs.
        """
        with case.model.unharmed(), torch.no_grad():
            found = self.score(case).float().cpu()
        if found.shape != (len(case.images),):
            raise ShapeError(
                f"{self!r} returned {tuple(found.shape)} for {len(case.images)} images."
            )
        return found

    @abstractmethod
    def score(self, case: Case) -> Tensor:
        """One number for each image, each as it would be alone."""

    def curves(self, case: Case) -> Tensor | None:
        """The curve behind each number, (batch, step), for metrics that are areas; None for the
        others."""
        return None

    @final
    def null_levels(self, case: Case, seed: int = 0) -> dict[str, Tensor]:
        """What maps that know nothing get on this case: name -> (batch,)."""
        return {n: self(case.with_heat(reference(n, case.images, seed))) for n in NULLS}


def judged(
    explainer: Explainer, model: Model, images: Any, target: Any = None, truth: Truth | None = None
) -> Case:
    """The case of one explainer on some images: explained, and ready to be scored."""
    tensors = model.prepare(images)
    heat = explainer(model, tensors, target)
    fixed = model.aim(tensors, target)
    return Case(model, tensors, fixed, heat, explainer, truth)
