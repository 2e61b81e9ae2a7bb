"""The baseline that knows the collection and not the picture: where the objects of the other
pictures lie, on average.

Photographers and worlds put their objects in habitual places. A map must beat this one before its
place says something about the network.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import BadField, BadImage
from ..model import Model
from ..pictures.preprocess import Frame
from ..pictures.reading import Picture
from ..sample import Sample, Truth

AVERAGE_LOCATION = "average location"


@dataclass(frozen=True, kw_only=True, eq=False)
class AverageLocation:
    """The mean of the objects' places over a collection, each picture left out of its own map.

    total: sum of the places (row, col) of `count` pictures, float64, each 1 on the object and 0
    elsewhere, in the model's input frame. part: name of the part that is the object; empty is the
    object's mask, all its parts together, or its boxes.
    """

    total: np.ndarray
    count: int
    part: str = ""

    @property
    def digest(self) -> str:
        """A fingerprint of what the maps depend on."""
        known = hashlib.sha256(f"{self.total.shape} {self.count} {self.part}".encode())
        known.update(np.round(self.total, 6).tobytes())
        return known.hexdigest()

    def map(self, truth: Truth | None, frame: Frame | None) -> Float[Tensor, "1 row col"]:
        """The map (1, row, col) in [0, 1] of a picture with that truth."""
        own = place(truth, frame, self.total.shape, self.part)
        total, count = (
            (self.total, self.count) if own is None else (self.total - own, self.count - 1)
        )
        return torch.from_numpy(total / max(count, 1))[None].float()


def average_location(
    model: Model, samples: Iterable[Sample], part: str = ""
) -> AverageLocation | None:
    """The mean over pictures, one at a time; None where fewer than two have a known place, or their
    inputs differ in size."""
    total, count = None, 0
    for sample in samples:
        try:
            picture = sample.load(model.preprocess)
            truth = sample.truth(model.preprocess, picture)
            images = model.prepare([picture] if isinstance(picture, Picture) else picture)
        except (BadImage, BadField):  # its cells say why
            continue
        frames, size = model.frames(images), tuple(images.shape[-2:])
        found = place(truth, frames[0] if frames else None, size, part)
        if found is None:
            continue
        if total is not None and total.shape != size:
            return None
        total = found + (0 if total is None else total)
        count += 1
    return (
        None if total is None or count < 2 else AverageLocation(total=total, count=count, part=part)
    )


def place(
    truth: Truth | None, frame: Frame | None, size: tuple[int, ...], part: str = ""
) -> np.ndarray | None:
    """1 where the object of a single picture is in the model's input (row, col) of `size`, 0
    elsewhere; None where that is not known, or nothing of it was seen."""
    if truth is None:
        return None
    parts = (truth.parts[0] if truth.parts else None) or {}
    boxes = None if truth.boxes is None else truth.boxes[0]
    if part:
        found = parts.get(part)
    elif truth.masks and truth.masks[0] is not None:
        found = truth.masks[0]
    elif parts:
        found = np.logical_or.reduce([*parts.values()])
    else:
        found = _filled(boxes, frame, size) if boxes else None
    return None if found is None or not np.any(found) else np.asarray(found, dtype=np.float64)


def _filled(boxes: Iterable[tuple], frame: Frame | None, size: tuple[int, ...]) -> np.ndarray:
    """All pixels of the model's input whose centre lies in a box of the picture."""
    inside = np.zeros(size, dtype=bool)
    for box in boxes:
        x0, y0, x1, y1 = frame.box_to_model(box) if frame else box
        rows, cols = (np.arange(n) + 0.5 for n in size)
        inside |= ((rows >= y0) & (rows < y1))[:, None] & ((cols >= x0) & (cols < x1))
    return inside
