"""The three losses of attributes as a second task, and what is true of a batch (attributes.py has
the formulas)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._attribute_data import GRID, NONE

CLIP = 10.0  # of a positive's weight


@dataclass(frozen=True, eq=False)
class Answers:
    """What is true of a batch: classes (batch,), attributes (batch, attribute) in [0, 1], and cells
    (batch, row, col), the share of each that the object covers; -1 where no mask is known.
    """

    classes: Tensor
    attributes: Tensor
    cells: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> "Answers":
        """Unpacked from one tensor (batch, 1 + attribute + cells), as a loop carries them."""
        cells = labels[:, -GRID * GRID :].unflatten(1, (GRID, GRID))
        return cls(labels[:, 0].long(), labels[:, 1 : -GRID * GRID], cells)


def class_loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the class logits, over pictures that have a class."""
    logits, classes = module(images)["logits"], labels[:, 0].long()
    if (classes < 0).all():
        return logits.sum() * 0
    return functional.cross_entropy(logits, classes, ignore_index=NONE)


def attribute_loss(logits: Tensor, wanted: Tensor, positive: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the attributes, each weighted by its certainty |2a - 1|."""
    certain = (2 * wanted - 1).abs()
    each = functional.binary_cross_entropy_with_logits(
        logits, wanted, pos_weight=positive, reduction="none"
    )
    return (certain * each).sum() / certain.sum().clamp(min=1e-6)


def foreground_loss(maps: Tensor, weight: Tensor, answers: Answers) -> Tensor:
    """1 - the share of the true class's map that lies on the object, over pictures with a mask."""
    classes = answers.classes.clamp(min=0)
    heat = torch.einsum("bd,bdij->bij", weight.detach()[classes], maps).relu()
    cells = functional.adaptive_avg_pool2d(
        answers.cells.clamp(min=0)[:, None], (heat.shape[1], heat.shape[2])
    )
    total = heat.sum((1, 2))
    shares = (heat * cells[:, 0]).sum((1, 2)) / total.clamp(min=1e-6)
    known = (answers.cells[:, 0, 0] >= 0) & (total > 0) & (answers.classes >= 0)
    return (1 - shares[known]).mean() if known.any() else heat.sum() * 0


def positives(attributes: Tensor, clip: float = CLIP) -> tuple[float, ...]:
    """#negative / #positive of each attribute, at most `clip`; 1 where it never differs."""
    yes = (attributes > 0.5).sum(0).double()
    no = len(attributes) - yes
    ratio = torch.where((yes > 0) & (no > 0), no / yes.clamp(min=1), 1.0)
    return tuple(ratio.clamp(max=clip).tolist())
