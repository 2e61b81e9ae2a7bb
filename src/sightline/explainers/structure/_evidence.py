"""What the model says of pictures under masks, and the gradient of that integrated on the path from
the full mask.

A cover u (row, col) is a mask at the picture's size. A term that keeps shows the picture where u is
1 and the fill where it is 0 (deletion, D of the card); one that does not shows the fill where u is
1 (insertion, I of the card).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...errors import NotExplainable
from ...hiding import chunked_scores
from ...model import Model
from ...ops.blur import gaussian_blur
from ...ops.fill import Fill
from ...ops.noise import generator
from ...target import Target

BLUR, SIGMA, AT = 51, 50.0, 224  # the reference code's blur, in pixels of a picture of 224


@dataclass(frozen=True)
class Term:
    """One class score of an objective: its weight, what it keeps, and whose product its cover is.

    masks: the masks whose product is the cover, by number.
    """

    weight: float
    keeps: bool
    masks: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class MaskPath:
    """Where between the full mask and the present one gradients are taken, and through which noise.

    points: at k / points for k = 1 to points, as published, or in the middle of so many equal
    parts. noise: deviation in normalised units.
    """

    points: int
    middles: bool
    noise: float
    seed: int
    purpose: str

    @property
    def places(self) -> Tensor:
        """The share of the mask at each point, (point,)."""
        return (
            torch.arange(self.points, device="cpu") + (0.5 if self.middles else 1.0)
        ) / self.points

    def noise_at(self, iteration: int, like: Tensor) -> Tensor | None:
        """The noise of one iteration, (point, channel, row, col), the same for every image."""
        if self.noise == 0:
            return None
        source = generator(self.seed, f"{self.purpose} {iteration}")
        return self.noise * torch.randn(
            (self.points, *like.shape[1:]), generator=source, dtype=torch.float32, device="cpu"
        ).to(like)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The class scores of pictures under covers (image, term, row, col), and their gradients.

    images, filled: the whole batch; every call names its `rows`.

    Raises: NotExplainable for a picture that looks the same when it is hidden.
    """

    model: Model
    target: Target
    images: Tensor
    filled: Tensor
    terms: tuple[Term, ...]
    path: MaskPath

    def __post_init__(self) -> None:
        changed = (self.images - self.filled).abs().flatten(1).amax(1)
        same = (changed <= 1e-6 * self.images.abs().flatten(1).amax(1)).nonzero()[:, 0].tolist()
        if same:
            raise NotExplainable(
                "a picture equals its own fill, so hiding parts of it changes nothing; expected"
                " one that hiding changes. Choose another `fill`."
            )

    def scores(self, covers: Tensor, rows: Tensor) -> Tensor:
        """Without noise, (image, term)."""
        images, terms = covers.shape[:2]
        copies = torch.arange(images * terms, device="cpu")
        image, term = copies // terms, copies % terms

        def make(part: slice) -> Tensor:
            start, change = self._ends(rows[image[part]], term[part])
            return start + self._at(covers, image[part], term[part]) * change

        at_once = self.model.chunk(self.images, len(copies))
        found = chunked_scores(self.model, self.target, rows[image], make, at_once)
        return found.view(images, terms)

    def gradient(self, covers: Tensor, rows: Tensor, iteration: int) -> Tensor:
        """The weighted scores' gradient to the covers, averaged over the path: as the covers.

        The derivative is to the whole cover, so a point at share p counts p times.
        """
        images, terms = covers.shape[:2]
        places, noise = self.path.places, self.path.noise_at(iteration, self.images)
        points = len(places)
        weights = torch.tensor(
            [term.weight for term in self.terms], dtype=torch.float32, device="cpu"
        )
        total = torch.zeros_like(covers).flatten(0, 1)
        count = images * terms * points
        copies = torch.arange(count, device="cpu").split(self.model.chunk(self.images, count))
        for part in copies:
            image, term, point = part // (terms * points), part // points % terms, part % points
            start, change = self._ends(rows[image], term)
            share = places[point].view(-1, 1, 1, 1).to(change)
            pictures = start + share * self._at(covers, image, term) * change
            if noise is not None:
                pictures = pictures + noise[point.to(noise.device)] * self.model.std.to(noise)
            _, grads = self.model.gradients(pictures, self.target, rows=rows[image])
            counted = (weights[term] * places[point] / points).view(-1, 1, 1).to(change)
            found = counted * (grads.to(change) * change).sum(1)
            total.index_add_(0, (image * terms + term).to(total.device), found.to(total))
        return total.view_as(covers)

    def _at(self, covers: Tensor, image: Tensor, term: Tensor) -> Tensor:
        return covers[image.to(covers.device), term.to(covers.device)][:, None]

    def _ends(self, rows: Tensor, term: Tensor) -> tuple[Tensor, Tensor]:
        """What each copy shows under a full cover of 0, and what a cover of 1 adds to it."""
        at = rows.to(self.images.device)
        images, filled = self.images[at], self.filled[at]
        keeps = self._keeps[term].view(-1, 1, 1, 1).to(at.device)
        return torch.where(keeps, filled, images), torch.where(
            keeps, images - filled, filled - images
        )

    @cached_property
    def _keeps(self) -> Tensor:
        return torch.tensor([term.keeps for term in self.terms], device="cpu")


def filled_like(images: Tensor, model: Model, fill: str | float | None) -> Tensor:
    """Pictures of nothing but the fill; None is the reference code's blur: 51 pixels, sigma 50, for
    a shorter side of 224, and in proportion for others.
    """
    if fill is not None:
        return Fill(fill).like(images, model)
    scale = min(images.shape[-2:]) / AT
    return gaussian_blur(images, 2 * max(1, round(BLUR * scale / 2 - 0.5)) + 1, SIGMA * scale)
