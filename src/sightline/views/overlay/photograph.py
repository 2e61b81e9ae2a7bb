"""The user's picture in full, and where in it lies what the model saw.

What a resize or crop made of the picture is undone, so that a map lies where it belongs and the
part that the model never saw is dimmed. Where that is not known (tensors, a transform of unknown
geometry, a result that was loaded), the model's own frame stands in.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageDraw

from ...explanation import Explanation
from ...pictures.frame import Frame
from .. import paint
from ..colour import Pixels, Values
from ..paint import Line, Ramp
from .style import Style

Mask = Shaped[np.ndarray, "_row _col"]

LARGEST = 1600  # pixels on the long side
_SMALLEST = 360  # below this a picture is enlarged by a whole factor
_FINE = 2  # times as fine as the picture lines are drawn, so that their edges are smooth
_DRAWN = 64  # pixels of the long side up to which an enlarged picture keeps its squares


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture as it is drawn. frame: how the model's input lies in these pixels; None where they
    are that input."""

    pixels: Pixels
    frame: Frame | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def laid(self, values: Values) -> Values:
        """A map of the model's frame over these pixels, NaN where the model saw nothing."""
        if self.frame is None:
            return paint.stretch(values, self.size)
        return self.frame.to_original(values)

    @property
    def seen(self) -> tuple[int, int, int, int] | None:
        """x0, y0, x1, y1 of the pixels that the model saw, where it did not see all."""
        if self.frame is None:
            return None
        box = self.frame.seen
        return None if box == (0, 0, self.size[1], self.size[0]) else box

    def points(self, line: Line) -> list[tuple[float, float]]:
        """A line of the model's frame, x and y in [0, 1], as x and y of these pixels."""
        rows, cols = self.size
        x0, y0, x1, y1 = (0, 0, cols, rows) if self.frame is None else self.frame.box
        return [(x0 + x * (x1 - x0), y0 + y * (y1 - y0)) for x, y in line.tolist()]


def photograph(
    found: Explanation, i: int, size: tuple[int, int] = (224, 224), side: int = LARGEST
) -> Photograph:
    """Picture `i` of an explanation, its long side at most `side` pixels and small ones enlarged.

    size: (rows, cols) of a blank field, where the explanation carries no picture.
    """
    picture = found.pictures[i] if found.pictures is not None else None
    if picture is not None and found.frames is not None:
        frame = found.frames[i]
        pixels = _fitted(picture.array, side)
        rows, cols = pixels.shape[:2]
        y, x = rows / frame.original[0], cols / frame.original[1]
        x0, y0, x1, y1 = frame.box
        box = (x0 * x, y0 * y, x1 * x, y1 * y)
        return Photograph(pixels, replace(frame, original=(rows, cols), box=box))
    if found.images is None:
        return Photograph(_fitted(np.full((*size, 3), 255, np.uint8), side))
    return Photograph(_fitted(model_input(found, i), side))


def model_input(found: Explanation, i: int) -> Pixels:
    """What the model saw of picture `i`, as bytes; three of its bands where it has more."""
    assert found.images is not None
    tensor = found.images[i].detach().float().cpu()
    picture = found.pictures[i] if found.pictures is not None else None
    return paint.visible_pixels(tensor.permute(1, 2, 0).numpy(), picture.shown if picture else None)


def input_or_grey(found: Explanation, row: int) -> Pixels:
    """What the model saw of a picture, or a grey field where that is not known."""
    if found.images is None:
        return np.full((224, 224, 3), 128, dtype=np.uint8)
    shown = found.images[row].detach().float().cpu()
    if shown.min() < 0 or shown.max() > 1:  # tensors in a network's own units
        shown = (shown - shown.min()) / (shown.max() - shown.min()).clamp(min=1e-9)
    array = (shown * 255).round().byte().permute(1, 2, 0).numpy()
    return array.repeat(3, 2) if array.shape[2] == 1 else np.ascontiguousarray(array[..., :3])


def painted(photo: Photograph, values: Values | None, ramp: Ramp | None, style: Style) -> Pixels:
    """The picture with a map over it; None dims all of it, as where there is no map."""
    if values is None or ramp is None:
        return paint.dimmed(photo.pixels)
    drawn = paint.overlay(
        photo.pixels, photo.laid(values), ramp, opacity=style.opacity, name=style.table
    )
    if photo.seen is None and not style.contours:
        return drawn
    image = Image.fromarray(drawn)
    if photo.seen is not None:
        _edge(image, photo.seen)
    return np.asarray(_contoured(image, photo, values) if style.contours else image)


def kept_of(photo: Photograph, mask: Mask, fine: int = 1) -> Mask:
    """Which pixels of the photograph lie in a mask of the model's frame, (row, col) of any size;
    fine: times that it is repeated, so that coarse cells keep straight edges."""
    cells = np.asarray(mask, np.float32).repeat(fine, 0).repeat(fine, 1)
    return np.nan_to_num(photo.laid(cells)) > 0.5


def veiled(photo: Photograph, kept: Mask) -> Pixels:
    """The photograph with all but some pixels nearly black."""
    dark = (photo.pixels * 0.16 + np.array([17, 18, 21])).round()
    return np.where(kept[..., None], photo.pixels, dark).astype(np.uint8)


def _fitted(pixels: Pixels, side: int) -> Pixels:
    """At most `side` pixels long, and by whole factors at least as long as a caption needs."""
    longest = max(pixels.shape[:2])
    if longest >= min(_SMALLEST, side):
        shrink = min(1.0, side / longest)
        rows, cols = (max(1, round(n * shrink)) for n in pixels.shape[:2])
        way = Image.Resampling.LANCZOS
    else:
        times = -(-min(_SMALLEST, side) // longest)
        rows, cols = (n * times for n in pixels.shape[:2])
        way = Image.Resampling.NEAREST if longest <= _DRAWN else Image.Resampling.BICUBIC
    if (rows, cols) == pixels.shape[:2]:
        return np.ascontiguousarray(pixels[..., :3])
    image = Image.fromarray(np.ascontiguousarray(pixels))
    gap = 3.0 if way is Image.Resampling.LANCZOS else None
    return np.asarray(image.resize((cols, rows), way, reducing_gap=gap))


def _edge(image: Image.Image, seen: tuple[int, int, int, int]) -> None:
    """A thin light line around what the model saw, drawn on the side that it did not."""
    x0, y0, x1, y1 = seen
    width = max(1, round(max(image.size) / 800))
    box = (x0 - width, y0 - width, x1 + width - 1, y1 + width - 1)
    ImageDraw.Draw(image).rectangle(box, outline="#d8d5cd", width=width)


def _contoured(image: Image.Image, photo: Photograph, values: Values) -> Image.Image:
    """Lines around 25, 50 and 75 % of the mass, the inner ones wider, over a dark halo."""
    wide, high = image.size
    unit = _FINE * max(image.size) / 400
    for tint, more in (("#111215", 1.5), ("#ffffff", 0.0)):
        mask = Image.new("L", (_FINE * wide, _FINE * high))
        pen = ImageDraw.Draw(mask)
        for lines, width in zip(paint.outlines(values), (1.8, 1.3, 0.9), strict=False):
            for line in lines:
                points = [(_FINE * x, _FINE * y) for x, y in photo.points(line)]
                pen.line(points, 255, max(1, round((width + more) * unit)), joint="curve")
        image.paste(tint, (0, 0), mask.resize(image.size, Image.Resampling.BOX))
    return image
