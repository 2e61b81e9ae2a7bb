"""I-GOS: the smallest smooth region whose removal destroys the class, by integrated gradients.

Paper: Qi, Khorram and Li, AAAI 2020: minimise p(x under m) + area * mean|1 - m| + smooth * TV(m),
the class term's gradient averaged over the masks k / S * m through noise, the step by backtracking.
Deviations: the line search looks at the objective without noise, begins at the last accepted step
grown once (the public code at the largest), shrinks on while that is lower still (the first step
that is good enough overshoots, and the integrated gradient does not lead back), and takes a fall
below 1e-5 for rounding. Each step is also tried with an implicit solution for the roughness
(_smoothing.py), and the lower objective of the two is used: for one of two photographs under
MobileNetV2 the published step does not lower the objective at all; `smoothed=False` leaves that
out. Where no step is good the mask stays, and the next iteration draws other noise. Corners of
cells and picture are not aligned, so that all cells are of one size (the code aligns them). Steps
are counted for 28 x 28 cells and scaled with their number, because means over cells are; the blur
is scaled with the picture. `early weakening` of the second public copy is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...model import Model
from ...registry import register
from ...shapes import AnyTensor, Images
from ._descent import DescentState, Optimiser
from ._objective import Objective
from ._optimised_mask import IntegratedMask


@register(
    "igos", paper="arXiv:1905.00954", claims=("weight-sensitive", "seed-stable", "non-negative")
)
@dataclass(frozen=True, kw_only=True)
class IGOS(IntegratedMask):
    """What is the smallest smooth region without which the class is gone?

    values: 1 - mask, in [0, 1], 1 for removed; native: the same in its own cells. cells: of the
    mask along each side, 7 to 224, at most one per pixel. points, nodes: where on the path from the
    full mask the gradient is taken: at the `ends` of equal parts, as published, or at their
    `middles`, where fewer are as good. area, smooth: weights of size and roughness. Roughness is a
    mean over cells, so a coarse mask needs a smaller weight: 1.25 at 7 cells equals 20 at 28, and
    for 224 the public code advises area 10. A logit as target needs other weights. noise: deviation
    in normalised units. largest, smallest, shrink, sufficient: of the line search; smoothed: each
    step is also tried with an implicit solution for the roughness. tolerance: a picture is done
    when 3 iterations together add at most this share of the objective's fall so far; 0 always
    takes `iterations`. fill: what a removed pixel becomes, None for the published wide blur.
    details, one of each per image: `objective` (iteration) without noise, `deletion` (the score at
    the end), `iterations` taken and `accepted`, those that lowered the objective.

    Do not trust it where `accepted` is 0: no region is worth its size there, and the map only shows
    which cells would be removed first. Do not trust it either where blur fools the model: check
    `deletion`, and whether another fill gives the same region.
    """

    def settle(self) -> None:
        self.check_search()

    def descent(self, cells: tuple[int, int]) -> tuple[Optimiser, float]:
        return self.line_search(cells)

    def edges(self, model: Model, images: Images) -> None:
        return None

    def ends(
        self, objective: Objective, course: DescentState, hidden: Images
    ) -> Mapping[str, AnyTensor]:
        return {"deletion": course.scores[:, 0]}
