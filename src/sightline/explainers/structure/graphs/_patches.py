"""The score of one picture of which only some patches are shown, measured once per set.

A set of patches is an integer whose bit r * cols + c is the patch in row r, column c: equal sets
are equal numbers. Sets that differ by one patch show the same outside of that patch's soft edge:
where a plan was proven (explainers/contract/window_plans.py), one of them is recorded and the
others are computed only where they differ from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ....errors import BadField
from ....hiding import FEWEST, Changes, HiddenImage
from ....model import Model
from ....network.incremental.windows import Plan
from ....ops.fill import NAMES, Fill
from ....ops.resize import resize
from ....target import Target
from ...contract import window_plans
from .._evidence import filled_like
from ._hubs import hubs
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
    picture. confidences: what was measured, as shares of it. recorded: how many pictures ran only
    so that others could be computed where they differ.
    """

    model: Model
    target: Target
    row: int
    image: Tensor
    hidden: Tensor | None
    grid: tuple[int, int]
    whole: float
    confidences: dict[int, float] = field(default_factory=dict)
    recorded: int = 0

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
            plan = self._plan() if len(fresh) > 1 else None
            near, fresh = hubs(fresh, self.count, plan.gain) if plan else ({}, fresh)
            if plan and near:
                self._differences(plan, near)
        for start in range(0, len(fresh), _BLOCK):
            part = fresh[start : start + _BLOCK]
            self._keep(part, self._image.scores(self._masks(part)))
        return [self.confidences[s] for s in sets]

    def _keep(self, sets: Sequence[int], scores: Tensor) -> None:
        shares = (scores.double() / self.whole).tolist()
        for each, share in zip(sets, shares, strict=True):
            self.confidences[each] = round(share, _DECIMALS)

    def _plan(self) -> Plan | None:
        """How to compute only what a patch changes; None where every picture runs whole."""
        return self._image.plan(self._windows) if self.count >= FEWEST else None

    @cached_property
    def _image(self) -> HiddenImage:
        return HiddenImage(
            model=self.model,
            target=self.target,
            row=self.row,
            image=self.image,
            filled=self.hidden,
            inpaint=inpainted if self.hidden is None else None,
            at_once=_BLOCK,
        )

    @cached_property
    def _windows(self) -> Tensor:
        """Around all that each patch changes, soft edges included, (patch, 4), of one size."""
        lines = []
        for length, cells in zip(self.image.shape[-2:], self.grid, strict=True):
            alone = torch.eye(cells, dtype=torch.float32, device="cpu")[None, :, :, None]
            seen = resize(alone, (length, 1))[0, :, :, 0] > 0  # (patch, place)
            starts, sizes = seen.int().argmax(1), seen.sum(1)
            lines.append((starts.clamp(max=length - sizes.max()), sizes.max()))
        (rows, high), (cols, wide) = lines
        row, col = torch.meshgrid(rows, cols, indexing="ij")
        return torch.stack([row, col, row + high, col + wide], -1).view(-1, 4)

    def _differences(self, plan: Plan, near: dict[int, list[int]]) -> None:
        """Measures the sets that are one patch away from those that are recorded, `near`'s keys."""
        every = list(near)
        for some in window_plans.recorded(plan, len(every), self.model.batch):
            held = every[some]
            pairs = [(at, each) for at, hub in enumerate(held) for each in near[hub]]
            sets = [each for _, each in pairs]
            changes = Changes(
                on=[at for at, _ in pairs],
                windows=[(held[at] ^ each).bit_length() - 1 for at, each in pairs],
            )

            def lay(part: slice, sets: list[int] = sets) -> Tensor:
                return self._masks(sets[part])

            recorded = self._masks(held)
            self._keep(sets, self._image.changed_scores(plan, recorded, changes, lay))
            self.recorded += len(held)

    def _masks(self, sets: Sequence[int]) -> Tensor:
        """Where each set shows the image, (set, 1, row, col)."""
        bits = torch.tensor([[s >> i & 1 for i in range(self.count)] for s in sets], device="cpu")
        coarse = bits.view(len(sets), 1, *self.grid).to(self.image)
        return resize(coarse, self.image.shape[-2:])
