"""AdvEdge+: fool classifier and map together, moving pixels on edges and no others.

Paper: Abdukhamidov et al., CSoNet 2021 (arXiv:2211.15926): steps of step * 1[w > threshold] *
sign(g), w the Sobel magnitude. Recipe and deviations: `_edge_attack.py`.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..explainer import Explainer
from ..explainers.mask.realtime_saliency import RealtimeSaliency
from ..registry import register
from ._edge_attack import EdgeAttack
from ._edges import SHARP

SOFT = SHARP / 2  # what the authors' code uses against the mask network


@register("adv-edge+", paper="arXiv:2211.15926")
@dataclass(frozen=True, kw_only=True)
class AdvEdgePlus(EdgeAttack):
    """Which small change of edge pixels alone changes the predicted class but not the map?

    threshold: Sobel magnitude from which a pixel may move; None is 0.1, and 0.05 against
    `realtime-saliency`, as in the authors' code. `edges="always"` keeps stage 2 to them too.

    Do not trust its picture to move edges only under the default `edges="stage1"`, which is the
    authors' recipe: its second stage moves every pixel.
    """

    threshold: float | None = None

    def weigh(
        self, edges: Float[Tensor, "1 1 row col"], explainer: Explainer | None
    ) -> Float[Tensor, "1 1 row col"]:
        soft = isinstance(explainer, RealtimeSaliency)
        least = self.threshold if self.threshold is not None else SOFT if soft else SHARP
        return (edges > least).to(edges)
