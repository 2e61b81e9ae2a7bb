"""The colours of every page and figure: tokens, and maps from a value to a colour.

Scales and one palette. *Magnitude* is dark to light and perceptually uniform (inferno),
*similarity* likewise (viridis), and so is cividis; all are in the public domain (CC0) and kept here
as 25 stops.
*Signed* runs from blue (against) over nothing (zero) to red (for). Over a photograph the opacity
follows the magnitude, so that the picture shows through where nothing was found. Categories are the
eight colours of Okabe and Ito, each also with a dash pattern, because colour alone is not enough.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, Float32, UInt8

Pixels = UInt8[np.ndarray, "... _colour"]
Values = Float32[np.ndarray, "_row _col"]
_Shares = Float[np.ndarray, "..."]

LIGHT = {
    "paper": "#fbfaf7",
    "card": "#ffffff",
    "ink": "#1a1c20",
    "ink-2": "#565b66",
    "ink-3": "#6b707c",
    "edge": "#8b909c",
    "line": "#e4e1da",
    "accent": "#0b6e8f",
    "for": "#b3261e",
    "against": "#2456a6",
    "warn": "#9a5b00",
}
DARK = {
    "paper": "#14161a",
    "card": "#1c1f25",
    "ink": "#eceef2",
    "ink-2": "#a9afbb",
    "ink-3": "#868d9a",
    "edge": "#747b88",
    "line": "#2c3038",
    "accent": "#5cc3e4",
    "for": "#ff8a7a",
    "against": "#86b4ff",
    "warn": "#ffc266",
}

_STOPS = {
    "magnitude": (
        "000004 050418 110a30 210c4a 330a5e 450a69 57106d 68166e 781c6d 89226a 9a2865 ab2f5e bb3755"
        " ca404a d84c3f e35932 ed6925 f47a17 f98d0a fca108 fcb519 f9ca32 f4de52 f2f17b fcffa4"
    ),
    "similarity": (
        "440154 471163 481f71 472d7b 443a83 404688 3b528b 355d8d 31688e 2c728e 287c8e 24868e 21908c"
        " 1f9a8a 20a486 28ae80 35b779 47c06f 5dc963 75d054 8fd744 abdc32 c7e020 e3e418 fde725"
    ),
    "cividis": (
        "00224e 002a5f 003170 1a386f 2a3f6d 38476c 434e6c 4d556c 575d6d 61656f 6a6c71 737475 7d7c78"
        " 868379 918b78 9b9476 a59c74 b0a571 bcae6c c6b667 d2c060 dec958 e9d34e f6dd3f fee838"
    ),
    "grey": "000000 ffffff",
    "signed": (
        "2456a6 3563ac 456fb3 557cb9 6588bf 7694c4 86a1ca 97adcf a7b9d5 b8c6da c9d2df dbdee3 ecebe8"
        " eadcd7 e7ccc6 e4bdb5 e0aea4 dc9f94 d78f83 d28073 cd7063 c76053 c14f42 ba3c31 b3261e"
    ),
    "signed-dark": (
        "86b4ff 7ca5ea 7297d5 6889c0 5e7bac 546e98 4b6085 415372 384760 2f3a4e 272e3d 1e232d 16181d"
        " 272124 382a2c 493333 5c3c3b 6e4542 824f4a 965852 aa625a bf6c62 d4766a e98072 ff8a7a"
    ),
}

CATEGORIES = (
    ("#e69f00", ""),
    ("#56b4e9", "9 3"),
    ("#009e73", "4 3"),
    ("#f0e442", "12 3 3 3"),
    ("#cc79a7", "6 2"),
    ("#d55e00", "2 2"),
    ("#0072b2", "14 3"),
    ("#b3b3b3", "5 5"),
)
"""At most eight kinds of thing: (colour, dash pattern of its outline)."""


@cache
def stops(name: str) -> tuple[str, ...]:
    """The hexadecimal stops of `magnitude`, `similarity`, `cividis`, `grey`, `signed` or
    `signed-dark`, evenly spaced.
    """
    return tuple(f"#{word}" for word in _STOPS[name].split())


@cache
def table(name: str, size: int = 256) -> Pixels:
    """A map as a (size, 3) table of RGB bytes."""
    anchors = np.array([_rgb(stop) for stop in stops(name)], dtype=np.float64)
    places = np.linspace(0, len(anchors) - 1, size)
    columns = [np.interp(places, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.stack(columns, axis=1).round().astype(np.uint8)


def magnitude(values: Values, low: float, high: float, name: str = "magnitude") -> Pixels:
    """RGBA of values from `low` (dark, transparent) to `high` (light, opaque), in the colours of
    that map.

    NaN, where the model saw nothing, is fully transparent. Where `high` is not above `low`
    everything is.
    """
    share = _share(values, low, high)
    return _with_alpha(name, share, _opacity(share))


def similarity(values: Values, low: float, high: float) -> Pixels:
    """RGBA of how alike places are: opaque from `low` to `high`."""
    share = _share(values, low, high)
    return _with_alpha("similarity", share, np.where(np.isnan(values), 0.0, 1.0))


def signed(values: Values, limit: float) -> Pixels:
    """RGBA of values from -`limit` (blue, against) over 0 (transparent) to `limit` (red, for)."""
    half = _share(np.abs(values), 0.0, limit)
    place = 0.5 + 0.5 * np.sign(np.nan_to_num(values)) * half
    return _with_alpha("signed", place, _opacity(half))


def matplotlib_map(name: str, *, clear: bool = False):
    """The same colours as a matplotlib colour map; `clear` makes the opacity follow the
    magnitude.
    """
    from matplotlib.colors import ListedColormap

    rgb = table(name) / 255.0
    place = np.linspace(0, 1, len(rgb))
    strength = np.abs(2 * place - 1) if name == "signed" else place
    alpha = _opacity(strength) if clear else np.ones(len(rgb))
    return ListedColormap(np.column_stack([rgb, alpha]), name=f"sightline-{name}")


def _share(values: Values, low: float, high: float) -> _Shares:
    """Where each value lies between the limits, in [0, 1]; NaN counts as the lower limit."""
    span = high - low
    if not span > 0:
        return np.zeros(values.shape)
    raw = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / span
    return np.clip(raw, 0.0, 1.0)


def _opacity(share: _Shares) -> _Shares:
    """Weak values stay visible a little longer than in proportion; the strongest hide the
    picture.
    """
    return share**0.75


def _with_alpha(name: str, place: _Shares, alpha: _Shares) -> Pixels:
    colours = table(name)[(place * 255).round().astype(np.intp)]
    return np.concatenate([colours, (alpha * 255).round().astype(np.uint8)[..., None]], axis=-1)


def _rgb(stop: str) -> tuple[int, int, int]:
    return int(stop[1:3], 16), int(stop[3:5], 16), int(stop[5:7], 16)
