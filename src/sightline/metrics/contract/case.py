"""What a metric looks at: a model, images, a target, an explanation, and what is true of them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...errors import NotExplainable, NotMeasured, SightlineWarning
from ...explainer import Explainer
from ...explainers.contract.batches import admitted_model
from ...explainers.contract.requirements import reading
from ...explanation import Explanation, Heatmap
from ...model import BATCH, Model
from ...ops.batches import chunks
from ...ops.fill import Fill
from ...ops.resize import resize
from ...sample import Truth
from ...shapes import Flags, Heat, Images, Scores
from ...target import Target


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

    def visible_images(self, fill: str | float = "mean") -> Images:
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


def judged(
    explainer: Explainer, model: Model, images: Any, target: Any = None, truth: Truth | None = None
) -> Case:
    """The case of one explainer on some images: explained, and ready to be scored."""
    tensors = model.prepare(images)
    heat = explainer(model, tensors, target)
    fixed = model.aim(tensors, target)
    return Case(model, tensors, fixed, heat, explainer, truth)
