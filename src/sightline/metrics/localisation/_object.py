"""The object of each picture beside its map, in one frame.

With boxes and known frames that is the photograph; for masks, and where the geometry is not known,
the model's input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import find_objects, label
from torch import Tensor

from ...errors import NotExplainable
from ...metric import Case
from ...pictures.preprocess import Frame
from ...sample import Truth
from ._components import TOUCHING

LOST = "the object has no pixel in what the model saw (cropped away, outside, or an empty mask)"
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class ObjectMap:
    """One picture: its map (row, col), NaN where the model did not see it, and the object's pixels.

    scale: pixels here per pixel of the photograph.
    """

    heat: np.ndarray
    inside: np.ndarray
    scale: float = 1.0


def objects(case: Case, name: str) -> list[ObjectMap | None]:
    """Each picture with its object; None where it is not annotated, or the model saw nothing of it,
    which is said.

    Raises: NotExplainable where no picture of the case could be, in the name of the metric `name`.
    """
    truth, frames = _known(case, name), case.explanation.frames
    found: list[ObjectMap | None] = []
    for i, heat in enumerate(case.heat.cpu().numpy()):
        frame, boxes, mask = frames[i] if frames else None, _boxes(truth, i), _mask(truth, i)
        if boxes is not None:
            shown = frame.to_original(heat) if frame else heat
            kept = visible_boxes(boxes, frame, heat.shape)
            found.append(_object_map(shown, boxes_mask(kept, shown.shape) & ~np.isnan(shown)))
        else:
            scale = _scale(frame) if frame else 1.0
            found.append(None if mask is None else _object_map(heat, mask, scale))
    _warn_lost(case, name, [each is None for each in found])
    return found


def boxes_in_model(case: Case, name: str) -> list[Tensor | None]:
    """The boxes (n, 4) of each picture in pixels of the model's input, cut to it; of a mask, the
    boxes around its connected parts. None as in `objects`.

    Raises: NotExplainable as `objects`.
    """
    truth, frames = _known(case, name), case.explanation.frames
    rows, cols = case.images.shape[-2:]
    size = torch.tensor([cols, rows, cols, rows], dtype=torch.float64, device="cpu")
    found: list[Tensor | None] = []
    for i in range(len(case.images)):
        frame, boxes, mask = frames[i] if frames else None, _boxes(truth, i), _mask(truth, i)
        if boxes is not None:
            kept = visible_boxes(boxes, frame, (rows, cols))
            placed = [frame.box_to_model(box) if frame else box for box in kept]
        else:
            one = truth.scenes is not None and truth.scenes[i] is not None
            placed = [] if mask is None else boxes_around(mask, one)
        whole = torch.tensor(placed, dtype=torch.float64, device="cpu") if placed else None
        found.append(None if whole is None else whole.minimum(size).clamp(min=0))
    _warn_lost(case, name, [each is None for each in found])
    return found


def visible_boxes(boxes: Sequence[Box], frame: Frame | None, size: tuple[int, ...]) -> list[Box]:
    """The boxes of which the model saw a pixel: of the picture that `frame` shows, or of its input
    (row, col) of `size`."""
    left, top, right, bottom = frame.seen if frame else (0, 0, size[1], size[0])
    return [
        box
        for box in boxes
        if min(box[2], right) > max(box[0], left) and min(box[3], bottom) > max(box[1], top)
    ]


def boxes_around(mask: np.ndarray, one: bool = False) -> list[Box]:
    """The boxes around the connected parts of a mask (row, col), corners touching, each an object;
    `one`: around all of it, because it is one object that something hides in part."""
    parts, _ = (mask.astype(int), 1) if one else label(mask, structure=TOUCHING)  # type: ignore[misc]
    places = [place for place in find_objects(parts) if place is not None]
    return [
        (float(cols.start), float(rows.start), float(cols.stop), float(rows.stop))
        for rows, cols in places
    ]


def boxes_mask(boxes: Sequence[Box], size: tuple[int, ...]) -> np.ndarray:
    """All pixels (row, col) that a box `x0, y0, x1, y1` touches."""
    inside = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        top, left = max(int(np.floor(y0)), 0), max(int(np.floor(x0)), 0)
        inside[top : max(int(np.ceil(y1)), 0), left : max(int(np.ceil(x1)), 0)] = True
    return inside


def warn_empty(case: Case, name: str, masks: Sequence[np.ndarray | None]) -> None:
    """Says which pictures have a mask in which nothing is inside."""
    empty = [row for row, mask in enumerate(masks) if mask is not None and not mask.any()]
    case.not_measured(name, empty, LOST)


def _known(case: Case, name: str) -> Truth:
    truth = case.truth
    if truth is None or (truth.boxes is None and truth.masks is None):
        raise NotExplainable(
            f"{name} needs boxes or masks of the object: a CSV with a column `box`, or a `Truth`."
        )
    return truth


def _boxes(truth: Truth, row: int) -> Sequence[Box] | None:
    boxes = None if truth.boxes is None else truth.boxes[row]
    return boxes if boxes is not None and len(boxes) else None


def _mask(truth: Truth, row: int) -> np.ndarray | None:
    return None if truth.masks is None else truth.masks[row]


def _warn_lost(case: Case, name: str, lost: Sequence[bool]) -> None:
    """Warns about annotated pictures that could not be scored."""
    truth = _known(case, name)
    rows = [
        row
        for row, gone in enumerate(lost)
        if gone and not (_boxes(truth, row) is None and _mask(truth, row) is None)
    ]
    case.not_measured(name, rows, LOST)


def _object_map(heat: np.ndarray, inside: np.ndarray, scale: float = 1.0) -> ObjectMap | None:
    return ObjectMap(heat, inside, scale) if inside.any() else None


def _scale(frame: Frame) -> float:
    """Pixels of the model's frame per pixel of the original, along the rows."""
    _, y0, _, y1 = frame.box
    return frame.size[0] / (y1 - y0)
