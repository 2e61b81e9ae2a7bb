"""Scores of one picture with one window after another hidden, computing only what a window changes.

The clean maps of a convolutional network stay what they are outside of the part that a window can
reach (ops/incremental). Used on a CPU where the private copy of the network can be put on a tape,
where at least a quarter of the work is saved, and where five windows of a random picture give what
full forwards give; else every window is a full forward.

One window counts as one forward in `model.evaluations`, however little of it ran, and the clean
maps as another; the checks, once for a network and a choice of windows, are not counted.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...execution import FAST_TOLERANCE
from ...model import Model
from ...ops.batches import chunks
from ...ops.incremental.replay import Plan, Replay, Untouched
from ...ops.incremental.tape import Tape, Unrepeatable
from ...ops.masks import blend, cut_windows
from ...ops.network.folding import TOLERANCE, difference
from ...ops.noise import generator
from ...target import Target
from ...trace import Trace
from ._masked import masked_scores

GAIN = 1.3  # times less work than full forwards, from which it is used
FEWEST = 32  # windows from which the checks pay: they cost about fifteen forwards
CHUNK, MEMORY = 64, 48 * 2**20  # windows at once, and bytes that one operation may touch
REMEMBERED = 8  # tapes and plans
ROUNDING = 1e-5  # of the spread of scores


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
    plain = not model.side and not target.reads and model.differentiable
    slow = images.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if not plain or not slow or len(corners) < FEWEST:
        return None
    image, hidden = images[row : row + 1].detach(), filled[row : row + 1]
    engine, precision = model.engine, model.precision
    with torch.no_grad():
        with engine.running(model.module, image, (), "exact") as exact:
            plan = None if exact is model.module else _plan(model, exact, "exact", image, corners)
        if plan is not None and precision == "fast":
            with engine.running(model.module, image, (), "fast") as fast:
                plan = plan if fast is exact else _plan(model, fast, "fast", image, corners)
        if plan is None:
            return None
        model.evaluations["forward"] += 1 + len(corners)
        output = _outputs(plan, image, hidden, model.batch or CHUNK)
        rows = torch.full((len(corners),), row)
        return target.score(Trace(images, output, {}, {}, rows)).float()


def _outputs(plan: Plan, image: Tensor, hidden: Tensor, most: int) -> Tensor:
    untouched = Untouched(plan, image)
    windows = range(len(plan.boxes[0].grid))
    fitting = max(1, min(most, MEMORY // plan.bytes_per_window))
    even = -(-len(windows) // -(-len(windows) // fitting))
    return torch.cat(
        [Replay(plan, untouched, windows[p]).run(hidden) for p in chunks(len(windows), even)]
    )


def _plan(
    model: Model, module: nn.Module, precision: str, image: Tensor, corners: Tensor
) -> Plan | None:
    """A plan that was found right and worth it on this module, or None; found out once."""
    facts = model.engine.facts
    place = ("occlusion", precision, tuple(image.shape), image.dtype)
    key = (*place, corners.numpy().tobytes())
    if key not in facts:
        ours = [known for known in facts if known[0] == "occlusion"]
        for known in ours if len(ours) >= REMEMBERED else []:
            del facts[known]
        run = partial(model.engine.run, module)
        try:
            if place not in facts:
                facts[place] = Tape.of(run, image)
            facts[key] = _proven(facts[place], run, precision, image, corners)
        except (Unrepeatable, RuntimeError, TypeError, ValueError, IndexError):
            facts[key] = None  # a network that a tape does not describe runs whole
    return facts[key]


def _proven(tape: Tape, run: Any, precision: str, image: Tensor, corners: Tensor) -> Plan | None:
    size = (image.shape[2], image.shape[3])
    plan = Plan.of(tape, tuple(image.shape[1:]), corners)
    if plan.gain < GAIN:
        return None
    count, line = len(corners), len(plan.boxes[0].cols.starts) // 2
    tried = sorted({0, line, count // 2, min(count // 2 + line, count - 1), count - 1})
    picture = torch.rand(image.shape, generator=generator(0, "incremental")).to(image)
    hidden = torch.ones_like(picture)  # noise would move the scores less
    masks = cut_windows(corners[tried], size).to(image)
    wanted = run(blend(picture, masks, hidden))
    got = Replay(plan, Untouched(plan, picture), tried).run(hidden)
    allowed = _allowed(wanted) if precision == "exact" else FAST_TOLERANCE
    return plan if difference(wanted, got) <= allowed else None


def _allowed(wanted: Tensor) -> float:
    """Of the spread of scores: at most 1e-4, at most a hundredth of what the windows do, and not
    below what float32 can promise.
    """
    wanted = wanted.double().flatten(1)
    effect = (wanted - wanted.mean(0)).abs().max() / wanted.std().clamp(min=1e-30)
    return float(effect.mul(0.01).clamp(ROUNDING, TOLERANCE))
