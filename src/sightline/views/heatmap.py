"""Draws a Heatmap: overlay, file, matplotlib figure, notebook form. The picture always stands
beside its map, or under it, in full.

Nothing here computes relevance; colours come from `scale`, what lies where from `overlay`, so a
file, a figure and a report agree.
"""

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from .. import registry
from ..explanation import Heatmap
from ..pictures import reading as images
from . import colour, encode, paint, refusal
from .colour import Pixels, Values
from .overlay import captions, plot
from .overlay.captions import drawn_map, nth
from .overlay.photograph import Photograph, painted, photograph
from .overlay.plate import plated
from .overlay.style import Style
from .paint import Ramp, Scale
from .scale import check, ramps
from .wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOTEBOOK_SIDE = 420  # pixels
_NOTEBOOK_ROWS = 8
_WIDTH, _TALLEST = 7.2, 4.6  # inches of a figure, and of a picture in it
_FIGURE_SIDE = 1000  # pixels of a picture in a figure

Styled = Any  # a Style, a mapping or None; checked by `Style.of`
Wanted = Any  # a Scale, True or False; checked by `scale.check`


@registry.drawn(Heatmap, "overlay")
def overlay(
    picture: Shaped[np.ndarray, "..."],
    values: Values,
    scale: Scale = "evidence",
    opacity: float = 0.75,
    note: str = "",
) -> Pixels:
    """The picture (row, col, 3) with the map over it, as RGB bytes of the picture's size. note:
    written over it, for a picture without a map."""
    drawn = paint.overlay(picture, values, scale, opacity=opacity)
    return refusal.noted(drawn, note) if note else drawn


@registry.drawn(Heatmap, "png")
def encoded(
    heat: Heatmap,
    i: int = 0,
    suffix: str = ".png",
    *,
    caption: bool = True,
    scale: Wanted = True,
    style: Styled = None,
) -> bytes:
    """Picture `i` in full with its map, as the bytes of a PNG file, or of a JPEG file by its
    suffix.

    caption: what was explained, below the picture. scale: the colour bar; how colours are scaled,
    or False for no bar. style: `colormap`, `opacity`, `contours`.
    """
    chosen = Style.of(style)
    values = drawn_map(heat, i)
    ramp = None if values is None else ramps([values], _rule(scale))[0]
    photo = photograph(heat, i, _size(heat))
    told = captions.caption(heat, i) if caption else None
    drawn = plated(painted(photo, values, ramp, chosen), told, _barred(ramp, scale), chosen)
    if suffix == ".png":
        return images.encode_png(drawn, 4)  # a third of the time of 6, and 4 % more bytes
    return images.encode_jpeg(drawn, 92)


@registry.drawn(Heatmap, "figure")
def figure(
    heat: Heatmap,
    *,
    ax: "Axes | None" = None,
    i: int = 0,
    caption: bool = True,
    scale: Wanted = True,
    style: Styled = None,
    dark: bool = False,
    contours: bool = False,
) -> "Figure":
    """A matplotlib figure: each picture in full, beside it the same with its map, and below what
    was done and what the colours mean.

    ax: draw only image `i`, without caption and colour bar, into these axes; its figure is
    returned. caption, scale, style: as in `save`. contours: lines around 25, 50 and 75 % of the
    map. Neither pyplot nor the settings of matplotlib are touched.
    """
    chosen = Style.of({**(_named(style)), "contours": True} if contours else style)
    rows = [i] if ax is not None else range(len(heat))
    maps = [drawn_map(heat, k) for k in rows]
    made = iter(ramps([m for m in maps if m is not None], _rule(scale)))
    own = [None if values is None else next(made) for values in maps]
    photos = [photograph(heat, k, _size(heat), _FIGURE_SIDE) for k in rows]
    if ax is not None:
        tokens = colour.DARK if dark else colour.LIGHT
        title = captions.subject(heat.provenance, i) if caption else ""
        plot.show(ax, painted(photos[0], maps[0], own[0], chosen), tokens, title)
        return ax.figure.figure  # type: ignore[return-value]
    told = [captions.caption(heat, k) if caption else None for k in rows]
    high = [_row_height(p, c, r, scale) for p, c, r in zip(photos, told, own, strict=True)]
    drawn, tokens = plot.blank(_WIDTH, sum(high) + 0.1, dark)
    top = sum(high) + 0.1
    for k, photo in enumerate(photos):
        over = painted(photo, maps[k], own[k], chosen)
        _row(drawn, photo, over, (top, tokens))
        under = top - _PAD - _picture_height(photo) - 0.14
        if (text := told[k]) is not None:
            place = (_PAD / _WIDTH, under / drawn.get_figheight(), _CAPTION / _WIDTH)
            plot.captioned(drawn, text, place, tokens)
        if (ramp := _barred(own[k], scale)) is not None:
            bar = (0.5 + _GAP / 2 / _WIDTH, (under - 0.13) / drawn.get_figheight())
            wide, tall = _SIDE / _WIDTH, 0.11 / drawn.get_figheight()
            plot.scale_bar(drawn.add_axes((*bar, wide, tall)), ramp, chosen, tokens)
        top -= high[k]
    return drawn


