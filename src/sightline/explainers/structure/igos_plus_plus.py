"""iGOS++: one mask to delete and one to insert, optimised together; their product is the answer.

Paper: Khorram, Lawson and Li, ACM CHIL 2021; the Nesterov variant is that of Jiang, Khorram and Li,
BMVC 2023. Minimise 1/2 [D(m_d) + D(m_d m_i) - I(m_i) - I(m_d m_i)] + area * mean|1 - m_d m_i| +
smooth * BTV(m_d m_i), where D is the score of the picture under a mask and I that of the picture
that the mask lets out. Deviations: those of igos.py; the line search looks at this objective (the
public code sums the class terms without the half, through noise); the bilateral variation squares
before it averages colours; Nesterov's first point is the full mask (the code's 0 has no weight
there), and the best mask on its way is shown. Its step is the published 1000 of 224 x 224 cells;
the published settings there are area 10 and 20 iterations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ...errors import BadField
from ...model import Model
from ...registry import register
from ...shapes import AnyTensor, Images
from ._descent import DescentState, Optimiser
from ._evidence import Term
from ._objective import Objective
from ._optimised_mask import Edges, IntegratedMask
from ._optimisers import Nesterov, scaled
from ._variation import edge_weights

DELETING, INSERTING = 0, 1  # the two masks
TERMS = (
    Term(0.5, True, (DELETING,)),
    Term(0.5, True, (DELETING, INSERTING)),
    Term(-0.5, False, (INSERTING,)),
    Term(-0.5, False, (DELETING, INSERTING)),
)
OF_PRODUCT = 1, 3  # the terms that ask about both: deletion and insertion


@register(
    "igos++", paper="arXiv:2012.15783", claims=("weight-sensitive", "seed-stable", "non-negative")
)
@dataclass(frozen=True, kw_only=True)
class IGOSPlusPlus(IntegratedMask):
    """Which region destroys the class when it is removed, and is sufficient for it when it is kept?

    values: 1 - the product of both masks, in [0, 1]; native: the same in its own cells. cells: of
    the masks along each side, 7 to 224, at most one per pixel. optimiser: `line-search`, or
    `nesterov` with the fixed step `rate`. edge: the squared difference of neighbouring pixels
    (normalised units) from which the mask may change abruptly. The other fields are those of
    `igos`. details,
    one of each per image: `objective` (iteration) without noise, `deletion` and `insertion` (the
    scores without the region, and with nothing else), `iterations` taken and `accepted`, those
    that lowered the objective.

    Do not trust it where `accepted` is 0, `insertion` is far below the picture's score, or
    `deletion` is far above 0: no small smooth region contains the class there.
    """

    masks: ClassVar[int] = 2
    terms: ClassVar[tuple[Term, ...]] = TERMS

    edge: float = 0.01
    optimiser: Literal["line-search", "nesterov"] = "line-search"
    rate: float = 1000 / 64
    largest: float = 1000.0

    def settle(self) -> None:
        self.check_search()
        if self.optimiser not in ("line-search", "nesterov"):
            raise BadField(f"optimiser is 'line-search' or 'nesterov'; got {self.optimiser!r}.")
        if self.edge <= 0 or self.rate <= 0:
            raise BadField(f"igos++ needs edge and rate above 0; got {self.edge} and {self.rate}.")

    def descent(self, cells: tuple[int, int]) -> tuple[Optimiser, float]:
        search, smallest = self.line_search(cells)
        fixed = self.optimiser == "nesterov"
        return Nesterov(scaled(self.rate, cells)) if fixed else search, smallest

    def edges(self, model: Model, images: Images) -> Edges:
        return edge_weights(images / model.std.to(images), self.edge)

    def ends(
        self, objective: Objective, course: DescentState, hidden: Images
    ) -> Mapping[str, AnyTensor]:
        covers = (1 - hidden).repeat(1, len(TERMS), 1, 1)
        scores = objective.evidence.scores(covers, course.rows)
        return {"deletion": scores[:, OF_PRODUCT[0]], "insertion": scores[:, OF_PRODUCT[1]]}
