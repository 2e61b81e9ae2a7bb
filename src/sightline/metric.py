"""The contract of a metric: one number per image that scores an explanation, with a direction and
baselines.

A number has a meaning only beside that of baselines (maps that ignore the network): `null_levels`
scores a random map, a centred blob, an edge map and a uniform map on the same case.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, final

from torch import Tensor

from .errors import NotMeasured
from .explanation import Explanation, Heatmap
from .metrics.contract.case import Case as Case
from .metrics.contract.case import judged as judged
from .metrics.contract.scoring import scored
from .ops.null_maps import NULLS, reference
from .sample import Truth as Truth
from .shapes import Curves, Scores


class Metric:
    """A score of an explanation: how far it can be trusted. Metrics are frozen dataclasses.

    direction: whether a `higher` or a `lower` number is better. unit: what the number counts, for
    labels. takes: the kind of explanation that it can read; a run asks it about no other.
    bounds: the least and the largest number that are possible, None where there are none.
    blind_is_best: whether a map that ignores the picture gets the best number, so that not beating
    it is no failure. measures_cost: it reads what the explanation cost, not what it shows.
    scale_free: a map times a positive number has the same number. tiny: fields with which it is
    quick, for tests. revision: raised where equal fields give another number than before.
    """

    kind: ClassVar[str] = "metric"
    registered_name: ClassVar[str] = ""
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = ""
    bounds: ClassVar[tuple[float, float] | None] = None
    takes: ClassVar[type[Explanation]] = Heatmap
    blind_is_best: ClassVar[bool] = False
    measures_cost: ClassVar[bool] = False
    scale_free: ClassVar[bool] = True
    tiny: ClassVar[Mapping[str, Any]] = {}
    revision: ClassVar[int] = 1

    @final
    def __call__(self, case: Case) -> Scores:
        """One number for each image, (batch,) float32; NaN where the metric is undefined for that
        image, or its map is not finite.

        Raises: NotExplainable where the case lacks what the metric needs.
        """
        return scored(case, self._name, lambda finite: (self.score(finite), None))[0]

    @final
    def measure(self, case: Case) -> tuple[Scores, Curves | None]:
        """What a call gives and the `curves` behind it, from one measurement where the metric has a
        `read`.

        Raises: NotExplainable where the case lacks what the metric needs.
        """

        def ask(finite: Case) -> tuple[Tensor, Tensor | None]:
            curves = self.curves(finite)
            if curves is not None and type(self).read is not Metric.read:
                return self.result(curves, finite.pixels), curves
            return self.score(finite), curves

        return scored(case, self._name, ask)

    @property
    def _name(self) -> str:
        return self.registered_name or type(self).__name__

    def score(self, case: Case) -> Scores:
        """One number for each image, each as it would be alone.

        A metric defines this, or `curves` and `read`.
        """
        curves = self.curves(case)
        if curves is None:
            raise TypeError(f"{type(self).__name__} defines neither `score` nor `curves`.")
        return self.result(curves, case.pixels)

    def curves(self, case: Case) -> Curves | None:
        """The numbers behind each number, (batch, step), for areas under a curve and for metrics
        whose `summary` needs more than one number a picture; None for the others."""
        return None

    def read(self, curves: Curves) -> Scores:
        """The number (batch,) that each curve means, so that nothing is measured twice."""
        raise TypeError(f"{type(self).__name__} has curves that nothing reads: define `read`.")

    def result(self, curves: Curves, pixels: int) -> Scores:
        """The number (batch,) that each curve means, of pictures of so many pixels, where `read`
        alone would leave open what a step is."""
        return self.read(curves)

    def summary(self, values: Scores, curves: Curves | None = None) -> float:
        """One number for a whole collection from `values` (picture,), as scored: the mean of the
        defined ones, NaN where none is.

        A metric whose published aggregate is no mean (a best common threshold, pooled pixels) reads
        `curves` (picture, step), what `curves(case)` gave for the same pictures; without them it
        gives the mean. Rows may be left out or repeated, so a bootstrap draws pictures and asks
        again.
        """
        defined = values[~values.isnan()]
        return float(defined.double().mean()) if len(defined) else float("nan")

    def null(self, name: str, case: Case, seed: int) -> Case:
        """The same case with a baseline as its explanation: the null map `name`, or what a metric
        that reads no map makes of it."""
        shown = case.with_heat(reference(name, case.images, seed))
        return replace(shown, blind=lambda images: reference(name, images, seed))

    @property
    def takes_maps(self) -> bool:
        """Whether it can read a map; where not, it has baselines of its own."""
        return issubclass(Heatmap, self.takes)

    @final
    def null_levels(self, case: Case, seed: int = 0) -> dict[str, Scores]:
        """The numbers of the baselines on this case: name -> (batch,)."""
        with warnings.catch_warnings(category=NotMeasured, action="ignore"):  # said of the map
            return {n: self(self.null(n, case, seed)) for n in NULLS}
