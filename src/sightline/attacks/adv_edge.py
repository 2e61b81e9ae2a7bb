"""AdvEdge: fool classifier and map together, moving each pixel as far as it is an edge.

Paper: Abdukhamidov et al., CSoNet 2021 (arXiv:2211.15926): steps of step * w * sign(g), w the Sobel
magnitude. Recipe and deviations: `_edge_attack.py`. The paper restricts the edges to those inside
the attribution region (from memory); the authors' code does not, and neither does this.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..explainer import Explainer
from ..registry import register
from ._edge_attack import EdgeAttack


@register("adv-edge", paper="arXiv:2211.15926")
@dataclass(frozen=True, kw_only=True)
class AdvEdge(EdgeAttack):
    """Which small change, strongest along edges, changes the predicted class but not the map?

    Without an explainer only the classifier is fooled. With one, the map for the target class is
    made similar to the clean picture's map for its own class.

    Do not trust its picture to move edges only: as in the authors' code, stage 2 moves every
    pixel unless `edges="always"`.
    """

    def weigh(
        self, edges: Float[Tensor, "1 1 row col"], explainer: Explainer | None
    ) -> Float[Tensor, "1 1 row col"]:
        return edges
