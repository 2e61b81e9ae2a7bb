"""The pictures on which the best method gains least, with its maps beside them."""

from typing import Any

import numpy as np

from ...evaluation.table import BLOB, Table
from ...views import encode, paint
from ...views.wording import number

_SHOWN, _SIDE = 6, 176

Context = dict[str, Any]  # Any: what a template reads


def gallery(table: Table) -> Context | None:
    """The pictures on which the best method gains least over the blob, by the first metric."""
    method = table.ranking.methods[0] if table.ranking else table.methods[0]
    for scores in (s for s in table.quality if not s.metric.blind_is_best):
        ours, blob = scores.row(method), scores.row(BLOB)
        gains = scores.sign * (ours - blob)
        if np.isfinite(gains).any():
            break
    else:
        return None
    order = [int(k) for k in np.argsort(gains, kind="stable") if np.isfinite(gains[k])][:_SHOWN]
    pictures = table.model_inputs(order)
    maps = {k: table.small_map(k, method) for k in order}
    bands = getattr(table.plan.model.preprocess, "shown", None)
    shown = [
        {
            "name": table.pictures[k],
            "short": table.pictures[k].rpartition("/")[2],
            "called": _called(table.row(k, method)),
            "text": f"{number(float(ours[k]))}, blob {number(float(blob[k]))}",
            **_pair(pictures.get(k), maps[k], bands),
        }
        for k in order
    ]
    return {
        "method": method,
        "metric": scores.label,
        "lost": int((gains < 0).sum()),
        "of": int(np.isfinite(gains).sum()),
        "pictures": shown,
        "mapped": any(one["map"] for one in shown),
    }


def _called(row: dict[str, Any]) -> str:
    """The prediction, then what was explained where that is something else."""
    said, target = row["prediction"], row["target"]
    first = f"prediction: {said}" if said else ""
    other = f"explained: {target}" if not said or said.partition(" = ")[0] != target else ""
    return "; ".join(filter(None, (first, other)))


def _pair(colours: np.ndarray | None, values: np.ndarray | None, bands: Any) -> Context:
    """The picture as the model gets it and the same with the map over it, as `data:` addresses;
    nothing where it is no picture or gone. bands: those that stand for red, green and blue.
    """
    if colours is None or colours.min() < 0 or colours.max() > 1:
        return {"picture": "", "map": "", "scale": ""}
    shown = encode.fit_picture(paint.visible_pixels(colours, bands), _SIDE)
    if values is None:
        return {"picture": encode.picture(shown, long_side=_SIDE), "map": "", "scale": ""}
    ramp = paint.ramp(values)
    return {
        "picture": encode.picture(shown, long_side=_SIDE),
        "map": encode.picture(paint.overlay(shown, values, ramp), long_side=_SIDE),
        "scale": f"{ramp.unit}{'; red for, blue against' if ramp.signed else ''}",
    }
