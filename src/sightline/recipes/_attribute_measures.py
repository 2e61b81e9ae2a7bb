"""What a network with attributes reached on pictures that it had not seen: classes, attributes, and
how much of its attention lies on the object.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..ops.resize import resize
from ..pictures.areas import above, box_of
from ._attribute_data import AttributeTensors

CUT = 0.2  # of the maximum: where a map's region ends


def usual(attributes: Tensor, classes: Tensor, count: int) -> Tensor:
    """(attribute, class): the correlation of each attribute (above 0.5 or not) with each class; 0
    where one of them is constant.
    """
    attributes, classes = attributes[classes >= 0], classes[classes >= 0]
    a = (attributes > 0.5).double()  # a rare sighting is not usual, however well it goes with one
    a = a - a.mean(0)
    y = torch.nn.functional.one_hot(classes, count).double()
    y = y - y.mean(0)
    spread = a.norm(dim=0)[:, None] * y.norm(dim=0)[None]
    return torch.where(spread > 0, (a.T @ y) / spread.clamp(min=1e-12), 0.0).float()


@torch.no_grad()
def measured(
    network: nn.Module, inputs: Tensor, exam: AttributeTensors, lessons: AttributeTensors
) -> dict[str, Any]:
    """Accuracy; attribute mAP and F1 (over attributes that differ in the exam), and how often an
    attribute is right that is not its class's (on the exam's odd pictures); where masks are known,
    the share of the true class's map on the object, how often its maximum is there, and the
    overlap of its region with it. No number stands for what could not be measured: None.
    """
    network.eval()
    found = [network(part.float()) for part in inputs.split(64)]
    logits = torch.cat([f["logits"] for f in found])
    told = torch.cat([f["attributes"] for f in found]).sigmoid()
    wanted = exam.attributes > 0.5
    plain = (
        torch.ones(len(wanted), dtype=torch.bool, device="cpu") if exam.odd is None else ~exam.odd
    )
    right = (logits.argmax(1) == exam.classes)[plain]
    precision, f1 = _attribute_scores(told[plain], wanted[plain])
    result: dict[str, Any] = {
        "accuracy": float(right.float().mean()),
        "attribute_map": precision,
        "attribute_f1": f1,
        "attribute_accuracy_off_class": _off_class(told > 0.5, wanted, exam, lessons),
        "foreground_share": None,
        "pointing": None,
        "overlap_at_20": None,
    }
    heads = next(m for m in network.modules() if m.__class__.__name__ == "Heads")
    if exam.masks is not None:
        maps = torch.cat([f["maps"] for f in found])
        weight = heads.classes.weight[exam.classes]  # type: ignore[index, union-attr]
        heat = torch.einsum("bd,bdij->bij", weight, maps).relu()
        result |= attention(heat[plain], exam.masks[plain])
    return {k: None if v is None else round(v, 4) for k, v in result.items()}


def attention(heat: Tensor, masks: Tensor) -> dict[str, float]:
    """sum(M A) / sum(A), the pointing game, and intersection over union at 20 % of the maximum,
    means over the pictures whose map is not empty. heat (batch, row, col); masks at picture size.
    """
    large = resize(heat[:, None].float(), masks.shape[-2:])[:, 0]
    alive = large.flatten(1).amax(1) > 0
    large, masks = large[alive], masks[alive].bool()
    if not len(large):
        return {"foreground_share": 0.0, "pointing": 0.0, "overlap_at_20": 0.0}
    share = (large * masks).sum((1, 2)) / large.sum((1, 2))
    best = large.flatten(1).argmax(1)
    hits = masks.flatten(1).gather(1, best[:, None])[:, 0]
    region = large >= CUT * large.flatten(1).amax(1)[:, None, None]
    overlap = (region & masks).sum((1, 2)) / (region | masks).sum((1, 2)).clamp(min=1)
    return {
        "foreground_share": float(share.mean()),
        "pointing": float(hits.float().mean()),
        "overlap_at_20": float(overlap.mean()),
    }


def grounding(heats: Tensor, exam: AttributeTensors) -> dict[str, float]:
    """Of the attributes truly to be seen whose part is known: how often the box of the map's region
    holds the part's middle, beside a box of the same size in the picture's middle, and the share
    of the picture in the box. heats (picture, attribute, row, col).
    """
    hits, blind, sizes = [], [], []
    for row, places in enumerate(exam.places or ()):
        for word, mask in places.items():
            heat = heats[row, list(exam.names).index(word)] if word in exam.names else None
            if heat is None or not heat.max() > 0:
                continue
            region = above(resize(heat[None, None], mask.shape)[0, 0], CUT)
            x0, y0, x1, y1 = box_of(region)
            middle = np.argwhere(mask).mean(0)
            down, right = (mask.shape[0] - (y1 - y0)) / 2, (mask.shape[1] - (x1 - x0)) / 2
            hits.append(y0 <= middle[0] < y1 and x0 <= middle[1] < x1)
            blind.append(
                down <= middle[0] < mask.shape[0] - down
                and right <= middle[1] < mask.shape[1] - right
            )
            sizes.append((x1 - x0) * (y1 - y0) / mask.size)
    return {
        "grounded": round(float(np.mean(hits)), 4) if hits else 0.0,
        "grounded_by_a_centred_box": round(float(np.mean(blind)), 4) if blind else 0.0,
        "box_area": round(float(np.mean(sizes)), 4) if sizes else 0.0,
        "attributes_looked_for": len(hits),
    }


def _attribute_scores(told: Tensor, wanted: Tensor) -> tuple[float | None, float | None]:
    from sklearn.metrics import average_precision_score, f1_score

    varied = [k for k in range(wanted.shape[1]) if 0 < int(wanted[:, k].sum()) < len(wanted)]
    if not varied:
        return None, None
    truth, scores = wanted[:, varied].numpy(), told[:, varied].float().numpy()
    precision = average_precision_score(truth, scores, average="macro")
    f1 = f1_score(truth, scores > 0.5, average="macro", zero_division=0)  # type: ignore[arg-type]
    return float(precision), float(f1)


def _off_class(
    told: Tensor, wanted: Tensor, exam: AttributeTensors, lessons: AttributeTensors
) -> float | None:
    """How often an attribute is right where the picture differs from most of its class."""
    sure = lessons.classes >= 0
    classes = torch.nn.functional.one_hot(lessons.classes[sure], len(lessons.labels)).float()
    common = (classes.T @ lessons.attributes[sure]) / classes.sum(0)[:, None].clamp(min=1) > 0.5
    odd = wanted != common[exam.classes]
    return float((told == wanted)[odd].float().mean()) if odd.any() else None
