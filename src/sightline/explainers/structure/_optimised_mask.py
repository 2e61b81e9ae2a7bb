"""The family of optimised masks: the smallest smooth mask that changes the class, found by descent.

A member says what its masks are asked to do (`terms`), where gradients are taken (`path`), and how
the masks move (`descent`). Steps are counted for 28 x 28 cells and scaled with their number,
because means over cells are.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.fill import Fill
from ...ops.resize import resize
from ...shapes import Images
from ...target import Target
from ._descent import DescentState, Optimiser, Stop, optimise
from ._evidence import Evidence, MaskPath, Term, filled_like
from ._objective import Objective, joined
from ._optimisers import LineSearch, scaled

Edges = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class OptimisedMask(Explainer):
    """What the product of the masks hides, in [0, 1], resized to the image; native: in its cells.

    cells: of the masks along each side, at most one per pixel. iterations: at most. area, smooth:
    weights of size and roughness. noise: deviation in normalised units, on the pictures whose
    gradient is taken. tolerance: a picture is done when 3 iterations (or a tenth of all) together
    add at most this share of the objective's fall so far; 0 always takes `iterations`. fill: what
    a removed pixel becomes, None for the published wide blur.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True
    probability: ClassVar[bool] = True
    masks: ClassVar[int] = 1
    terms: ClassVar[tuple[Term, ...]] = (Term(1.0, True),)

    cells: int = 28
    iterations: int = 15
    area: float = 1.0
    smooth: float = 20.0
    noise: float = 0.2
    tolerance: float = 0.005
    fill: str | float | None = None
    seed: int = 0

    @final
    def __post_init__(self) -> None:
        name = self.registered_name
        if self.fill is not None:
            Fill(self.fill)
        if min(self.cells, self.iterations) < 1 or self.tolerance < 0:
            raise BadField(
                f"{name} needs cells and iterations of at least 1 and tolerance >= 0; got"
                f" {self.cells}, {self.iterations} and {self.tolerance}."
            )
        if min(self.area, self.smooth, self.noise) < 0:
            raise BadField(
                f"{name} needs area, smooth and noise of at least 0; got {self.area},"
                f" {self.smooth} and {self.noise}."
            )
        self.settle()

    @abstractmethod
    def settle(self) -> None:
        """Raises: BadField for fields of a member that no search can run with."""

    @property
    @abstractmethod
    def path(self) -> MaskPath:
        """Where between the full mask and the present one gradients are taken."""

    @abstractmethod
    def descent(self, cells: tuple[int, int]) -> tuple[Optimiser, float]:
        """How masks of these cells move, and the smallest step that is taken."""

    @abstractmethod
    def edges(self, model: Model, images: Images) -> Edges | None:
        """`edge_weights` of the images; None where roughness counts alike everywhere."""

    @abstractmethod
    def ends(
        self, objective: Objective, course: DescentState, hidden: Tensor
    ) -> Mapping[str, Tensor]:
        """The scores at the end, by name, (image,) each. hidden: as shown, (image, 1, row, col)."""

    @final
    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        cells = min(self.cells, images.shape[2]), min(self.cells, images.shape[3])
        walk, smallest = self.descent(cells)
        objective = self._objective(model, images, target)
        stop = Stop(iterations=self.iterations, tolerance=self.tolerance)
        course = optimise(objective, cells, walk, stop)
        hidden = joined(course.hidden_at_end(smallest))
        values = resize(hidden[:, None], images.shape[-2:])
        details = {
            "objective": course.curve.float(),
            **self.ends(objective, course, values),
            "iterations": course.used,
            "accepted": course.lowered,
            "remark": course.remarks,
        }
        return Heatmap(values[:, 0], native=hidden, details=details)

    @final
    def _objective(self, model: Model, images: Images, target: Target) -> Objective:
        evidence = Evidence(
            model=model,
            target=target,
            images=images,
            filled=filled_like(images, model, self.fill),
            terms=self.terms,
            path=self.path,
        )
        return Objective(
            evidence=evidence,
            masks=self.masks,
            area=self.area,
            smooth=self.smooth,
            edges=self.edges(model, images),
        )


@dataclass(frozen=True, kw_only=True)
class IntegratedMask(OptimisedMask):
    """Masks whose gradient is integrated on the way from the full mask, by backtracking line
    search.

    cells: 7 to 224 are sensible. points, nodes: where on the path the gradient is taken: at the
    `ends` of equal parts, as published, or at their `middles`, where fewer are as good. largest,
    smallest, shrink, sufficient: of the line search; smoothed: each step is also tried with an
    implicit solution for the roughness.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"iterations": 4, "points": 3}

    points: int = 20
    nodes: Literal["ends", "middles"] = "ends"
    largest: float = 200.0
    smallest: float = 1e-5
    shrink: float = 0.2
    sufficient: float = 1e-4
    smoothed: bool = True

    @final
    @property
    def path(self) -> MaskPath:
        return MaskPath(
            points=self.points,
            middles=self.nodes == "middles",
            noise=self.noise,
            seed=self.seed,
            purpose=self.registered_name,
        )

    @final
    def fast(self) -> "IntegratedMask":
        """A third of the points, in the middles of equal parts."""
        return replace(self, points=max(1, self.points // 3), nodes="middles")

    @final
    def line_search(self, cells: tuple[int, int]) -> tuple[LineSearch, float]:
        """The published descent. The variation is shared by the masks, and so is its weight."""
        smallest = scaled(self.smallest, cells)
        search = LineSearch(
            scaled(self.largest, cells),
            smallest,
            self.shrink,
            self.sufficient,
            self.smooth / self.masks * self.smoothed,
        )
        return search, smallest

    @final
    def check_search(self) -> None:
        """Raises: BadField for fields that no line search can run with."""
        name = self.registered_name
        if self.nodes not in ("ends", "middles"):
            raise BadField(f"nodes is 'ends' or 'middles'; got {self.nodes!r}.")
        if self.points < 1 or self.sufficient < 0:
            raise BadField(
                f"{name} needs points of at least 1 and sufficient of at least 0; got"
                f" {self.points} and {self.sufficient}."
            )
        if not 0 < self.smallest <= self.largest or not 0 < self.shrink < 1:
            raise BadField(
                f"{name} needs 0 < smallest <= largest and shrink between 0 and 1; got"
                f" {self.smallest}, {self.largest} and {self.shrink}."
            )
