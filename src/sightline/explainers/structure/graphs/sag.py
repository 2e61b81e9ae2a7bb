"""SAG: several minimal sufficient sets of patches, and the drop of the score without each patch.

Paper: Shitole, Li, Kahng, Tadepalli and Fern, NeurIPS 2021: a set of patches N is sufficient when
v(N) >= 0.9 * v(all), and minimal when no N without one of its patches is; found by a beam search
whose patches are ranked by I-GOS (7 x 7, 2 iterations); shown as a graph of removals, down to 40 %.
Deviations: equal sets are merged everywhere, so the graph is one (the public code makes a tree) and
no set is measured twice; a sufficient set is reduced along several ways, not one, and a set that
holds a minimal one is not looked into again; the beam is 6 where the code has 3, and ends two sizes
after the last new set; the fill is the wide blur of I-GOS (the code's is black); patches lie under
the mask with corners not aligned, so that all are of one size; of each set the two costliest
removals and the cheapest are drawn (the code takes the first three); scores are rounded to six
decimals of the whole picture's, so that batches cannot break ties. The necessary set is a project
definition: a smallest set found, by a narrower beam, without which less than `destroyed` of the
score is left. On convolutional networks on a CPU most sets are computed only where they differ from
a set with one patch more or less (_patches.py); each still counts as one forward pass, and each set
that is recorded for that as another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ....errors import BadField, NotExplainable
from ....explainer import Explainer, part_method
from ....explanation import Explanation, Heatmap
from ....explanations.regions import Regions, diverse
from ....model import Model
from ....ops.similarity import rounded
from ....registry import register
from ....shapes import Images
from ....target import Target
from ..igos import IGOS
from ._lattice import LatticeLimits, lattice
from ._outcomes import ExplainedClass, endings, explained_classes, most
from ._patches import Patches, check_fill, filled, indices
from ._search import Bounds, SearchResult, search

_RANKING = IGOS(cells=7, iterations=2)
FINEST = 32  # rows and columns of patches: beyond, a search patch by patch does not end


@register("sag", paper="arXiv:2011.06733")
@dataclass(frozen=True, kw_only=True)
class SAG(Explainer):
    """Which small sets of patches are sufficient for the class, and how much does each of their
    patches matter?

    explainer: the map that ranks the patches. grid: rows and columns of patches. fill: what a
    hidden pixel becomes; besides the usual ones `wide-blur` and `inpaint`, from the patches that
    are shown. sufficient, destroyed: shares of the whole picture's probability that are enough, and
    that are left when the class is gone. beam, successors: sets kept of each size, and patches
    tried after each; tried: only the most promising ones are measured, and sets are reduced along
    their best path only; None measures all, and follows as many other paths as the beam is wide.
    coverage: the largest share of the picture that a set may take. roots: the largest number of
    minimal sets; patience: stop when this many sizes gave no new set, None goes on to `coverage`.
    overlap,
    shown: the graph starts at so many sets that share at most `overlap` patches. children, nodes:
    of the graph.

    Do not trust the sets beyond this fill: another fill may give other sets. The beam search misses
    sets (a width of 3 can miss one of two equally good sets). Neighbouring patches also leak into
    each other at their soft edges.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True
    gives: ClassVar[type[Explanation]] = Regions
    tiny: ClassVar[Mapping[str, Any]] = {"grid": 3}
    recommended: ClassVar[bool] = True

    explainer: Explainer | str = _RANKING
    grid: int = 7
    fill: str | float = "wide-blur"
    sufficient: float = 0.9
    destroyed: float = 0.4
    beam: int = 6
    successors: int = 15
    tried: int | None = None
    coverage: float = 0.5
    roots: int = 10
    patience: int | None = 2
    overlap: int = 1
    shown: int = 3
    children: int | None = 3
    nodes: int = 30

    def __post_init__(self) -> None:
        check_fill(self.fill)
        if not 0 < self.destroyed < self.sufficient <= 1 or not 0 < self.coverage <= 1:
            raise BadField(
                "sag needs 0 < destroyed < sufficient <= 1 and coverage in (0, 1]; got"
                f" {self.destroyed}, {self.sufficient} and {self.coverage}."
            )
        if self.grid > FINEST:
            raise BadField(
                f"sag takes a grid of up to {FINEST} x {FINEST} patches; got {self.grid}. Sets are"
                " searched patch by patch; for finer regions use igos++."
            )
        counts = (self.grid, self.beam, self.successors, self.roots, self.shown, self.nodes)
        some = (self.tried, self.children, self.patience)
        if min(counts) < 1 or self.overlap < 0 or any(n is not None and n < 1 for n in some):
            raise BadField(
                "sag needs grid, beam, successors, roots, shown, nodes, tried, children and"
                f" patience of at least 1 and overlap >= 0; got {self!r}."
            )

    @property
    def parts(self) -> tuple[Explainer, ...]:
        return (part_method(self.explainer),)

    def fast(self) -> "SAG":
        """Only the five most promising successors are measured, sets are reduced along one way, and
        the search stops one size after the last new set."""
        part = self.explainer
        ranking = part.fast() if isinstance(part, Explainer) else part
        return replace(self, explainer=ranking, tried=5, patience=1)

    def explain(self, model: Model, images: Images, target: Target) -> Regions:
        grid = min(self.grid, images.shape[2]), min(self.grid, images.shape[3])
        ranks = self._ranks(model, images, target, grid)
        asked = target.with_probability(True)
        hidden = filled(images, model, self.fill)
        with torch.no_grad():
            whole = (
                model.scores(images, asked, rows=torch.arange(len(images), device="cpu"))
                .double()
                .tolist()
            )
            found = [
                self._of_one(
                    Patches(
                        model=model,
                        target=asked,
                        row=row,
                        image=images[row : row + 1],
                        hidden=None if hidden is None else hidden[row : row + 1],
                        grid=grid,
                        whole=whole[row],
                    ),
                    ranks[row],
                    aim,
                )
                for row, aim in enumerate(explained_classes(model, images, asked))
            ]
        thresholds = (self.sufficient, self.destroyed)
        return Regions(grid=grid, thresholds=thresholds, **_columns(found))

    def _ranks(
        self, model: Model, images: Tensor, target: Target, grid: tuple[int, int]
    ) -> list[list[int]]:
        """The patches of each image from the strongest in the base map to the weakest."""
        heat = self.parts[0].explain(model, images, target)
        if not isinstance(heat, Heatmap):
            raise BadField(f"{self.parts[0]!r} gives no heatmap, so it cannot rank patches.")
        pooled = nn.functional.adaptive_avg_pool2d(heat.values.detach()[:, None].float(), grid)
        if not torch.isfinite(pooled).all():
            raise NotExplainable(f"{self.parts[0]!r} ranks patches by values that are not finite.")
        order = rounded(pooled[:, 0]).flatten(1).argsort(dim=1, descending=True, stable=True)
        return order.tolist()

    def _of_one(
        self, patches: Patches, order: Sequence[int], aim: ExplainedClass
    ) -> dict[str, Any]:
        columns = patches.grid[1]
        if not patches.whole > 0:
            patches.confidences[patches.all] = 1.0
            found, needed = SearchResult(best=patches.all), None
        else:
            size = most(patches, self)
            bounds = self._bounds(size)
            found = search(patches.confidence, order, bounds, self.sufficient)
            needed = self._necessary(patches, order, size) if found.minimal != [0] else None
        floor = self.destroyed if patches.whole > 0 else float("inf")
        reach = LatticeLimits(floor=floor, children=self.children, nodes=self.nodes)
        ranked = sorted(found.minimal, key=lambda s: (s.bit_count(), -patches.confidence([s])[0]))
        sets = [[divmod(i, columns) for i in indices(s)] for s in ranked]
        starts = [ranked[i] for i in diverse(sets, self.overlap)]
        chosen = starts[: self.shown] or [found.best]
        graph = lattice(patches.confidence, chosen, columns, reach)
        outcome, notes = endings(aim, patches, found, needed, self)
        left = None if needed is None else patches.confidence([patches.all & ~needed])[0]
        return {
            "minimal": sets,
            "confidences": patches.confidence(ranked),
            "necessary": None if needed is None else [divmod(i, columns) for i in indices(needed)],
            "remaining": left,
            "links": graph,
            "outcome": outcome,
            "notes": notes,
            "evaluations": len(patches.confidences) + patches.recorded,
        }

    def _bounds(self, size: int) -> Bounds:
        return Bounds(
            beam=self.beam,
            successors=self.successors,
            ways=self.beam if self.tried is None else 0,
            roots=self.roots,
            size=size,
            tried=self.tried,
            patience=self.patience,
        )

    def _necessary(self, patches: Patches, order: Sequence[int], size: int) -> int | None:
        """A smallest set found without which the class is destroyed: the same search for what is
        taken away, with a third of the beam, ended at the first size that succeeds."""
        bounds = replace(self._bounds(size), beam=max(1, self.beam // 3), patience=0)

        def lost(sets: Sequence[int]) -> list[float]:
            left = patches.confidence([patches.all & ~s for s in sets])
            return [float(share < self.destroyed) + 1 - min(share, 1) for share in left]

        found = search(lost, order, bounds, 1.0)
        every = sorted(found.minimal, key=lambda s: (s.bit_count(), -lost([s])[0]))
        return every[0] if every else None


def _columns(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: [each[name] for each in found] for name in found[0]}
