"""From the numbers of a map to places on its colour bar: the one rule of page, file and figure.

By default a colour is a *percentile of the evidence*: how much of what a map holds above its floor
lies in places that are no stronger. That means the same for every method, whatever its unit, and a
few extreme pixels do not darken the rest. The *floor* of a map is its lowest value where that is
above zero (RISE has such a floor), otherwise zero; *mass* is what rises above the floor. A map that
falls below zero has two signs: red supports the target, blue opposes it. The page paints with the
same rule (`shares` and `placed` in `pages/static/maps.js`; keep both alike).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from ..errors import BadField, near
from .colour import Values
from .wording import NARROW, number

Scale = Literal["evidence", "per-image", "shared", "symmetric"] | tuple[float, float]
Places = Float[np.ndarray, "_row _col"]
Heights = Float[np.ndarray, "_row _col"]
Shares = Float[np.ndarray, " _step"]

SCALES: tuple[str, ...] = get_args(get_args(Scale)[0])
_RAISED = 1e-3  # of the highest value: below this a lowest value counts as zero
_STEPS = 2047  # heights are told apart in so many steps, as the page does


@dataclass(frozen=True, eq=False)
class Ramp:
    """How the numbers of one map become places on its colour bar.

    low, high: raw values at its ends; a ramp that begins below zero has both signs. held: the share
    of the evidence in heights up to each step; None where places follow the raw values. unit: what
    the numbers under the bar are.
    """

    low: float
    high: float
    unit: str
    held: Shares | None = None

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def flat(self) -> bool:
        """Whether it tells nothing apart, so that a bar would explain no colour."""
        return not self.high > self.low

    def places(self, values: Values) -> Places:
        """Where each value lies: in [0, 1], or with its sign in [-1, 1]; NaN stays NaN."""
        if self.signed:
            return np.sign(values) * self._shares(np.abs(values).astype(np.float64), self.high)
        return self._shares(values.astype(np.float64) - self.low, self.high - self.low)

    def _shares(self, heights: Places, reach: float) -> Places:
        """Each height's share, in [0, 1]."""
        if not reach > 0:
            return np.where(np.isnan(heights), np.nan, 0.0)
        linear = np.clip(heights / reach, 0.0, 1.0)
        if self.held is None:
            return linear
        steps = np.floor(np.nan_to_num(linear) * _STEPS + 0.5).astype(np.intp)
        return np.where(np.isnan(heights), np.nan, self.held[steps])

    @property
    def ends(self) -> tuple[str, str, str]:
        """The numbers under the bar: at its beginning, its middle and its end."""
        if self.held is None:
            low, high = self.low, self.high
            return number(low), number((low + high) / 2), number(high)
        whole, half = f"100{NARROW}%", f"50{NARROW}%"
        return (f"against {whole}", "0", f"for {whole}") if self.signed else ("0", half, whole)


def check(scale: Any) -> Scale:  # Any: what a user gives
    """The scale. Raises: BadField for what is none of the names and no pair of numbers."""
    if isinstance(scale, str) and scale in SCALES:
        return scale  # type: ignore[return-value]  # one of the names
    if isinstance(scale, (tuple, list)) and len(scale) == 2:
        low, high = (float(end) if isinstance(end, Real) else math.nan for end in scale)
        if low < high:
            return low, high
    hint = near(scale, SCALES) if isinstance(scale, str) else "."
    raise BadField(
        f"scale={scale!r}{hint} Expected one of {', '.join(SCALES)}, or the two raw values at the"
        " ends of the colours, the lower one first; `scale=False` leaves the bar out."
    )


def ramps(maps: Sequence[Values], scale: Scale = "evidence") -> list[Ramp]:
    """The ramp of each of these maps.

    `evidence`: percentiles of each map's own evidence. `per-image`: raw values, from each map's
    floor to its peak. `shared`: raw values, one range for all. `symmetric`: raw values, the same
    reach on both sides of zero. Two numbers: raw values between these.
    """
    given = check(scale)
    if given == "evidence":
        return [_of_evidence(values) for values in maps]
    unit = "raw values" if scale in ("per-image", "symmetric") else "raw values, one range for all"
    return [Ramp(low, high, unit) for low, high in limits(list(maps), given)]


def ramp(values: Values, scale: Scale = "evidence") -> Ramp:
    """The ramp of one map."""
    return ramps([values], scale)[0]


def _of_evidence(values: Values) -> Ramp:
    low, high = limits([values])[0]
    unit = "percentile of the evidence"
    heights = np.abs(np.nan_to_num(values.astype(np.float64))) if low < 0 else mass(values)
    top = high if low < 0 else high - low
    if not top > 0:
        return Ramp(low, high, unit, np.zeros(_STEPS + 1))
    steps = np.floor(np.clip(heights / top, 0.0, 1.0) * _STEPS + 0.5).astype(np.intp)
    held = np.bincount(steps.ravel(), heights.ravel(), _STEPS + 1).cumsum()
    return Ramp(low, high, unit, held / held[-1])


def limits(maps: list[Values], scale: Scale = "per-image") -> list[tuple[float, float]]:
    """The lowest and highest value of the colours, one pair per map.

    `per-image` takes each map's own range, `shared` one range for all, `symmetric` the same reach
    on both sides of zero. Below zero the range is always made symmetric: only then is zero neutral.
    """
    if isinstance(scale, tuple):
        return [(float(scale[0]), float(scale[1]))] * len(maps)
    ranges = [_range(values) for values in maps]
    if scale == "shared" and ranges:
        ranges = [(min(low for low, _ in ranges), max(high for _, high in ranges))] * len(maps)
    return [_balanced(*pair) if scale == "symmetric" or pair[0] < 0 else pair for pair in ranges]


def floor(values: Values) -> float:
    """The lowest value where that is above zero, else zero: what every place has is no evidence."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0
    low, high = float(finite.min()), float(finite.max())
    return low if low > high * _RAISED else 0.0


def mass(values: Values) -> Heights:
    """How much of a map rises above its floor, place by place; never negative, NaN counts as
    nothing.
    """
    raised = np.nan_to_num(values.astype(np.float64), nan=-np.inf) - floor(values)
    return np.clip(raised, 0.0, None)


def _range(values: Values) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    low, high = float(finite.min()), float(finite.max())
    return (low if low < 0 else floor(values)), max(high, 0.0)


def _balanced(low: float, high: float) -> tuple[float, float]:
    reach = max(abs(low), abs(high))
    return -reach, reach
