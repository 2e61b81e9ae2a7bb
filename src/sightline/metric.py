"""The contract of a metric: one number per image that scores an explanation, with a direction and
baselines.

A number has a meaning only beside that of baselines (maps that ignore the network): `null_levels`
scores a random map, a centred blob, an edge map and a uniform map on the same case.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from .errors import NotExplainable, NotMeasured, ShapeError, SightlineWarning
from .explainer import Explainer
from .explainers.contract.batches import admitted_model
from .explainers.contract.requirements import reading
from .explanation import Explanation, Heatmap
from .model import BATCH, Model
from .ops.batches import chunks
from .ops.fill import Fill
from .ops.null_maps import NULLS, reference
from .ops.resize import resize
from .sample import Truth
from .shapes import Curves, Flags, Heat, Images, Scores
from .target import Target

NOT_FINITE = "the map holds values that are not finite"


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a metric may look at: the model, the images, the fixed target, the
    explanation, the truth.

    blind: for a null map, what makes it from other pictures in place of a method. places: where the
    pictures stood in the case that this one was taken from, for messages.
    """

    model: Model
    images: Tensor
    target: Target
    explanation: Explanation
    explainer: Explainer | None = None
    truth: Truth | None = None
    blind: Callable[[Tensor], Tensor] | None = None
    places: tuple[int, ...] | None = None

    @property
    def pixels(self) -> int:
        """How many places a map of these pictures has."""
        return self.images.shape[-2] * self.images.shape[-1]

    @property
    def heat(self) -> Heat:
        """The map's values (batch, row, col). Raises: NotExplainable for an explanation without a
        map."""
        if not isinstance(self.explanation, Heatmap):
            raise NotExplainable(
                f"this metric reads a heatmap, not {type(self.explanation).__name__}."
            )
        return self.explanation.values

    @property
    def broken(self) -> Flags:
        """Which pictures the method refused, or have a map with NaN or infinite values, (batch,)
        bool."""
        refused = torch.tensor([why is not None for why in self.explanation.refused], device="cpu")
        if not isinstance(self.explanation, Heatmap):
            return refused
        maps = (self.explanation.values, self.explanation.native)
        whole = [torch.isfinite(m).flatten(1).all(1).cpu() for m in maps if m is not None]
        return refused | ~torch.stack(whole).all(0)

    def take(self, rows: Sequence[int]) -> "Case":
        """The case of some images."""
        picked = list(rows)
        return replace(
            self,
            model=self.model.take(picked),
            images=self.images[picked],
            target=self.target.take(picked),
            explanation=self.explanation.take(picked),
            truth=None if self.truth is None else self.truth.take(picked),
            places=tuple(self.places[row] if self.places else row for row in picked),
        )

    def not_measured(self, metric: str, rows: Sequence[int], why: str) -> None:
        """Warns that a metric could not score these pictures, and why."""
        if rows:
            places = [self.places[row] if self.places else row for row in rows]
            which = f"picture{'s' * (len(rows) > 1)} {', '.join(map(str, places))}"
            text = f"{metric} does not measure {which}: {why}."
            warnings.warn(text, NotMeasured, stacklevel=4)

    @property
    def unit(self) -> Heat:
        """The map in [0, 1]: its positive part over its largest value; zeros where nothing is
        positive."""
        shown = self.heat.clamp(min=0)
        peak = shown.flatten(1).amax(1)[:, None, None]
        return shown / torch.where(peak > 0, peak, 1)

    @property
    def signed(self) -> Heat:
        """The map before the method clipped it, where it says so, at the size of `heat`."""
        native = getattr(self.explanation, "native", None)
        return self.heat if native is None else resize(native[:, None], self.heat.shape[-2:])[:, 0]

    def kept(self, fill: str | float = "mean") -> Images:
        """The pictures seen through `unit`: untouched where it is 1, the fill where it is 0."""
        mask = self.unit.to(self.images)[:, None]
        return self.images * mask + Fill(fill).like(self.images, self.model) * (1 - mask)

    def probabilities(self, images: Images) -> Scores:
        """The target's probability (batch,) on other pictures of the same batch, float64.

        Raises: NotExplainable for a target that has none.
        """
        asked = self.target.with_probability(True)
        found = (
            self.model.scores(images, asked, rows=torch.arange(len(images), device="cpu"))
            .double()
            .cpu()
        )
        if found.min() < 0 or found.max() > 1 + 1e-6:
            raise NotExplainable(
                f"this metric needs a target with a probability, such as a class; got {asked!r}."
            )
        return found

    def again(
        self,
        images: Images,
        model: Model | None = None,
        target: Target | None = None,
        signed: bool = False,
    ) -> Heat:
        """The map (batch, row, col) that the same explainer gives for other pictures of this batch,
        another model or another target; all NaN where it is zero. signed: as it is in `signed`.

        A null map is made again from the pictures alone, whatever model or target. Raises:
        NotExplainable for a case without its explainer.
        """
        if self.blind is not None:
            return _there(self.blind(images).float())
        method, model = self.explainer, model or self.model
        if method is None:
            raise NotExplainable(
                "this metric explains again, so the case needs the explainer that made the map;"
                " `judged` gives it one."
            )
        fixed, found = (target or self.target).with_habit(method.habit), []
        for part in chunks(len(images), BATCH):
            heat = _explained(method, model.take(part), images[part], fixed.take(part))
            values = replace(self, explanation=heat).signed if signed else heat.values
            found.append(_there(values.detach().float()))
        return torch.cat(found)

    def with_heat(self, values: Heat) -> "Case":
        """The same case with another map."""
        kept = self.explanation
        return replace(
            self,
            explanation=Heatmap(
                values, images=kept.images, pictures=kept.pictures, frames=kept.frames
            ),
        )


