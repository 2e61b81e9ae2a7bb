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
from ....model import Model
from ....network.costs import spend
from ....network.incremental.windows import Plan, Replay, Untouched
from ....network.trace import Trace
from ....ops.fill import NAMES, Fill
from ....ops.masks import blend
from ....ops.resize import resize
from ....target import Target
from ...contract import window_plans as _replayed
from .._evidence import filled_like
from ._hubs import hubs
from ._inpainting import inpainted

INPAINT, WIDE = "inpaint", "wide-blur"
_BLOCK = 64  # masked pictures that are made at once
_DECIMALS = 6  # of a confidence: what batches change lies below
GAIN = 1.3  # times less work than a full forward, from which differences are computed
FEWEST = 32  # patches of a picture from which the checks pay: they cost about fifteen forwards
CHUNK = 32  # differences that are computed at once


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
            rows = torch.full((len(part),), self.row, device="cpu")
            self._keep(part, self.model.scores(self._shown(part), self.target, rows=rows))
        return [self.confidences[s] for s in sets]

    def _keep(self, sets: Sequence[int], scores: Tensor) -> None:
        shares = (scores.double() / self.whole).tolist()
        for each, share in zip(sets, shares, strict=True):
            self.confidences[each] = round(share, _DECIMALS)

    def _plan(self) -> Plan | None:
        """How to compute only what a patch changes; None where every picture runs whole."""
        if self.hidden is None or self.count < FEWEST:
            return None
        return _replayed.plan_for(self.model, self.target, self.image, self._windows, GAIN)

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

    @torch.no_grad()
    def _differences(self, plan: Plan, near: dict[int, list[int]]) -> None:
        """Measures the sets that are one patch away from those that are recorded, `near`'s keys."""
        assert self.hidden is not None
        batch, every = self.model.batch, list(near)
        for some in _replayed.recorded(plan, len(every), batch):
            held = every[some]
            spend(self.model.evaluations, forward=len(held))
            untouched = Untouched(plan, self._shown(held))
            pairs = [(at, each) for at, hub in enumerate(held) for each in near[hub]]
            for part in _replayed.parts(plan, len(pairs), batch or CHUNK):
                spend(self.model.evaluations, forward=len(pairs[part]))
                pictures = [at for at, _ in pairs[part]]
                sets = [each for _, each in pairs[part]]
                windows = [(held[at] ^ each).bit_length() - 1 for at, each in pairs[part]]
                replay = Replay(plan, untouched, windows, pictures)
                seen = (self.image, self._masks(sets), self.hidden)
                output = replay.play(blend(*(replay.inside(each) for each in seen)))
                rows = torch.full((len(sets),), self.row, device="cpu")
                trace = Trace(self.image, output, {}, {}, rows, gives=self.model.gives)
                self._keep(sets, self.target.score(trace))
            self.recorded += len(held)

    def _masks(self, sets: Sequence[int]) -> Tensor:
        """Where each set shows the image, (set, 1, row, col)."""
        bits = torch.tensor([[s >> i & 1 for i in range(self.count)] for s in sets], device="cpu")
        coarse = bits.view(len(sets), 1, *self.grid).to(self.image)
        return resize(coarse, self.image.shape[-2:])

    def _shown(self, sets: Sequence[int]) -> Tensor:
        masks = self._masks(sets)
        if self.hidden is not None:
            return blend(self.image, masks, self.hidden)
        return inpainted(self.image.expand(len(sets), -1, -1, -1), masks)
