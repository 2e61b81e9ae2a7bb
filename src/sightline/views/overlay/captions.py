"""What stands under a map: the class and its probability, the method and its layer, and what must
be known to read the colours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import registry
from ...errors import UnknownName
from ...explanation import Explanation, Heatmap
from .. import paint
from ..colour import Values
from ..wording import number, percent


@dataclass(frozen=True)
class Caption:
    """title: what is explained. detail: how. note: what must be known beside; may be empty.
    caution: when not to trust the method; for figures, which have room."""

    title: str
    detail: str
    note: str = ""
    caution: str = ""


def caption(found: Explanation, i: int) -> Caption:
    """The caption of picture `i`."""
    facts = found.provenance
    layer = f", layer {facts['layer']}" if facts.get("layer") else ""
    method = f"{facts.get('method', type(found).__name__.lower())}{layer}"
    told = "" if found.refused[i] is not None else caution(facts.get("method"))
    return Caption(subject(facts, i), method, _note(found, i), told)


def caution(method: Any) -> str:
    """When not to trust the method, from its own file; nothing for one that is not registered."""
    try:
        return registry.entry("explainer", str(method)).caution.replace("`", "")
    except UnknownName:
        return ""


def subject(facts: Mapping[str, Any], i: int) -> str:
    """What is explained: `tabby (97 %)`, `against tabby (97 %)`; empty where it has no name."""
    label = nth(facts.get("target_label"), i)
    if label is None:
        return ""
    name = f"class {label}" if str(label).isdigit() else " ".join(str(label).split())
    against = "against " if str(facts.get("target", "")).startswith("-") else ""
    probability = nth(facts.get("probability"), i)
    share = f" ({percent(probability)})" if isinstance(probability, float) else ""
    return f"{against}{name}{share}"


def nth(values: Any, i: int) -> Any:
    """The entry of picture `i` where there is one for each; otherwise None."""
    return values[i] if isinstance(values, (list, tuple)) and i < len(values) else None


def drawn_map(heat: Heatmap, i: int) -> Values | None:
    """The map of picture `i` that is drawn, its signed form where nothing is positive; None for a
    picture without a map."""
    values = heat.numpy()[i]
    if heat.refused[i] is not None or not np.isfinite(values).any():
        return None
    return paint.visible(values, None if heat.native is None else _native(heat, i))


def _native(heat: Heatmap, i: int) -> Values | None:
    assert heat.native is not None
    native = heat.native[i].detach().cpu().float().numpy()
    return native if native.ndim == 2 else None


def _note(found: Explanation, i: int) -> str:
    notes = [f"No result: {found.refused[i]}"] if found.refused[i] is not None else []
    if isinstance(found, Heatmap):
        notes = notes or _of_values(found, i)
        if (order := found.bands(i)) is not None:
            notes.append("Bands {}, {} and {} of the picture are shown.".format(*order))
    return " ".join(notes)


def _of_values(heat: Heatmap, i: int) -> list[str]:
    """What a reader would wonder about: no map, or one in which nothing is positive."""
    values = heat.numpy()[i]
    if not np.isfinite(values).any():
        return ["No map came back."]
    if paint.mass(values).sum() > 0 or values.min() < 0 < values.max():
        return []
    if not values.max() > 0:
        label = nth(heat.provenance.get("target_label"), i)
        of = "" if label is None else f" for {label}"
        signed = drawn_map(heat, i)
        told = "" if signed is None or not signed.min() < 0 else " Blue is evidence against it."
        return [f"Nothing is positive{of}.{told}"]
    return [f"The map has the same value everywhere ({number(float(values.max()))})."]