def _there(values: Tensor) -> Tensor:
    """Maps, all NaN where they are zero or not finite."""
    there = torch.isfinite(values).flatten(1).all(1) & (values != 0).flatten(1).any(1)
    return torch.where(there[:, None, None], values, torch.nan)


def _explained(method: Explainer, model: Model, images: Tensor, target: Target) -> Heatmap:
    """The maps of a batch, without notes of where from."""
    images = images.to(model.device)
    served = admitted_model(method, model, images, target)
    if served is not model:  # another clean pass than the one that is shared
        model, images = served, images[:]
    read, gradients = reading(model, (method,))
    with (
        warnings.catch_warnings(category=SightlineWarning, action="ignore"),
        model.shared(images, (*read, *target.reads), gradients=gradients),
        torch.set_grad_enabled(gradients),
    ):
        heat = method.explain(model, images, target)
    if not isinstance(heat, Heatmap):
        raise NotExplainable(f"this metric reads a heatmap, not {type(heat).__name__}.")
    return heat


def _spread(found: Tensor | None, there: Tensor) -> Any:  # Any: None stays None
    """Numbers of some pictures among all, NaN for the others."""
    if found is None:
        return None
    whole = torch.full((len(there), *found.shape[1:]), torch.nan, dtype=found.dtype, device="cpu")
    whole[there] = found.cpu()
    return whole


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
        return self._asked(case, lambda living: (self.score(living), None))[0]

    @final
    def measure(self, case: Case) -> tuple[Scores, Curves | None]:
        """What a call gives and the `curves` behind it, from one measurement where the metric has a
        `read`.

        Raises: NotExplainable where the case lacks what the metric needs.
        """

        def ask(living: Case) -> tuple[Tensor, Tensor | None]:
            curves = self.curves(living)
            if curves is not None and self._reads():
                return self.result(curves, living.pixels), curves
            return self.score(living), curves

        return self._asked(case, ask)

    def _asked(
        self, case: Case, ask: Callable[[Case], tuple[Tensor, Tensor | None]]
    ) -> tuple[Tensor, Tensor | None]:
        """What `ask` says of the pictures whose maps are finite, NaN for the others."""
        if case.truth is not None:
            case.truth.check(case.images)
        broken = case.broken
        if not broken.any():
            return self._of_living(case, ask)
        name, reasons = self.registered_name or type(self).__name__, case.explanation.refused
        for why in dict.fromkeys(reasons[row] for row in broken.nonzero()[:, 0].tolist()):
            rows = [row for row in broken.nonzero()[:, 0].tolist() if reasons[row] == why]
            case.not_measured(name, rows, (why or NOT_FINITE).rstrip("."))
        living = (~broken).nonzero()[:, 0].tolist()
        if not living:
            return torch.full((len(broken),), torch.nan, dtype=torch.float32, device="cpu"), None
        return tuple(_spread(f, ~broken) for f in self._of_living(case.take(living), ask))

    def _of_living(
        self, case: Case, ask: Callable[[Case], tuple[Tensor, Tensor | None]]
    ) -> tuple[Tensor, Tensor | None]:
        with case.model.unharmed(), torch.no_grad():
            found, curves = ask(case)
        if found.shape != (len(case.images),):
            raise ShapeError(
                f"{self!r} returned {tuple(found.shape)} for {len(case.images)} images."
            )
        return found.float().cpu(), curves

    @classmethod
    def _reads(cls) -> bool:
        return cls.read is not Metric.read

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


def judged(
    explainer: Explainer, model: Model, images: Any, target: Any = None, truth: Truth | None = None
) -> Case:
    """The case of one explainer on some images: explained, and ready to be scored."""
    tensors = model.prepare(images)
    heat = explainer(model, tensors, target)
    fixed = model.aim(tensors, target)
    return Case(model, tensors, fixed, heat, explainer, truth)
