"""Occlusion: hide one window after another and see how far the score falls.

Paper: Zeiler and Fergus, ECCV 2014, section 2.2, figure 6. Each pixel gets the mean drop of the
windows that cover it. Deviations: the last window of a line is shifted back inside, so that every
pixel is covered by windows of one size; the window is a field, because the paper's depends on the
picture. On convolutional networks only what a window changes is computed (hiding.py): the
same scores, to 1e-4 of their spread, for less work.
"""

import warnings
from dataclasses import dataclass
from operator import index
from typing import Any, ClassVar

import torch

from ...errors import BadField, SightlineWarning
from ...explainer import Explainer
from ...explanation import Heatmap
from ...hiding import hidden_images
from ...model import Model
from ...ops.fill import Fill
from ...ops.masks import windows
from ...registry import register
from ...shapes import Images
from ...target import Target

Sides = tuple[int, int]


@register("occlusion", paper="arXiv:1311.2901", claims=("class-sensitive", "weight-sensitive"))
@dataclass(frozen=True, kw_only=True)
class Occlusion(Explainer):
    """How much does the score fall when this place is hidden?

    values and native: signed, in units of the score (a probability by default); positive where
    hiding lowers it. window, stride: in pixels of the input, one number or (rows, columns); None
    means a seventh of the short side and half of that, 32 and 16 at 224 pixels (and 1 and 1 below
    11). A window larger than the picture is cut to it, and a stride to its window, with a warning;
    `provenance["ran"]` has what really ran. fill: what a hidden pixel becomes, the name of a
    `Fill`.

    Do not trust it where the same evidence appears twice: hiding one copy changes nothing. Windows
    smaller than the evidence also miss it.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True
    well_known: ClassVar[bool] = True

    window: int | tuple[int, int] | None = None
    stride: int | tuple[int, int] | None = None
    fill: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.fill)
        for name, value in (("window", self.window), ("stride", self.stride)):
            object.__setattr__(self, name, value if value is None else _sides(name, value))
        if self.window and self.stride:
            window, stride = _pair(self.window), _pair(self.stride)
            if any(step > side for step, side in zip(stride, window, strict=True)):
                raise BadField(
                    f"a stride of {_size_text(stride)} leaves gaps between windows of"
                    f" {_size_text(window)}; use at most the window."
                )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        rows, cols = images.shape[-2:]
        window, stride = self._fitting((rows, cols))
        clean = model.scores(images, target).float()
        filled = Fill(self.fill).like(images, model)
        drops = torch.zeros((len(images), rows, cols), device=images.device, dtype=torch.float32)
        covered = torch.zeros((rows, cols), device=images.device, dtype=torch.float32)
        corners = windows((rows, cols), window, stride)
        planned = len(corners) * len(images)
        for row, hidden in enumerate(hidden_images(model, target, images, filled)):
            scores = hidden.window_scores(corners, planned).float()
            for (top, left, bottom, right), drop in zip(
                corners.tolist(), clean[row] - scores, strict=True
            ):
                drops[row, top:bottom, left:right] += drop
        for top, left, bottom, right in corners.tolist():
            covered[top:bottom, left:right] += 1
        found = drops / covered
        told = self._provenance(window, stride, len(corners))
        return Heatmap(found, native=found, provenance=told)

    def _fitting(self, size: tuple[int, int]) -> tuple[Sides, Sides]:
        """Window and stride for pictures of (row, col) pixels, cut where they do not fit."""
        short = max(1, round(min(size) / 7))
        asked = _pair(self.window) if self.window else (short, short)
        window = _least(asked, size)
        if asked != window:
            _warn_cut("window", asked, window, f"pictures of {_size_text(size)}")
        half = max(1, window[0] // 2), max(1, window[1] // 2)
        step = _pair(self.stride) if self.stride else half
        stride = _least(step, window)
        if step != stride:
            _warn_cut("stride", step, stride, f"windows of {_size_text(window)}")
        return window, stride

    def _provenance(self, window: Sides, stride: Sides, count: int) -> dict[str, Any]:
        """What ran, for the provenance; a parameter that was cut is not told as it was asked."""
        ran = {"window": list(window), "stride": list(stride)}
        asked = {"window": self.window, "stride": self.stride}
        cut = {n: v for n, v in asked.items() if v is not None and list(_pair(v)) != ran[n]}
        return {"ran": {**ran, "windows": count}, "parameters": {name: ran[name] for name in cut}}


def _sides(name: str, value: Any) -> int | Sides:
    """One number of pixels, or (rows, columns)."""
    try:
        several = isinstance(value, (tuple, list))
        sides = [index(each) for each in (value if several else (value,))]
    except TypeError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1 or isinstance(value, bool):
        raise BadField(
            f"{name} is a number of pixels, at least 1, or two, (rows, columns); got {value!r}."
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _pair(value: int | Sides) -> Sides:
    return (value, value) if isinstance(value, int) else value


def _least(sides: Sides, most: Sides) -> Sides:
    return min(sides[0], most[0]), min(sides[1], most[1])


def _size_text(sides: Sides) -> str:
    return f"{sides[0]} x {sides[1]}"


def _warn_cut(name: str, asked: Sides, ran: Sides, beside: str) -> None:
    warnings.warn(
        f"occlusion: a {name} of {_size_text(asked)} (rows x columns) is too large for {beside};"
        f" {_size_text(ran)} was used instead, as the provenance records.",
        SightlineWarning,
        stacklevel=4,
    )