_PAD, _GAP = 0.16, 0.14  # inches around the pictures and between them
_SIDE = (_WIDTH - 2 * _PAD - _GAP) / 2  # inches of a picture
_CAPTION = _SIDE - 0.1


def _row(
    drawn: "Figure", photo: Photograph, over: Pixels, place: tuple[float, dict[str, str]]
) -> None:
    """The picture and the same with its map, below `top` inches of the figure."""
    top, tokens = place
    tall = _picture_height(photo)
    bottom, high = (top - _PAD - tall) / drawn.get_figheight(), tall / drawn.get_figheight()
    for k, pixels in enumerate((photo.pixels, over)):
        left = (_PAD + k * (_SIDE + _GAP)) / _WIDTH
        axes = drawn.add_axes((left, bottom, _SIDE / _WIDTH, high))
        axes.set_anchor("NW")
        plot.show(axes, pixels, tokens)


def _picture_height(photo: Photograph) -> float:
    return min(_SIDE * photo.size[0] / photo.size[1], _TALLEST)


def _row_height(
    photo: Photograph, told: captions.Caption | None, ramp: Ramp | None, scale: Wanted
) -> float:
    text = 0.0 if told is None else plot.caption_height(told, _CAPTION)
    bar = 0.0 if _barred(ramp, scale) is None else 0.55
    return _picture_height(photo) + _PAD + 0.14 * bool(text or bar) + max(text, bar) + 0.08


def _named(style: Styled) -> dict[str, Any]:
    return vars(style).copy() if isinstance(style, Style) else dict(style or {})


def _rule(scale: Wanted) -> Scale:
    return "evidence" if isinstance(scale, bool) else check(scale)


def _barred(ramp: Ramp | None, scale: Wanted) -> Ramp | None:
    """The ramp where a colour bar is wanted and explains something."""
    return None if scale is False or ramp is None or ramp.flat else ramp


def _size(heat: Heatmap) -> tuple[int, int]:
    return heat.values.shape[1], heat.values.shape[2]


@registry.drawn(Heatmap, "html")
def html(heat: Heatmap) -> str:
    """A small self-contained form for notebooks: picture, overlay, colour bar with numbers,
    caption.
    """
    rows = [_notebook_row(heat, k) for k in range(min(len(heat), _NOTEBOOK_ROWS))]
    left_out = len(heat) - len(rows)
    more = (
        f"<p>{left_out} more; <code>heat[{len(rows)}:]</code> shows them.</p>" if left_out else ""
    )
    return (
        '<div style="font:13px/1.45 system-ui,sans-serif;max-width:720px">'
        f"{''.join(rows)}{more}</div>"
    )


def caption(heat: Heatmap, i: int) -> str:
    """One quiet line: method, layer, target with its probability, and when not to trust it."""
    facts = heat.provenance
    label = nth(facts.get("target_label"), i)
    probability = nth(facts.get("probability"), i)
    share = f" ({percent(probability)})" if isinstance(probability, float) else ""
    words = [
        str(facts.get("method", "heatmap")),
        f"at {facts['layer']}" if facts.get("layer") else "",
        f"for {label}{share}" if label is not None else "",
    ]
    line = ", ".join(word for word in words if word)
    if (order := heat.bands(i)) is not None:
        line += ". Of the picture, bands {}, {} and {} are shown".format(*order)
    if told := refusal.reason(heat, i):
        return f"{line}. {told}"
    doubt = captions.caution(facts.get("method"))
    return f"{line}. {doubt}" if doubt else f"{line}."


def _notebook_row(heat: Heatmap, i: int) -> str:
    values = drawn_map(heat, i)
    ramp = None if values is None else ramps([values])[0]
    photo = photograph(heat, i, _size(heat), _NOTEBOOK_SIDE)
    over = encode.picture(painted(photo, values, ramp, Style()), long_side=_NOTEBOOK_SIDE)
    known = captions.caption(heat, i)
    told = escape(f"{caption(heat, i)} {known.note}".strip())
    size = 'style="width:100%;display:block;border-radius:6px"'
    plain = encode.picture(photo.pixels, long_side=_NOTEBOOK_SIDE)
    beside = "" if heat.images is None else f'<img alt="picture" {size} src="{plain}">'
    return (
        '<figure style="margin:0 0 16px">'
        '<div style="display:grid;grid-template-columns:1fr 1fr;gap:12px">'
        f"<div>{beside}</div>"
        f'<div><img alt="{told}" {size} src="{over}">{_notebook_bar(ramp)}</div></div>'
        f'<figcaption style="opacity:.75">{told}</figcaption></figure>'
    )


def _notebook_bar(ramp: Ramp | None) -> str:
    if ramp is None or ramp.flat:
        return ""
    stops = ",".join(colour.stops("signed" if ramp.signed else "magnitude"))
    ends = "".join(f"<span>{end}</span>" for end in ramp.ends)
    return (
        f'<div style="height:8px;margin-top:6px;background:linear-gradient(to right,{stops})">'
        '</div><div style="display:flex;justify-content:space-between;opacity:.75">'
        f'{ends}</div><div style="text-align:center;opacity:.75">{ramp.unit}</div>'
    )
