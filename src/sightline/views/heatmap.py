"""Draws a Heatmap: overlay, matplotlib figure, notebook form, file. The picture always stands
beside its map.

Nothing here computes relevance; colours, limits and outlines come from `paint`, so a figure and a
report agree.
"""

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from .. import images, registry
from ..explanation import Heatmap
from . import colour, packed, paint, refused
from .colour import Pixels, Values
from .paint import Scale
from .wording import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOTEBOOK_SIDE = 320  # pixels
_NOTEBOOK_ROWS = 8


@registry.drawn(Heatmap, "overlay")
def overlay(
    picture: Shaped[np.ndarray, "..."],
    values: Values,
    scale: Scale = "per-image",
    opacity: float = 0.75,
    note: str = "",
) -> Pixels:
    """The picture (row, col, 3) with the map over it, as RGB bytes of the picture's size. note:
    written over it, for a picture without a map."""
    drawn = paint.overlay(picture, values, scale, opacity=opacity)
    return refused.noted(drawn, note) if note else drawn


@registry.drawn(Heatmap, "png")
def encoded(heat: Heatmap, i: int = 0, suffix: str = ".png") -> bytes:
    """The overlay of image `i` as the bytes of a PNG file, or of a JPEG file by its suffix."""
    drawn = heat.overlay(i)
    return images.encode_png(drawn) if suffix == ".png" else images.encode_jpeg(drawn)


