"""Numbers and lists as people read them: two significant digits, real minus signs, an Oxford-free
'and'.
"""

import math
from collections.abc import Sequence

NARROW = "\N{NARROW NO-BREAK SPACE}"


def number(value: float, digits: int = 2) -> str:
    """Two significant digits, all digits before the point, powers of ten where zeros would pile
    up.
    """
    if not math.isfinite(value):
        return "none"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e5 or size < 1e-3:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{_minus(mantissa)}{NARROW}×{NARROW}10{raised}"  # noqa: RUF001
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    return _minus(f"{value:,.{places}f}".replace(",", NARROW))


def with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """`0.41 ± 0.03`, or both ends where the interval is lopsided."""
    if interval is None:
        return number(value)
    below, above = value - interval[0], interval[1] - value
    wide = max(below, above)
    if not wide > 0:
        return number(value)
    if abs(below - above) <= 0.1 * wide:
        places = _places(wide)
        return f"{_fixed(value, places)} ± {_fixed(wide, places)}"
    places = _places(min(below, above) if min(below, above) > 0 else wide)
    low, high = (_fixed(end, places) for end in interval)
    return f"{_fixed(value, places)} ({low} to {high})"


def _places(width: float) -> int:
    """Decimals that show one digit of a width, two where the first digit is a 1 or a 2."""
    exponent = math.floor(math.log10(width))
    return max(0, (1 if width / 10**exponent < 2.95 else 0) - exponent)


def percent(share: float) -> str:
    """`97 %`; near the ends `over 99 %` and `under 1 %`, so that nothing looks certain that is
    not.
    """
    if not math.isfinite(share):
        return "none"
    if 0.995 <= share < 1:
        return f"over 99{NARROW}%"
    if 0 < share < 0.005:
        return f"under 1{NARROW}%"
    return f"{round(share * 100)}{NARROW}%"


def seconds(duration: float) -> str:
    """`42 ms`, `1.3 s`, `4 min 10 s`."""
    if duration < 1:
        return f"{max(1, round(duration * 1000))}{NARROW}ms"
    if duration < 60:
        return f"{number(duration)}{NARROW}s"
    return f"{int(duration // 60)} min{NARROW}{round(duration % 60):02d} s"


def listed(names: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def counted(count: int, noun: str) -> str:
    """`no pictures`, `1 picture`, `10 pictures`."""
    amount = "no" if count == 0 else f"{count:,}".replace(",", NARROW)
    return f"{amount} {noun}{'' if count == 1 else 's'}"


def _fixed(value: float, places: int) -> str:
    return _minus(f"{value:.{places}f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")  # noqa: RUF001
