"""What is known to be true of pictures, beside which maps are judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BadField, ShapeError
from ..ops.masks import two_valued
from ..shapes import Images


@dataclass(frozen=True)
class Truth:
    """What is known to be true of each image, one entry per image; None where it is not known.

    boxes: x0, y0, x1, y1 in pixels of the picture as shown, x0 < x1 and y0 < y1, several or one;
    what lies outside of what the model saw is cut off. masks: arrays (row, col), in the model's
    input frame, True inside, or 0 outside and one other number inside; soft masks and those of a
    JPEG are refused, because every metric must mean the same object. parts: part name -> mask, in
    the model's input frame. keypoints: part name -> (row, col). scenes: what a drawn picture was
    drawn from (`worlds.aviary.Scene`).

    An object of which the model saw nothing says nothing of a map: metrics give NaN and say why.
    Raises: BadField for a mask that is not two-valued.
    """

    labels: Sequence[int] | None = None
    boxes: Sequence[Any] | None = None  # Any: several boxes, one alone, or None
    masks: Sequence[Any] | None = None  # Any: arrays, tensors or None
    parts: Sequence[Mapping[str, Any] | None] | None = None
    keypoints: Sequence[Mapping[str, tuple[float, float]] | None] | None = None
    scenes: Sequence[Any] | None = None  # Any: worlds stand above this file

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {}
        if self.boxes is not None:
            plain["boxes"] = [_several(each) for each in self.boxes]
        if self.masks is not None:
            plain["masks"] = [None if m is None else two_valued(m) for m in self.masks]
        if self.parts is not None:
            plain["parts"] = [None if p is None else _masks(p) for p in self.parts]
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def check(self, images: Images) -> None:
        """Raises: ShapeError for truth of another number of images, or masks of another size,
        BadField for what is no box, such as one whose corners are exchanged."""
        count, size = len(images), tuple(images.shape[-2:])
        for name, value in self.__dict__.items():
            if value is not None and len(value) != count:
                raise ShapeError(
                    f"a truth with {len(value)} {name} for {count} images; give one entry per"
                    " image, None where nothing is known."
                )
        for box in (box for each in self.boxes or () for box in each or ()):
            if len(box) != 4 or not np.isfinite(box).all():
                raise BadField(f"a box is four finite numbers, x0, y0, x1, y1; got {box!r}.")
            if not (box[0] < box[2] and box[1] < box[3]):
                raise BadField(
                    f"a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1; got {_short(box)}. Exchange"
                    " its corners, or make x, y, width, height into x, y, x + width, y + height."
                )
        drawn = [m for p in self.parts or () for m in (p or {}).values()]
        for mask in (m for m in (*(self.masks or ()), *drawn) if m is not None):
            if mask.shape != size:
                raise ShapeError(
                    f"a mask of {mask.shape} for images of {size}; masks are (row, col) in the"
                    " model's input frame."
                )

    def take(self, rows: Sequence[int]) -> "Truth":
        """The truth of some images."""
        return Truth(
            **{k: None if v is None else [v[i] for i in rows] for k, v in self.__dict__.items()}
        )


def _masks(parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: two_valued(mask, f"the mask of {name!r}") for name, mask in parts.items()}


def _short(box: Sequence[Any]) -> str:
    return ", ".join(f"{float(edge):g}" for edge in box)


def _several(boxes: Any) -> Any:
    """The boxes of a picture; one that stands alone as a list of one."""
    return [boxes] if boxes is not None and len(boxes) == 4 and np.ndim(boxes) == 1 else boxes
