"""Hiding: the scores of pictures seen through masks, with a fill where a mask is 0, in chunks.

All that hides parts of a picture to see what the score does goes through here. A mask that differs
from a recorded one in a window is computed only there, where a plan was proven
(explainers/contract/window_plans.py). One masked picture counts as one forward, however little of
it ran, and each recorded one as another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from .explainers.contract import window_plans
from .model import Model
from .network.costs import spend
from .network.incremental.windows import Plan, Replay, Untouched
from .network.trace import Trace
from .ops.batches import chunks
from .ops.masks import blend, cut_windows
from .shapes import AnyTensor, Images, Rows
from .target import Target

GAIN = 1.3  # times less work than full forwards, from which only what differs is computed
FEWEST = 32  # windows of a picture from which the checks pay: they cost about fifteen forwards
CHUNK = 32  # masked pictures that differ from recorded ones, computed at once


def chunked_scores(
    model: Model,
    target: Target,
    rows: Rows,
    make: Callable[[slice], Images],
    at_once: int,
) -> Float[Tensor, " copies"]:
    """The target's value (n,) of pictures made as they are scored; rows (n,): the image of the
    batch that each is of.

    make: a part of them, (picture, channel, row, col).
    """
    parts = chunks(len(rows), at_once)
    return torch.cat([model.scores(make(part), target, rows=rows[part]) for part in parts])


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """Masked pictures that each differ from a recorded one inside of one window of a plan.

    on: the number of the recorded one; windows: that of the window; both (picture,).
    """

    on: Sequence[int]
    windows: Sequence[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class HiddenImage:
    """One image of a batch that is seen through masks: 1 shows the image, 0 what hides it.

    row: its number in the batch. image: (1, channel, row, col); filled: the same with everything
    hidden, None where `inpaint` makes what hides it, from copies of the image and masks. at_once:
    masked pictures that are made and scored together; None is what the model runs fastest.
    """

    model: Model
    target: Target
    row: int
    image: Tensor
    filled: Tensor | None
    inpaint: Callable[[Tensor, Tensor], Tensor] | None = None
    at_once: int | None = None

    def show(
        self, masks: Shaped[Tensor, "mask 1 row col"]
    ) -> Float[Tensor, "mask channel row col"]:
        """The image through masks (mask, 1, row, col): (mask, channel, row, col)."""
        masks = masks.to(self.image)
        if self.inpaint is not None:
            return self.inpaint(self.image.expand(len(masks), -1, -1, -1), masks)
        return blend(self.image, masks, self._filled)

    def scores(
        self,
        masks: Shaped[Tensor, "mask ..."],
        lay: Callable[[AnyTensor], AnyTensor] | None = None,
        planned: int | None = None,
    ) -> Float[Tensor, " mask"]:
        """The target's value (mask,) of the image through each of `masks`.

        lay: makes masks (mask, 1, row, col) at the image's size of a part of `masks`, for no more
        than run at once; None where they are. planned: how many will be scored in all.
        """
        at_once = self.at_once or self.model.chunk(self.image, planned or len(masks))

        def make(part: slice) -> Tensor:
            return self.show(lay(masks[part]) if lay else masks[part])

        return chunked_scores(self.model, self.target, self._rows(len(masks)), make, at_once)

    def empty(self) -> Float[Tensor, "1"]:
        """The target's value with everything hidden, (1,)."""
        return self.model.scores(self._filled, self.target, rows=self._rows(1))

    def window_scores(
        self, corners: Int[Tensor, "window 4"], planned: int | None = None
    ) -> Float[Tensor, " window"]:
        """The target's value (window,) with each of the windows `corners` (window, 4) hidden;
        planned: as of `scores`."""
        plan = self.plan(corners) if len(corners) >= FEWEST else None
        if plan is None:
            size = (self.image.shape[2], self.image.shape[3])
            return self.scores(corners, lambda part: cut_windows(part, size), planned)
        windows, found = range(len(corners)), []
        with torch.no_grad():
            spend(self.model.evaluations, forward=1)
            untouched = Untouched(plan, self.image.detach())
            for part in window_plans.parts(plan, len(corners), self.model.batch):
                spend(self.model.evaluations, forward=len(windows[part]))
                found.append(Replay(plan, untouched, windows[part]).run(self._filled))
            return self._score(torch.cat(found))

    def plan(self, corners: Int[Tensor, "window 4"]) -> Plan | None:
        """How to compute only what happens inside of windows (window, 4); None where every masked
        picture runs whole."""
        if self.filled is None:
            return None
        return window_plans.plan_for(self.model, self.target, self.image.detach(), corners, GAIN)

    @torch.no_grad()
    def changed_scores(
        self,
        plan: Plan,
        recorded: Float[Tensor, "recorded 1 row col"],
        changes: Changes,
        lay: Callable[[slice], AnyTensor],
    ) -> Float[Tensor, " picture"]:
        """The target's value of masked pictures that differ little from recorded ones, (picture,).

        recorded: the masks of those, (recorded, 1, row, col). lay: makes the masks of some of the
        pictures that differ.
        """
        spend(self.model.evaluations, forward=len(recorded))
        untouched, found = Untouched(plan, self.show(recorded)), []
        for part in window_plans.parts(plan, len(changes.on), self.model.batch or CHUNK):
            spend(self.model.evaluations, forward=len(changes.on[part]))
            replay = Replay(plan, untouched, changes.windows[part], changes.on[part])
            inside = [replay.inside(each) for each in (self.image, lay(part), self._filled)]
            found.append(self._score(replay.play(blend(*inside))))
        return torch.cat(found)

    @property
    def _filled(self) -> Tensor:
        assert self.filled is not None
        return self.filled

    def _rows(self, count: int) -> Tensor:
        return torch.full((count,), self.row, device="cpu")

    def _score(self, output: Tensor) -> Tensor:
        """The target's value of a network's output for copies of the image."""
        trace = Trace(self.image, output, {}, {}, self._rows(len(output)), gives=self.model.gives)
        return self.target.score(trace)


def hidden_images(
    model: Model, target: Target, images: Images, filled: Images, at_once: int | None = None
) -> list[HiddenImage]:
    """Each image of a batch, with the fields of `HiddenImage`."""
    return [
        HiddenImage(
            model=model,
            target=target,
            row=row,
            image=images[row : row + 1],
            filled=filled[row : row + 1],
            at_once=at_once,
        )
        for row in range(len(images))
    ]
