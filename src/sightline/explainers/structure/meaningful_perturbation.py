"""Meaningful perturbation: the mask of igos, found with the plain gradient; the control for the
integrated gradient.

Paper: Fong and Vedaldi, ICCV 2017, eq. 6 (from memory): 300 steps of Adam at 0.1 on a coarse mask,
size + roughness + score. Deviations, so that only the descent differs from igos: the regularisers
are the means of igos with its weights and the power 2 (the paper sums them, 1e-4, 1e-2 and the
power 3); Adam divides by at least 1e-4 of the picture's largest slope, and a cell of which nothing
is hidden also gets the cost of hiding it, so that rounding cannot move it as far as all others;
noise on the pixels instead of a shift by up to 4 of them; a full mask to begin with (the paper
begins with a disc that already destroys the score); bilinear cells instead of Gaussian ones; the
wide blur of igos; a tolerance at which a picture stops; and the best mask on the way is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import BadField
from ...model import Model
from ...registry import register
from ...shapes import AnyTensor, Images
from ._descent import DescentState, Optimiser
from ._evidence import MaskPath
from ._objective import Objective
from ._optimised_mask import OptimisedMask
from ._optimisers import Adam

SMALLEST = 1e-5  # igos's smallest step


@register(
    "meaningful-perturbation",
    paper="arXiv:1704.03296",
    claims=("weight-sensitive", "seed-stable", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class MeaningfulPerturbation(OptimisedMask):
    """What is the smallest smooth region without which the class is gone, found by plain gradient
    descent?

    values: 1 - mask, in [0, 1], 1 for removed; native: the same in its own cells. cells: of the
    mask along each side, at most one per pixel. iterations, rate: of Adam; one iteration is one
    picture forward and backward and one more forward. tolerance: a picture is done when a tenth of
    the iterations together add at most this share of the objective's fall so far. area,
    smooth, noise, fill and details: as in `igos`.

    Do not trust it where the model is very confident: the gradient at the whole picture is then
    almost 0, and the mask follows noise. `igos` averages gradients along the path and is the better
    method; this one shows by how much.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"iterations": 40}

    iterations: int = 300
    rate: float = 0.1

    def settle(self) -> None:
        if self.rate <= 0:
            raise BadField(f"meaningful-perturbation needs rate > 0; got {self.rate}.")

    @property
    def path(self) -> MaskPath:
        return MaskPath(points=1, middles=False, noise=self.noise, seed=self.seed, purpose="plain")

    def descent(self, cells: tuple[int, int]) -> tuple[Optimiser, float]:
        return Adam(self.rate), SMALLEST

    def edges(self, model: Model, images: Images) -> None:
        return None

    def ends(
        self, objective: Objective, course: DescentState, hidden: Images
    ) -> Mapping[str, AnyTensor]:
        return {"deletion": course.scores[:, 0]}
