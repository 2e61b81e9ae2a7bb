"""How maps look over a picture, where the user wants it otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from ...errors import BadField, UnknownName, near

COLORMAPS = {
    "inferno": "magnitude",
    "viridis": "similarity",
    "cividis": "cividis",
    "grey": "grey",
    "gray": "grey",
}
"""Names that people type, and the colours that they stand for."""

_MISLEADING = {"jet", "rainbow", "hsv", "turbo", "nipy_spectral", "gist_rainbow"}


@dataclass(frozen=True, kw_only=True)
class Style:
    """Colours, opacity and contours of the maps in a picture or figure.

    colormap: `inferno`, `viridis`, `cividis` or `grey`, for maps without a sign; a map with both
    signs is always blue (against) to red (for), because only there zero is neutral. opacity: of the
    strongest place, in [0, 1]. contours: lines around the places that hold 25, 50 and 75 % of the
    evidence.

    >>> Style(colormap="viridis").opacity
    0.75
    """

    colormap: str = "inferno"
    opacity: float = 0.75
    contours: bool = False

    def __post_init__(self) -> None:
        _check(vars(self))

    @classmethod
    def of(cls, given: Any) -> "Style":  # Any: checked here
        """The style that is meant. Raises: UnknownName for a key, BadField for a value."""
        if given is None or isinstance(given, Style):
            return given or cls()
        names = [f.name for f in fields(cls)]
        if not isinstance(given, Mapping):
            raise BadField(
                f"a style is a dict with {', '.join(names)}, or a Style; got"
                f" {type(given).__name__}. Example: `style=dict(colormap='viridis')`."
            )
        for key in given:
            if key not in names:
                raise UnknownName(
                    f"a style has no {key!r}{near(str(key), names)} Keys: {', '.join(names)}."
                )
        _check(given)
        return cls(**{**given, "opacity": float(given.get("opacity", cls.opacity))})

    @property
    def table(self) -> str:
        """The name of the colours in `colour`."""
        return COLORMAPS[self.colormap.lower()]


def _check(given: Mapping[str, Any]) -> None:
    """Raises: BadField for a value that a style cannot have."""
    name = given.get("colormap", "inferno")
    if not isinstance(name, str) or name.lower() not in COLORMAPS:
        misleading = str(name).lower() in _MISLEADING
        why = " It shows edges where there are none." if misleading else ""
        hint = near(name, COLORMAPS) if isinstance(name, str) else "."
        raise BadField(
            f"colormap={name!r}{hint}{why} Expected one that gets evenly lighter: inferno,"
            " viridis, cividis or grey."
        )
    opacity = given.get("opacity", 0.75)
    number = isinstance(opacity, Real) and not isinstance(opacity, bool)
    if not number or not 0 <= float(opacity) <= 1:
        raise BadField(f"opacity={opacity!r}; expected a number in [0, 1], such as 0.75.")
    contours = given.get("contours", False)
    if not isinstance(contours, bool):
        raise BadField(f"contours={contours!r}; expected True or False.")
