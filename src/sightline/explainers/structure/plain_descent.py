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

from dataclasses import dataclass
from typing import ClassVar

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.fill import Fill
from ...ops.resize import resize
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._descent import Stop, optimise
from ._evidence import Evidence, Term, Way, filled_like
from ._objective import Objective, joined
from ._optimisers import Adam

SMALLEST = 1e-5  # igos's smallest step


@register(
    "meaningful-perturbation",
    paper="arXiv:1704.03296",
    claims=("weight-sensitive", "seed-stable", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class MeaningfulPerturbation(Explainer):
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

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True
    probability: ClassVar[bool] = True

    cells: int = 28
    iterations: int = 300
    rate: float = 0.1
    area: float = 1.0
    smooth: float = 20.0
    noise: float = 0.2
    tolerance: float = 0.005
    fill: str | float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fill is not None:
            Fill(self.fill)
        if min(self.cells, self.iterations) < 1 or self.rate <= 0 or self.tolerance < 0:
            raise BadField(
                "meaningful-perturbation needs cells and iterations of at least 1, rate > 0 and"
                f" tolerance >= 0; got {self.cells}, {self.iterations}, {self.rate} and"
                f" {self.tolerance}."
            )
        if min(self.area, self.smooth, self.noise) < 0:
            raise BadField(
                "meaningful-perturbation needs area, smooth and noise of at least 0; got"
                f" {self.area}, {self.smooth} and {self.noise}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        cells = min(self.cells, images.shape[2]), min(self.cells, images.shape[3])
        evidence = Evidence(
            model=model,
            target=target,
            images=images,
            filled=filled_like(images, model, self.fill),
            terms=(Term(1.0, True),),
            way=Way(points=1, middles=False, noise=self.noise, seed=self.seed, purpose="plain"),
        )
        objective = Objective(evidence=evidence, masks=1, area=self.area, smooth=self.smooth)
        stop = Stop(iterations=self.iterations, tolerance=self.tolerance)
        course = optimise(objective, cells, Adam(self.rate), stop)
        hidden = joined(course.shown(SMALLEST))
        details = {
            "objective": course.curve.float(),
            "deletion": course.scores[:, 0],
            "iterations": course.used,
            "accepted": course.lowered,
            "remark": course.remarks,
        }
        values = resize(hidden[:, None], images.shape[-2:])[:, 0]
        return Heatmap(values, native=hidden, details=details)
