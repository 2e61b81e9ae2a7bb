"""Results of an attack: pictures fooled, confidence, maps before and after, visible change.

Measures of AdvEdge (arXiv:2211.15926): success rate, confidence, distance and overlap of the maps,
similarity of the pictures, the share of the change that lies on edges, passes spent, and transfer
to explainers that were not attacked. Maps are compared from 0 to 1 each, the benign one for the
picture's own class with the attacked one for the class that was to be reached. Project definitions:
a map is cut at half of its range for the overlap, an edge starts at a Sobel magnitude of 0.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..attack import Attack
from ..errors import NotExplainable
from ..explainer import Explainer
from ..explanation import Heatmap
from ..model import Model
from ..network.costs import recorded
from ..ops.similarity import spearman, ssim, stretched
from ..shapes import Flags, Heat, Images, Scores
from ..target import Target
from ._edges import SHARP, edges
from ._losses import class_goal

LEVELS = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """One explainer's maps before and after, and how alike they are, picture by picture.

    l1, l2: mean and root mean square difference of maps from 0 to 1. rank: Spearman's correlation.
    overlap: of the upper halves of their ranges. NaN where a map is flat.
    """

    method: str
    benign: Heatmap
    attacked: Heatmap
    l1: Tensor
    l2: Tensor
    rank: Tensor
    overlap: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackOutcome:
    """Results for each picture of a batch; every tensor has one number per picture.

    wanted: the target as classes. leaves: whether the attack was to leave that class. maps: the
    attacked explainer first, where there was one, then those that show how far it carries over.
    reasons: explainers that gave no map, and why.
    """

    images: Tensor
    fooled: Tensor
    wanted: Tensor
    leaves: Tensor
    before: Tensor
    after: Tensor
    sure_before: Tensor
    sure_after: Tensor
    success: Tensor
    largest: Tensor
    l2: Tensor
    alike: Tensor
    on_edges: Tensor
    changed: Tensor
    passes: dict[str, float]
    maps: tuple[Compared, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        fooled, there = int((self.success & ~self.already).sum()), int(self.already.sum())
        told = f"<Outcome: {fooled} of {len(self.images) - there} pictures fooled"
        return told + (f", {there} were there before>" if there else ">")

    @property
    def already(self) -> Flags:
        """Whether the clean picture was there before anything was done: then a success says only
        that it stayed."""
        return (self.before == self.wanted) != self.leaves

    def rows(self) -> list[dict[str, Any]]:  # Any: whatever JSON holds
        """One plain record per picture."""
        return [
            {
                "success": bool(self.success[i]),
                "already": bool(self.already[i]),
                "wanted": int(self.wanted[i]),
                "before": {"class": int(self.before[i]), "probability": self.sure_before[i].item()},
                "after": {"class": int(self.after[i]), "probability": self.sure_after[i].item()},
                "largest_change": self.largest[i].item(),
                "l2_change": self.l2[i].item(),
                "ssim": self.alike[i].item(),
                "on_edges": _known(self.on_edges[i]),
                "pixels_changed": self.changed[i].item(),
                "maps": {each.method: _numbers(each, i) for each in self.maps},
            }
            for i in range(len(self.success))
        ]


def _numbers(each: Compared, i: int) -> dict[str, float | None]:
    return {
        "l1": _known(each.l1[i]),
        "l2": _known(each.l2[i]),
        "rank_correlation": _known(each.rank[i]),
        "overlap": _known(each.overlap[i]),
    }


def _known(value: Tensor) -> float | None:
    """The number, None where there is none (a flat map, no change)."""
    number = value.item()
    return number if number == number else None


def run(
    attack: Attack,
    model: Model,
    images: Images,
    target: Any = None,
    explainers: Sequence[Explainer] = (),
) -> AttackOutcome:
    """Attack prepared `images` with the first of `explainers` and measure what came of it.

    Pictures are what a file holds: both are rounded to 8 bits, the change towards zero past its
    largest value, so that it keeps within its bound. Raises: as the attack does.
    """
    clean = eight_bit(images)
    aimed = model.aim(clean, attack.aim if target is None else target)
    with recorded() as spent:
        fooled = attack(model, clean, aimed, explainers[0] if explainers else None)
    passes = {name: spent[name] / max(1, len(clean)) for name in ("forward", "backward")}
    return judge(model, clean, rounded(clean, fooled), aimed, explainers, passes=passes)


def judge(
    model: Model,
    images: Images,
    fooled: Images,
    target: Target,
    explainers: Sequence[Explainer] = (),
    *,
    passes: dict[str, float] | None = None,
) -> AttackOutcome:
    """What `fooled` does that `images` do not; target: fixed on the clean images."""
    aims = [class_goal(model, target.take([i]), "this", away=True) for i in range(len(images))]
    wanted = torch.tensor([aim.index for aim in aims], device="cpu")
    leaves = torch.tensor([aim.away for aim in aims], device="cpu")
    shares, moved = model.probabilities(images).cpu(), model.probabilities(fooled).cpu()
    before, after = shares.argmax(1), moved.argmax(1)
    shown = torch.where(leaves, after, wanted)
    change = fooled - images
    energy = change.square().sum(1, keepdim=True)
    sharp = edges(images) > SHARP
    total = energy.flatten(1).sum(1)
    maps, reasons = [], {}
    for explainer in explainers:
        try:
            maps.append(_compared(model, explainer, (images, before), (fooled, shown)))
        except NotExplainable as error:
            reasons[explainer.registered_name] = str(error)
    return AttackOutcome(
        images=images,
        fooled=fooled,
        wanted=wanted,
        leaves=leaves,
        before=before,
        after=after,
        sure_before=shares.gather(1, before[:, None])[:, 0],
        sure_after=moved.gather(1, after[:, None])[:, 0],
        success=(after == wanted) != leaves,
        largest=change.abs().flatten(1).amax(1),
        l2=total.sqrt(),
        alike=likeness(images, fooled),
        on_edges=(energy * sharp).flatten(1).sum(1) / total,
        changed=(change != 0).any(1).flatten(1).float().mean(1),
        passes=passes or {},
        maps=tuple(maps),
        reasons=reasons,
    )


def compared_maps(benign: Heat, attacked: Heat) -> dict[str, Scores]:
    """L1, L2, rank correlation and overlap of maps (batch, row, col), for each picture; NaN where
    one of its maps is missing."""
    a, b = stretched(benign.double()), stretched(attacked.double())
    upper = a > 0.5, b > 0.5
    either = (upper[0] | upper[1]).flatten(1).sum(1).double()
    either[(a + b).isnan().flatten(1).any(1)] = torch.nan
    return {
        "l1": (a - b).abs().mean((1, 2)),
        "l2": (a - b).square().mean((1, 2)).sqrt(),
        "rank": spearman(benign, attacked),
        "overlap": (upper[0] & upper[1]).flatten(1).sum(1) / either,
    }


def likeness(images: Images, others: Images) -> Scores:
    """Structural similarity (batch,) of pictures, the mean over their colours."""
    colours = images.shape[1]
    each = ssim(images.flatten(0, 1), others.flatten(0, 1))
    return each.view(-1, colours).mean(1)


def eight_bit(images: Images) -> Images:
    """`images` as a picture file holds them."""
    return (images * LEVELS).round() / LEVELS


def rounded(images: Images, fooled: Images) -> Images:
    """`fooled` in 8 bits, no value farther from `images` (in 8 bits) than the farthest was."""
    change = (fooled - images) * LEVELS
    most = (change.abs().flatten(1).amax(1) + 1e-3).floor()[:, None, None, None]
    steps = torch.maximum(torch.minimum(change.round(), most), -most)
    return ((images * LEVELS).round() + steps).clamp(0, LEVELS) / LEVELS


def _compared(
    model: Model, explainer: Explainer, clean: tuple[Tensor, Tensor], late: tuple[Tensor, Tensor]
) -> Compared:
    found: list[Heatmap] = []
    for images, classes in (clean, late):
        heat = explainer(model, images, classes.tolist())
        if not isinstance(heat, Heatmap):
            raise NotExplainable(f"{explainer.registered_name} gives no map to compare.")
        found.append(heat)
    numbers = compared_maps(found[0].values.cpu(), found[1].values.cpu())
    return Compared(method=explainer.registered_name, benign=found[0], attacked=found[1], **numbers)
