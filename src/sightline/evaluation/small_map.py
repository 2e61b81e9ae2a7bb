"""Maps made small, so that a finished cell can keep its own for the page."""

import base64
from typing import Any

import numpy as np
import torch

from ..shapes import AnyTensor

_SIDE = 28  # cells on the long side: what a thumbnail can show


def packed(values: AnyTensor) -> dict[str, Any] | None:  # Any: becomes JSON
    """A map (row, col) as `{rows, cols, low, high, data}`, each cell one of 256 steps between `low`
    and `high`; None for one that is not finite or has other axes."""
    if values.ndim != 2 or not torch.isfinite(values).all():
        return None
    shrink = min(1.0, _SIDE / max(values.shape))
    size = (max(1, round(values.shape[0] * shrink)), max(1, round(values.shape[1] * shrink)))
    small = torch.nn.functional.adaptive_avg_pool2d(values.detach().float().cpu()[None], size)[0]
    low, high = float(small.min()), float(small.max())
    steps = (small - low) / ((high - low) or 1.0) * 255
    data = base64.b64encode(steps.round().byte().numpy().tobytes()).decode()
    return {"rows": size[0], "cols": size[1], "low": low, "high": high, "data": data}


def unpacked(held: dict[str, Any]) -> np.ndarray:
    """The map that `packed` made, (row, col) float32, to within half a step."""
    steps = np.frombuffer(base64.b64decode(held["data"]), np.uint8).astype(np.float32)
    values = held["low"] + steps / 255 * (held["high"] - held["low"])
    return values.reshape(held["rows"], held["cols"])
