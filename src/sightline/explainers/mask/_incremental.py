"""Scores of one picture with one window after another hidden, computing only what a window changes.

Where there is a proven plan (explainers/contract/window_plans.py) that saves at least a quarter of
the work, the clean maps are recorded once and each window is computed in its box; else every window
is a full forward. One window counts as one forward in `model.evaluations`, however little of it
ran, and the clean maps as another.
"""

import torch
from torch import Tensor

from ...model import Model
from ...network.costs import spend
from ...network.incremental.windows import Replay, Untouched
from ...network.trace import Trace
from ...ops.masks import cut_windows
from ...target import Target
from ..contract import window_plans as _replayed
from ._masked import masked_scores

GAIN = 1.3  # times less work than full forwards, from which it is used
FEWEST = 32  # windows from which the checks pay: they cost about fifteen forwards


def occluded_scores(
    model: Model, images: Tensor, filled: Tensor, corners: Tensor, aim: tuple[Target, int]
) -> Tensor:
    """The target's value (window,) for image `row` with each of the windows `corners` (window, 4)
    showing `filled`; aim: target and row.
    """
    found = _incremental(model, images, filled, corners, aim)
    if found is not None:
        return found
    size = (images.shape[2], images.shape[3])
    parts = corners.split(model.chunk(images, len(corners) * len(images)))
    masks = (cut_windows(part, size).to(images) for part in parts)
    return torch.cat([masked_scores(model, images, filled, m, aim) for m in masks])


def _incremental(
    model: Model, images: Tensor, filled: Tensor, corners: Tensor, aim: tuple[Target, int]
) -> Tensor | None:
    target, row = aim
    image, hidden = images[row : row + 1].detach(), filled[row : row + 1]
    many = len(corners) >= FEWEST
    plan = _replayed.plan_for(model, target, image, corners, GAIN) if many else None
    if plan is None:
        return None
    windows, found = range(len(corners)), []
    with torch.no_grad():
        spend(model.evaluations, forward=1)
        untouched = Untouched(plan, image)
        for part in _replayed.parts(plan, len(corners), model.batch):
            spend(model.evaluations, forward=len(windows[part]))
            found.append(Replay(plan, untouched, windows[part]).run(hidden))
        rows = torch.full((len(corners),), row, device="cpu")
        return target.score(
            Trace(images, torch.cat(found), {}, {}, rows, gives=model.gives)
        ).float()
