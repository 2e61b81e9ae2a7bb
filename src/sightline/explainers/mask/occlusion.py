"""Occlusion: hide one window after another and see how far the score falls.

Paper: Zeiler and Fergus, ECCV 2014, section 2.2, figure 6. Each pixel gets the mean drop of the
windows that cover it. Deviations: the last window of a line is shifted back inside, so that every
pixel is covered by windows of one size; the window is a field, because the paper's depends on the
picture. On convolutional networks only what a window changes is computed (_incremental.py): the
same scores, to 1e-4 of their spread, for less work.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.fill import Fill
from ...ops.masks import windows
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._incremental import occluded_scores


@register("occlusion", paper="arXiv:1311.2901", claims=("class-sensitive", "weight-sensitive"))
@dataclass(frozen=True, kw_only=True)
class Occlusion(Explainer):
    """How much does the score fall when this place is hidden?

    values and native: signed, in units of the score (probability by habit); positive where hiding
    lowers it. window, stride: in pixels of the input; None means a seventh of the short side and
    half of that, 32 and 16 at 224 pixels (and 1 and 1 below 11). fill: what a hidden pixel becomes,
    the name of a `Fill`.

    Do not trust it where the same evidence stands twice: hiding one copy changes nothing. Windows
    smaller than the evidence miss it as well.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True

    window: int | None = None
    stride: int | None = None
    fill: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.fill)
        for name, value in (("window", self.window), ("stride", self.stride)):
            if value is not None and value < 1:
                raise BadField(f"{name} is a number of pixels, at least 1; got {value}.")
        if self.window and self.stride and self.stride > self.window:
            raise BadField(
                f"a stride of {self.stride} leaves gaps between windows of {self.window}; use at"
                " most the window."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        rows, cols = images.shape[-2:]
        window = min(self.window or max(1, round(min(rows, cols) / 7)), rows, cols)
        stride = min(self.stride or max(1, window // 2), window)
        clean = model.scores(images, target).float()
        filled = Fill(self.fill).like(images, model)
        drops = torch.zeros((len(images), rows, cols), device=images.device)
        covered = torch.zeros((rows, cols), device=images.device)
        corners = windows((rows, cols), (window, window), (stride, stride))
        for row in range(len(images)):
            scores = occluded_scores(model, images, filled, corners, (target, row))
            for (top, left, bottom, right), drop in zip(
                corners.tolist(), clean[row] - scores, strict=True
            ):
                drops[row, top:bottom, left:right] += drop
        for top, left, bottom, right in corners.tolist():
            covered[top:bottom, left:right] += 1
        found = drops / covered
        return Heatmap(found, native=found)
