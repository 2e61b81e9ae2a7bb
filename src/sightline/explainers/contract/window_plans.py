"""Plans by which pictures that differ from a recorded one in a window are computed only there.

The maps of a convolutional network stay what they are outside of the part that a window can reach
(ops/incremental). A plan is used on a CPU where the private copy of the network can be put on a
tape, where enough of the work is saved, and where five windows of a random picture give what full
forwards give; else there is none, and every picture is a full forward. What was found out is
remembered until the weights change; the checks are not counted.
"""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...model import Model
from ...network.execution import FAST_TOLERANCE
from ...network.folding import TOLERANCE, difference
from ...network.incremental.tape import Tape, Unrepeatable
from ...network.incremental.windows import Plan, Replay, Untouched
from ...ops.batches import chunks
from ...ops.masks import blend, cut_windows
from ...ops.noise import generator
from ...target import Target

CHUNK, MEMORY = 64, 48 * 2**20  # windows at once, and bytes that one operation may touch
PICTURES, KEPT = 8, 256 * 2**20  # recorded at once, and bytes that their maps may take
REMEMBERED = 8  # tapes, and plans
ROUNDING = 1e-5  # of the spread of scores
TAPES, PLANS = "tapes", "window plans"


def plan_for(
    model: Model,
    target: Target,
    image: Float[Tensor, "1 channel row col"],
    corners: Int[Tensor, "window 4"],
    gain: float,
) -> Plan | None:
    """A proven plan for the windows `corners` (window, 4) of pictures like `image` (1, channel,
    row, col) that saves `gain` times the work, or None.
    """
    plain = not model.side and not target.reads and model.differentiable
    slow = image.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if not plain or not slow:
        return None
    engine = model.runner.engine
    with model.runner.lock, torch.no_grad():
        with engine.running(model.module, image, (), "exact") as exact:
            known = exact is not model.module
            plan = _plan(model, ("exact", exact), image, corners, gain) if known else None
        if plan is not None and model.precision == "fast":
            with engine.running(model.module, image, (), "fast") as fast:
                same = fast is exact
                plan = plan if same else _plan(model, ("fast", fast), image, corners, gain)
    return plan


def parts(plan: Plan, count: int, most: int | None) -> list[slice]:
    """So many windows in even chunks of at most `most`, which fit into memory."""
    fitting = max(1, min(most or CHUNK, MEMORY // plan.bytes_per_window))
    return chunks(count, -(-count // -(-count // fitting)))


def recorded(plan: Plan, count: int, most: int | None) -> list[slice]:
    """So many pictures in chunks whose maps fit into memory together."""
    return chunks(count, max(1, min(most or PICTURES, KEPT // max(plan.bytes_per_picture, 1))))


def _plan(
    model: Model, named: tuple[str, nn.Module], image: Tensor, corners: Tensor, gain: float
) -> Plan | None:
    """A plan that was found right and worth it on this module, or None; found out once."""
    checks, (precision, module) = model.runner.engine.checks, named
    place = (precision, tuple(image.shape), image.dtype)
    key = (*place, corners.numpy().tobytes())
    plan = checks.get(PLANS, key, "unknown")
    if plan == "unknown":
        run = partial(model.calling, module)
        try:
            tape = checks.get(TAPES, place) or checks.put(
                TAPES, place, Tape.of(run, image), REMEMBERED
            )
            plan = Plan.of(tape, tuple(image.shape[1:]), corners)
            right = plan.gain >= gain and _proven(plan, run, precision, image, corners)
            plan = plan if right else None
        except (Unrepeatable, RuntimeError, TypeError, ValueError, IndexError):
            plan = None  # a network that a tape does not describe runs whole
        checks.put(PLANS, key, plan, REMEMBERED)
    return plan


def _proven(plan: Plan, run: Any, precision: str, image: Tensor, corners: Tensor) -> bool:
    size = (image.shape[2], image.shape[3])
    count, line = len(corners), len(plan.boxes[0].cols.starts) // 2
    tried = sorted({0, line, count // 2, min(count // 2 + line, count - 1), count - 1})
    picture = torch.rand(
        image.shape, generator=generator(0, "incremental"), dtype=torch.float32, device="cpu"
    ).to(image)
    hidden = torch.ones_like(picture)  # noise would move the scores less
    masks = cut_windows(corners[tried], size).to(image)
    wanted = run(blend(picture, masks, hidden))
    got = Replay(plan, Untouched(plan, picture), tried).run(hidden)
    allowed = _allowed(wanted) if precision == "exact" else FAST_TOLERANCE
    return difference(wanted, got) <= allowed


def _allowed(wanted: Tensor) -> float:
    """Of the spread of scores: at most 1e-4, at most a hundredth of what the windows do, and not
    below what float32 can promise.
    """
    wanted = wanted.double().flatten(1)
    effect = (wanted - wanted.mean(0)).abs().max() / wanted.std().clamp(min=1e-30)
    return float(effect.mul(0.01).clamp(ROUNDING, TOLERANCE))
