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

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.resize import resize
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._descent import Stop, Walk, optimise
from ._evidence import Evidence, Term, Way, filled_like
from ._objective import Objective, joined
from ._optimisers import LineSearch, Nesterov, refuse_wrong, scaled
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
class IGOSPlusPlus(Explainer):
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

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True
    probability: ClassVar[bool] = True

    cells: int = 28
    iterations: int = 15
    points: int = 20
    nodes: Literal["ends", "middles"] = "ends"
    area: float = 1.0
    smooth: float = 20.0
    edge: float = 0.01
    noise: float = 0.2
    optimiser: Literal["line-search", "nesterov"] = "line-search"
    rate: float = 1000 / 64
    largest: float = 1000.0
    smallest: float = 1e-5
    shrink: float = 0.2
    sufficient: float = 1e-4
    smoothed: bool = True
    tolerance: float = 0.005
    fill: str | float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        refuse_wrong(self)
        if self.optimiser not in ("line-search", "nesterov"):
            raise BadField(f"optimiser is 'line-search' or 'nesterov'; got {self.optimiser!r}.")
        if self.edge <= 0 or self.rate <= 0:
            raise BadField(f"igos++ needs edge and rate above 0; got {self.edge} and {self.rate}.")

    def fast(self) -> "IGOSPlusPlus":
        return replace(self, points=max(1, self.points // 3), nodes="middles")

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        cells = min(self.cells, images.shape[2]), min(self.cells, images.shape[3])
        smallest = scaled(self.smallest, cells)
        stop = Stop(iterations=self.iterations, tolerance=self.tolerance)
        objective = self._objective(model, images, target)
        course = optimise(objective, cells, self._walk(cells, smallest), stop)
        hidden = joined(course.shown(smallest))
        values = resize(hidden[:, None], images.shape[-2:])
        ends = objective.evidence.scores((1 - values).repeat(1, len(TERMS), 1, 1), course.rows)
        details = {
            "objective": course.curve.float(),
            "deletion": ends[:, OF_PRODUCT[0]],
            "insertion": ends[:, OF_PRODUCT[1]],
            "iterations": course.used,
            "accepted": course.lowered,
            "remark": course.remarks,
        }
        return Heatmap(values[:, 0], native=hidden, details=details)

    def _objective(self, model: Model, images: Images, target: Target) -> Objective:
        way = Way(
            points=self.points,
            middles=self.nodes == "middles",
            noise=self.noise,
            seed=self.seed,
            purpose="igos++",
        )
        evidence = Evidence(
            model=model,
            target=target,
            images=images,
            filled=filled_like(images, model, self.fill),
            terms=TERMS,
            way=way,
        )
        return Objective(
            evidence=evidence,
            masks=2,
            area=self.area,
            smooth=self.smooth,
            edges=edge_weights(images / model.std.to(images), self.edge),
        )

    def _walk(self, cells: tuple[int, int], smallest: float) -> Walk:
        if self.optimiser == "nesterov":
            return Nesterov(scaled(self.rate, cells))
        return LineSearch(
            scaled(self.largest, cells),
            smallest,
            self.shrink,
            self.sufficient,
            self.smooth / 2 * self.smoothed,
        )
