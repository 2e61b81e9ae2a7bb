"""SESS: explain windows of the enlarged picture, weight each by the model's confidence there, and
fuse the maps.

Paper: Tursun et al., ECCV 2022, with the defaults of its code (constants from a survey of it): 12
scales whose shorter side grows by 64 from 224, windows of 224 side by side, the last one shifted
back inside; window p has the score q_p (probability) and the map m_p, stretched to [0, 1]; what is
fused is v_p = m_p q_p / max q, as the mean over the windows with v_p > theta at a place, or as the
maximum; then an 11 x 11 blur of sigma 5. Deviations: windows are as large as the model's own input,
and growth and blur are in proportion to it (the paper's numbers at 224); a constant map becomes 0,
where the reference divides by zero; the blur replicates the edge (not confirmed).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...explainer import Explainer, part_method
from ...explanation import Heatmap
from ...model import Model
from ...ops.blur import gaussian_blur
from ...ops.similarity import rounded
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._inner_method import refuse_places
from ._windows import Fusion, Pieces, Window, scale_windows

WIDTH = 224  # the input for which the paper gives growth and blur in pixels


@register("sess", paper="arXiv:2207.01769", claims=("weight-sensitive", "non-negative"))
@dataclass(frozen=True, kw_only=True)
class SESS(Explainer):
    """Where does the method find evidence, at several scales of the picture?

    explainer: the method, a name or an explainer with its own parameters. values: in [0, 1], not in
    units of the score. native: signed, the method's maps as they are, averaged over windows that
    count by their scores; a project definition, at the resolution of the input. scales: 12 are 122
    windows, 5 are 22. growth: what each scale adds to the picture's sides, as a share of the
    window. prefilter: the share of windows, those of the lowest scores, that are not explained
    (with `score-cam` the paper takes 5 scales and 0.5). threshold: what a weighted value must
    exceed to be counted in a mean. details: `windows`, how many of each picture were explained. The
    target is the one of the clean picture.

    Do not trust it to bring back detail: it enlarges the picture as the model receives it, so
    detail lost in the model's own resizing stays lost. A mean counts only the windows that are
    positive at a place, so one confident window can decide. Windows are weighted by probability, so
    scaling a model's logits changes how much uncertain windows count.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"scales": 2}

    explainer: Explainer | str = "grad-cam"
    scales: int = 12
    growth: float = 64 / WIDTH
    prefilter: float = 0.0
    threshold: float = 0.0
    fusion: Literal["mean", "max"] = "mean"
    smooth: bool = True

    def __post_init__(self) -> None:
        part_method(self.explainer)
        if self.scales < 1 or self.growth <= 0 or self.fusion not in ("mean", "max"):
            raise BadField(
                "sess needs scales >= 1, growth > 0 and fusion 'mean' or 'max'; got"
                f" {self.scales}, {self.growth} and {self.fusion!r}."
            )
        if not 0 <= self.prefilter < 1 or not 0 <= self.threshold < 1:
            raise BadField(
                "sess needs prefilter and threshold in [0, 1); got"
                f" {self.prefilter} and {self.threshold}."
            )

    @property
    def parts(self) -> tuple[Explainer, ...]:
        return (part_method(self.explainer),)

    def fast(self) -> "SESS":
        """The same around the fast form of its method."""
        return replace(self, explainer=self.parts[0].fast())

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        refuse_places(self.registered_name, target)
        rows, cols = images.shape[2], images.shape[3]
        planned = scale_windows((rows, cols), self.scales, self.growth)
        kept = len(planned) - int(self.prefilter * len(planned))
        at_once = model.chunk(images, len(planned) * len(images))
        pictures = enumerate(images.split(1))
        pieces = [Pieces(model, target, row, image, at_once) for row, image in pictures]
        fused = [self._fused(each, planned, kept) for each in pieces]
        found = torch.stack([values for values, _ in fused])
        if self.smooth:
            sigma = 5 * min(rows, cols) / WIDTH
            found = gaussian_blur(found[:, None], 2 * round(sigma) + 1, sigma)[:, 0]
        counted = torch.full((len(images),), kept, device="cpu")
        signed = torch.stack([native for _, native in fused])
        return Heatmap(found, native=signed, details={"windows": counted})

    def _fused(self, pieces: Pieces, planned: list[Window], kept: int) -> tuple[Tensor, Tensor]:
        """One picture's map (row, col) before the blur, and the signed one; only a batch of windows
        is held at once.
        """
        least = 0.0
        if kept < len(planned) or self.threshold:
            scores = torch.cat([pieces.scores(part) for part in pieces.batches(planned)])
            ranked = rounded(scores.cpu().view(1, 1, -1)).flatten()
            ranked = ranked.argsort(descending=True, stable=True)
            order = ranked[:kept].sort().values
            planned = [planned[i] for i in order.tolist()]
            least = self.threshold * float(scores.max())
        (part,) = self.parts
        fusion = Fusion(pieces.image, least)
        for some in pieces.batches(planned):
            for window, *found in zip(some, *pieces.maps(some, part), strict=True):
                fusion.add(window, *found)
        if fusion.best <= 0:
            raise NotExplainable(
                f"sess weights windows by the target's probability, and {pieces.target!r} is not"
                " above 0 in any window; explain a class itself, not the evidence against it."
            )
        values = fusion.mean() if self.fusion == "mean" else fusion.largest
        return values / fusion.best, fusion.signed()
