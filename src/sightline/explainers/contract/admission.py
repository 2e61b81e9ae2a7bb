"""Whether a method may run in bfloat16: by how far that moves the method's own map.

The fast copy of a network (network/execution.py) is admitted there by its logits, which says
little of maps: falls of a score may be smaller than what rounds it, and a choice among filters may
turn. So a method's first map of a network is made both ways, and the network's fast copy serves the
method only where the maps agree.
"""

import warnings
from collections.abc import Callable, Hashable
from copy import copy

from jaxtyping import Float
from torch import Tensor

from ...errors import BadTarget, NotExplainable, SightlineWarning
from ...explanation import Explanation, Heatmap
from ...model import Model
from ...network.costs import uncounted

FAST_MAP = 0.1  # of the length of the exact map
TOPIC = "fast map"

Ask = Callable[[Model, Tensor], Explanation]  # (model, images) -> what the method says


def admitted(
    model: Model, method: Hashable, image: Float[Tensor, "1 channel row col"], ask: Ask
) -> Model:
    """The model as a method runs it: itself, or, where it is fast and bfloat16 moves the method's
    map of this `image` (1, channel, row, col) by more than a tenth of its length, an exact one.

    It costs an exact and a fast map, once for a method and a network, which are not counted. A
    picture that the method refuses decides nothing and is looked at exactly.
    """
    checks = model.runner.engine.checks
    if model.precision == "exact" or not model.runner.has_fast_copy(image):
        return model
    moved = checks.get(TOPIC, method)
    if moved is None and (moved := _moved(model, image, ask)) is not None:
        checks.put(TOPIC, method, moved)
    return model if moved is not None and moved <= FAST_MAP else _with(model, "exact")


def moved_by(whole: Explanation, other: Explanation) -> float:
    """The length of the difference of two maps in parts of the first one's, unclipped where the
    method gives that; 0 for what is no map."""
    if not isinstance(whole, Heatmap) or not isinstance(other, Heatmap):
        return 0.0
    first, second = whole.values, other.values
    if whole.native is not None and other.native is not None:
        first, second = whole.native, other.native
    apart = (second.double() - first.double()).norm()
    return float(apart / first.double().norm().clamp(min=1e-300))


def _moved(model: Model, image: Tensor, ask: Ask) -> float | None:
    try:
        with uncounted(), warnings.catch_warnings(category=SightlineWarning, action="ignore"):
            whole, quick = (ask(_with(model, each), image[:]) for each in ("exact", "fast"))
    except (NotExplainable, BadTarget):
        return None
    return moved_by(whole, quick)


def _with(model: Model, precision: str) -> Model:
    other = copy(model)
    other.precision = precision
    return other
