"""The object of each picture beside its map, in one frame.

With boxes and known frames that is the photograph; for masks, and where the geometry is not known,
the model's input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import NotExplainable
from ...metric import Case
from ...preprocess import Frame
from ...truth import Truth

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture: its map (row, col), NaN where the model did not see it, and the object's pixels.

    scale: pixels here per pixel of the photograph.
    """

    heat: np.ndarray
    inside: np.ndarray
    scale: float = 1.0


def objects(case: Case, name: str) -> list[Shown | None]:
    """Each picture with its object; None where it is not annotated, or lies outside the picture.

    Raises: NotExplainable where no picture of the case could be, in the name of the metric `name`.
    """
    truth = case.truth
    if truth is None or (truth.boxes is None and truth.masks is None):
        raise NotExplainable(
            f"{name} needs boxes or masks of the object: a CSV with a column `box`, or a `Truth`."
        )
    heat, frames = case.heat.cpu().numpy(), case.explanation.frames
    return [
        _shown(heat[i], frames[i] if frames else None, truth.take([i])) for i in range(len(heat))
    ]


def boxes_in_model(case: Case, name: str) -> list[Tensor | None]:
    """The boxes (n, 4) of each picture in pixels of the model's input, not clipped to it; a mask
    counts as the box around it. None where nothing is annotated.

    Raises: NotExplainable as `objects`.
    """
    truth = case.truth
    if truth is None or (truth.boxes is None and truth.masks is None):
        raise NotExplainable(
            f"{name} needs boxes or masks of the object: a CSV with a column `box`, or a `Truth`."
        )
    frames, found = case.explanation.frames, []
    for i in range(len(case.images)):
        boxes = truth.boxes[i] if truth.boxes is not None else None
        mask = truth.masks[i] if truth.masks is not None else None
        if boxes is not None:
            placed = [frames[i].box_to_model(box) if frames else box for box in boxes]
        else:
            placed = [] if mask is None else around(np.asarray(mask, dtype=bool))
        found.append(torch.tensor(placed, dtype=torch.float64) if placed else None)
    return found


def around(mask: np.ndarray) -> list[Box]:
    """The box around a mask (row, col), or none where it is empty."""
    if not mask.any():
        return []
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [(float(cols[0]), float(rows[0]), float(cols[-1]) + 1, float(rows[-1]) + 1)]


def drawn(boxes: Sequence[Box], size: tuple[int, ...]) -> np.ndarray:
    """All pixels (row, col) that a box `x0, y0, x1, y1` touches."""
    inside = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        top, left = max(int(np.floor(y0)), 0), max(int(np.floor(x0)), 0)
        inside[top : max(int(np.ceil(y1)), 0), left : max(int(np.ceil(x1)), 0)] = True
    return inside


def _shown(heat: np.ndarray, frame: Frame | None, truth: Truth) -> Shown | None:
    boxes = truth.boxes[0] if truth.boxes is not None else None
    mask = truth.masks[0] if truth.masks is not None else None
    if boxes is not None:
        heat = frame.to_original(heat) if frame else heat
        inside, scale = drawn(boxes, heat.shape), 1.0
    elif mask is not None:
        inside, scale = np.asarray(mask, dtype=bool), _scale(frame) if frame else 1.0
    else:
        return None
    return Shown(heat, inside, scale) if inside.any() else None


def _scale(frame: Frame) -> float:
    """Pixels of the model's frame per pixel of the original, along the rows."""
    _, y0, _, y1 = frame.box
    return frame.size[0] / (y1 - y0)
