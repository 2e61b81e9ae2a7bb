"""A picture that a method refused: shown dimmed, with the reason, in the place of its result."""

import io
import textwrap
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from markupsafe import Markup

from ..explanation import Explanation
from . import colour, encode, paint
from .colour import Pixels
from .overlay.photograph import photograph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_View = TypeVar("_View", bound=Callable[..., Any])
_SIDE = 480  # pixels of the picture


def unless_refused(form: str) -> Callable[[_View], _View]:
    """A view of one image of an explanation, given as `row` or `i`, that draws in its place why it
    was refused, where it was. form: `panel`, `text`, `svg`, `png` or `figure`."""

    def guard(draw: _View) -> _View:
        @wraps(draw)
        def view(found: Explanation, *row: Any, **options: Any) -> Any:
            i = row[0] if row else options.get("row", options.get("i", 0))
            if found.refused[i] is None:
                return draw(found, *row, **options)
            return _FORMS[form](found, i, *row[1:], **options)

        return view  # type: ignore[return-value]

    return guard


def reason(found: Explanation, i: int) -> str:
    """Why image `i` has no result, as a sentence; nothing where it has one."""
    told = found.refused[i]
    return "" if told is None else f"No result: {told}"


def noted(picture: Pixels, note: str) -> Pixels:
    """The picture with a note written over it, as large as there is room."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = Image.fromarray(picture)
    width, height = drawn.size
    size = max(8, min(width, height) // 20)
    lines = textwrap.wrap(note, max(8, round(width / (0.56 * size))))
    font = ImageFont.load_default(size)
    pen, room = ImageDraw.Draw(drawn), max(1, round(height / (1.3 * size)))
    text = "\n".join(lines[:room])
    pen.multiline_text(
        (size // 2, size // 2), text, fill="white", font=font, stroke_width=1, stroke_fill="black"
    )
    return np.asarray(drawn)


def figure(found: Explanation, i: int, *, dark: bool = False, **_: Any) -> "Figure":
    """A matplotlib figure of the picture and the reason."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    drawn = Figure(figsize=(7.2, 3.4), facecolor=tokens["paper"])
    FigureCanvasAgg(drawn)
    left = drawn.add_axes((0.02, 0.05, 0.42, 0.9))
    left.set_axis_off()
    left.imshow(_dimmed(found, i))
    lines = "\n".join(textwrap.wrap(reason(found, i), 48))
    drawn.text(0.47, 0.93, lines, va="top", fontsize=10, color=tokens["ink"])
    return drawn


def _panel(found: Explanation, i: int) -> Markup:
    return Markup('<p class="doubt">{}</p><img alt="The picture" src="{}">').format(
        reason(found, i), encode.picture(_dimmed(found, i), long_side=_SIDE)
    )


def _svg(found: Explanation, i: int) -> Markup:
    pixels = _dimmed(found, i)
    high = round(_SIDE * pixels.shape[0] / pixels.shape[1])
    lines = textwrap.wrap(reason(found, i), 64)
    body = Markup("").join(
        Markup('<text x="8" y="{}" font-size="13">{}</text>').format(high + 20 + 18 * k, line)
        for k, line in enumerate(lines)
    )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}"><title>{}</title>'
        '<image href="{}" width="{}" height="{}"/>{}</svg>'
    ).format(
        _SIDE,
        high + 18 * len(lines) + 16,
        reason(found, i),
        encode.picture(pixels, long_side=_SIDE),
        _SIDE,
        high,
        body,
    )


def _png(found: Explanation, i: int, suffix: str = ".png", **_: Any) -> bytes:
    stream = io.BytesIO()
    figure(found, i).savefig(stream, format=suffix[1:], dpi=150)
    return stream.getvalue()


def _dimmed(found: Explanation, i: int) -> Pixels:
    """The photograph, dimmed as where there is no map; a grey field where it is not known."""
    if found.images is None and found.pictures is None:
        return np.full((224, 224, 3), 128, dtype=np.uint8)
    return paint.dimmed(photograph(found, i).pixels)


_FORMS: dict[str, Callable[..., Any]] = {
    "panel": _panel,
    "text": reason,
    "svg": _svg,
    "png": _png,
    "figure": figure,
}