@registry.drawn(Heatmap, "figure")
def figure(
    heat: Heatmap,
    *,
    ax: "Axes | None" = None,
    i: int = 0,
    scale: Scale = "per-image",
    dark: bool = False,
    contours: bool = False,
) -> "Figure":
    """A matplotlib figure: each picture, its map with a colour bar, and a line that says what was
    done.

    ax: draw only image `i`, overlay and colour bar, into these axes; its figure is returned.
    contours: lines around 25, 50 and 75 % of the map. Neither pyplot nor the settings of matplotlib
    are touched.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    maps = list(heat.numpy())
    own = scale == "per-image"
    ranges = [paint.ends(m) for m in maps] if own else paint.limits(maps, scale)
    if ax is not None:
        _draw_map(ax, (_shown(heat, i), maps[i]), ranges[i], tokens, contours)
        return ax.figure.figure  # type: ignore[return-value]
    rows, cols = maps[0].shape
    height = 3.2 * min(rows / cols, 1.6) + 0.75
    drawn = Figure(
        figsize=(7.2, height * len(maps)), facecolor=tokens["paper"], layout="constrained"
    )
    FigureCanvasAgg(drawn)
    for k, part in enumerate(drawn.subfigures(len(maps), 1, squeeze=False).ravel()):
        part.set_facecolor(tokens["paper"])
        left, right = part.subplots(1, 2)
        _draw_picture(left, _shown(heat, k), tokens)
        _draw_map(right, (_shown(heat, k), maps[k]), ranges[k], tokens, contours)
        part.supxlabel(caption(heat, k), fontsize=8, color=tokens["ink-2"], wrap=True)
    return drawn


@registry.drawn(Heatmap, "html")
def html(heat: Heatmap) -> str:
    """A small self-contained form for notebooks: picture, overlay, colour bar with numbers,
    caption.
    """
    maps = list(heat.numpy())
    ranges = [paint.ends(values) for values in maps]
    rows = [
        _notebook_row(heat, k, maps[k], ranges[k]) for k in range(min(len(maps), _NOTEBOOK_ROWS))
    ]
    left_out = len(maps) - len(rows)
    more = (
        f"<p>{left_out} more; <code>heat.take([...])</code> shows others.</p>" if left_out else ""
    )
    return (
        '<div style="font:13px/1.45 system-ui,sans-serif;max-width:720px">'
        f"{''.join(rows)}{more}</div>"
    )


def caption(heat: Heatmap, i: int) -> str:
    """One quiet line: method, layer, target with its probability, and when not to trust it."""
    facts = heat.provenance
    label = _nth(facts.get("target_label"), i)
    probability = _nth(facts.get("probability"), i)
    share = f" ({percent(probability)})" if isinstance(probability, float) else ""
    words = [
        str(facts.get("method", "heatmap")),
        f"at {facts['layer']}" if facts.get("layer") else "",
        f"for {label}{share}" if label is not None else "",
    ]
    line = ", ".join(word for word in words if word)
    if (order := heat.bands(i)) is not None:
        line += ". Of the picture, bands {}, {} and {} are shown".format(*order)
    if told := refused.reason(heat, i):
        return f"{line}. {told}"
    doubt = _doubt(facts.get("method"))
    return f"{line}. {doubt}" if doubt else f"{line}."


def _doubt(method: Any) -> str:
    """When not to trust the method, from its own file; nothing for a method that is not
    registered.
    """
    from ..errors import UnknownName

    try:
        return registry.entry("explainer", str(method)).caution.replace("`", "")
    except UnknownName:
        return ""


def _nth(values: Any, i: int) -> Any:
    return values[i] if isinstance(values, (list, tuple)) and i < len(values) else None


def _shown(heat: Heatmap, i: int) -> Pixels | None:
    """What the model saw, as bytes; None where the heatmap carries no images."""
    if heat.images is None:
        return None
    tensor = heat.images[i].detach().float().cpu()
    return paint.seen(tensor.permute(1, 2, 0).numpy(), heat.bands(i))


def _blank(values: Values) -> Pixels:
    return np.full((*values.shape, 3), 255, dtype=np.uint8)


def _draw_picture(ax: "Axes", picture: Pixels | None, tokens: dict[str, str]) -> None:
    if picture is not None:
        ax.imshow(picture, interpolation="bilinear")
    _bare(ax, tokens)
    ax.set_title("picture", fontsize=9, color=tokens["ink"], loc="left")


def _draw_map(
    ax: "Axes",
    both: tuple[Pixels | None, Values],
    bounds: tuple[float, float],
    tokens: dict[str, str],
    contours: bool,
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values, (low, high) = both[1], bounds
    picture = both[0] if both[0] is not None else _blank(values)
    ax.imshow(paint.overlay(picture, values, (low, high)), interpolation="bilinear")
    if contours:
        rows, cols = picture.shape[:2]
        for lines, width in zip(paint.outlines(values), (1.8, 1.2, 0.8), strict=False):
            for line in lines:
                x, y = line[:, 0] * cols - 0.5, line[:, 1] * rows - 0.5
                ax.plot(x, y, color="black", linewidth=width + 1.2, alpha=0.5)
                ax.plot(x, y, color="white", linewidth=width)
    _bare(ax, tokens)
    if not np.isfinite(values).any():
        ax.set_title("no map", fontsize=9, color=tokens["ink"], loc="left")
        return
    chosen = colour.matplotlib_map("signed" if low < 0 else "magnitude")
    norm = Normalize(low, high if high > low else low + 1.0)
    beyond = np.nanmin(values) < low, np.nanmax(values) > high  # what has the last colour
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond)
    bar = ax.figure.colorbar(
        ScalarMappable(norm, chosen), ax=ax, fraction=0.05, pad=0.03, extend=extend or "neither"
    )
    ends = [low, (low + high) / 2, high] if high > low else [low]
    bar.set_ticks(ends, labels=[number(value) for value in ends])
    bar.ax.tick_params(labelsize=8, colors=tokens["ink-2"], length=2)
    bar.outline.set_visible(False)
    empty = not paint.mass(values).sum() > 0
    ax.set_title(
        "nothing positive anywhere" if empty else "map", fontsize=9, color=tokens["ink"], loc="left"
    )


def _bare(ax: "Axes", tokens: dict[str, str]) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_facecolor(tokens["card"])
    for spine in ax.spines.values():
        spine.set_color(tokens["line"])


def _notebook_row(heat: Heatmap, i: int, values: Values, bounds: tuple[float, float]) -> str:
    low, high = bounds
    picture = _shown(heat, i)
    base = packed.fit_picture(picture if picture is not None else _blank(values), _NOTEBOOK_SIDE)
    over = packed.picture(paint.overlay(base, values, (low, high)), long_side=_NOTEBOOK_SIDE)
    told = escape(caption(heat, i))
    size = 'style="width:100%;display:block;border-radius:6px"'
    beside = f'<img alt="picture" {size} src="{packed.picture(base, long_side=_NOTEBOOK_SIDE)}">'
    stops = ",".join(colour.stops("signed" if low < 0 else "magnitude"))
    ends = "".join(f"<span>{number(v)}</span>" for v in (low, (low + high) / 2, high))
    bar = (
        f'<div style="height:8px;margin-top:6px;background:linear-gradient(to right,{stops})">'
        '</div><div style="display:flex;justify-content:space-between;opacity:.75">'
        f"{ends}</div>"
    )
    bar = bar if np.isfinite(values).any() else ""
    return (
        '<figure style="margin:0 0 16px">'
        '<div style="display:grid;grid-template-columns:1fr 1fr;gap:12px">'
        f"<div>{beside if picture is not None else ''}</div>"
        f'<div><img alt="{told}" {size} src="{over}">{bar}</div></div>'
        f'<figcaption style="opacity:.75">{told}</figcaption></figure>'
    )
