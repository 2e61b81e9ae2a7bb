"""One x-feature on its picture, its contribution as a bar, and the pictures it is strongest on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ...explanations.concepts import Concepts
from .. import colour, encode, paint
from ..wording import listed, number, percent

SIDE = 300  # pixels of the long side of a picture
_SHOWN = 3  # strongest pictures of a feature
_CLOSE = 0.1  # of the score above the offset: a residual below it is small
_FAITHFUL = 0.9  # r2 from which the sum is said to follow the score
_THUMBNAIL = "data:image/"  # the only addresses that a page follows


def pixels(concepts: Concepts, row: int) -> colour.Pixels:
    """What the model saw, or a grey field where that is not known."""
    if concepts.images is None:
        return np.full((224, 224, 3), 128, dtype=np.uint8)
    return paint.visible_pixels(
        concepts.images[row].detach().float().permute(1, 2, 0).cpu().numpy()
    )


def heat(concepts: Concepts, row: int, feature: int) -> colour.Values | None:
    """The feature's map clipped at zero, or None where there is nothing to draw."""
    if concepts.maps is None:
        return None
    values = concepts.maps[row, feature].detach().float().cpu().clamp(min=0).numpy()
    return values if values.max() > 0 else None


def tile(concepts: Concepts, row: int, feature: int) -> Markup:
    """The picture under the feature's map, at the picture's size; the picture alone where the
    feature is nowhere."""
    base = pixels(concepts, row)
    values = heat(concepts, row, feature)
    name = concepts.names[row][feature]
    if values is None:
        return image(base, f"The picture: {name} does not appear in it", "concept-idle")
    over = paint.overlay(base, paint.stretch(values, (base.shape[0], base.shape[1])))
    return image(over, f"{name}: its map over the picture", "")


def image(shown: colour.Pixels, told: str, kind: str) -> Markup:
    """A picture of a card; all are of one size."""
    return Markup('<img class="concept-stage {}" alt="{}" width="{}" height="{}" src="{}">').format(
        kind, told, shown.shape[1], shown.shape[0], encode.picture(shown, long_side=SIDE)
    )


def bar(share: float, told: str) -> Markup:
    """A contribution as a part of the longest one, in [0, 1]."""
    return Markup(
        '<div class="concept-bar" role="img" aria-label="{}"><span style="width:{}%"></span></div>'
    ).format(told, f"{100 * min(max(share, 0.0), 1.0):.1f}")


def examples(found: Sequence[Mapping[str, Any]]) -> Markup:
    """The pictures on which a feature is strongest: small, or by name where none is kept."""
    if not found:
        return Markup("")
    drawn = [
        Markup('<img alt="{}" title="{}: {}" src="{}">').format(
            e["name"], e.get("label", e["name"]), number(e["value"]), e["thumbnail"]
        )
        for e in found[:_SHOWN]
        if str(e.get("thumbnail", "")).startswith(_THUMBNAIL)
    ]
    said = Markup("").join(drawn)
    labels = [
        Markup("<span>{}</span> ({})").format(e["name"], number(e["value"])) for e in found[:_SHOWN]
    ]
    body = said if drawn else Markup(", ").join(labels)
    return Markup(
        '<div class="concept-examples"><p class="quiet-line">pictures where it is'
        " strongest</p><div>{}</div></div>"
    ).format(body)


def finding(concepts: Concepts, row: int) -> str:
    """What the sum says, as a sentence."""
    order = [k for k in concepts.order(row) if float(concepts.contributions[row, k]) > 0]
    called = concepts.called[row]
    if not order:
        return f"None of the features of {called} is active in this picture."
    names = [concepts.names[row][k] for k in order]
    above = float(concepts.contributions[row].sum())
    first = float(concepts.contributions[row, order[0]])
    if len(order) == 1:
        return f"Here only one feature adds to the score of {called}: {names[0]}."
    share = percent(first / above)
    return f"{names[0]} adds {share} of what all features add to the score of {called} here."


def total(concepts: Concepts, row: int) -> Markup:
    """The prediction as a sum of named parts."""
    parts = [
        _term(float(concepts.contributions[row, k]), concepts.names[row][k])
        for k in concepts.order(row)
        if float(concepts.contributions[row, k]) > 0
    ]
    offset = Markup('<span title="The score without any of these features.">{}</span>').format(
        _term(float(concepts.offset[row]), "offset")
    )
    return Markup("{} = <b>{}</b>").format(
        Markup(" + ").join([offset, *parts]), number(float(concepts.reconstructed[row]))
    )


def _term(value: float, name: str) -> Markup:
    return Markup('<span class="concept-term">{} <small>{}</small></span>').format(
        number(value), name
    )


def trust(concepts: Concepts, row: int) -> tuple[str, bool]:
    """How far the sum is the model's score, here and on unseen pictures; whether to doubt it."""
    residual, score = float(concepts.residual[row]), float(concepts.score[row])
    reach = max(abs(score - float(concepts.offset[row])), 1e-9)
    far = abs(residual) > _CLOSE * reach
    said = (
        f"The model's own score is {number(score)}; it differs from the sum by {number(residual)}"
    )
    said += ", which is too much for the sum to explain it." if far else "."
    told = concepts.trained[row]
    if "r2" not in told:
        return said, far
    weak = float(told["r2"]) < _FAITHFUL
    verb = "follows the score poorly" if weak else "follows the score"
    said += f" On {told.get('pictures', 'the')} unseen pictures the sum {verb}"
    return f"{said} (R² {number(float(told['r2']))}).", far or weak


def idle(concepts: Concepts, row: int) -> str:
    """Which features the picture has nothing of."""
    none = [
        concepts.names[row][k]
        for k in concepts.order(row)
        if not float(concepts.contributions[row, k]) > 0
    ]
    return f"Not active in this picture: {listed(none)}." if none else ""
