"""The score of one picture of which only some patches are shown, measured once per set.

A set of patches is an integer whose bit r * cols + c is the patch in row r, column c: equal sets
are equal numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....errors import BadField
from ....model import Model
from ....ops.fill import NAMES, Fill
from ....ops.masks import blend
from ....ops.resize import resize
from ....target import Target
from .._evidence import filled_like
from ._inpainting import inpainted

INPAINT, WIDE = "inpaint", "wide-blur"
_BLOCK = 64  # masked pictures that are made at once
_DECIMALS = 6  # of a confidence: what batches change lies below


def check_fill(fill: str | float) -> None:
    """Raises: BadField for a fill that does not exist."""
    if fill in (INPAINT, WIDE):
        return
    try:
        Fill(fill)
    except BadField:
        names = ", ".join((*NAMES, WIDE, INPAINT))
        raise BadField(f"no fill {fill!r}; use one of {names} or a number.") from None


def filled(images: Tensor, model: Model, fill: str | float) -> Tensor | None:
    """Pictures that hold nothing but the fill; None where it is made for each set."""
    if fill == INPAINT:
        return None
    return filled_like(images, model, None if fill == WIDE else fill)


def indices(patches: int) -> list[int]:
    """The numbers of a set's patches, rising."""
    return [i for i in range(patches.bit_length()) if patches >> i & 1]


def joined(numbers: Iterable[int]) -> int:
    """The set of these patches."""
    return sum(1 << i for i in set(numbers))


@dataclass(kw_only=True, eq=False)
class Patches:
    """One image of a batch, seen through sets of patches.

    image, hidden: (1, channel, row, col), hidden None for inpainting. whole: the score of the whole
    picture. confidences: what was measured, as shares of it.
    """

    model: Model
    target: Target
    row: int
    image: Tensor
    hidden: Tensor | None
    grid: tuple[int, int]
    whole: float
    confidences: dict[int, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def all(self) -> int:
        return (1 << self.count) - 1

    def confidence(self, sets: Sequence[int]) -> list[float]:
        """The share of the whole picture's score that each set keeps; new ones in one batch."""
        fresh = [s for s in dict.fromkeys(sets) if s not in self.confidences]
        if fresh:
            self.model.chunk(self.image, len(fresh))
        for start in range(0, len(fresh), _BLOCK):
            part = fresh[start : start + _BLOCK]
            rows = torch.full((len(part),), self.row)
            scores = self.model.scores(self._shown(part), self.target, rows=rows).double()
            shares = (scores / self.whole).tolist()
            self.confidences |= {
                each: round(share, _DECIMALS) for each, share in zip(part, shares, strict=True)
            }
        return [self.confidences[s] for s in sets]

    def _shown(self, sets: Sequence[int]) -> Tensor:
        bits = torch.tensor([[s >> i & 1 for i in range(self.count)] for s in sets])
        coarse = bits.view(len(sets), 1, *self.grid).to(self.image)
        masks = resize(coarse, self.image.shape[-2:])
        if self.hidden is not None:
            return blend(self.image, masks, self.hidden)
        return inpainted(self.image.expand(len(sets), -1, -1, -1), masks)
