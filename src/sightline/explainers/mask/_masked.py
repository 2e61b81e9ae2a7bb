"""Scores of one picture under many masks, made and scored chunk by chunk."""

import torch
from torch import Tensor

from ...model import Model
from ...ops.masks import blend
from ...target import Target


def masked_scores(
    model: Model, images: Tensor, filled: Tensor, masks: Tensor, aim: tuple[Target, int]
) -> Tensor:
    """The target's value (mask,) for image `row` under each of `masks` (mask, 1, row, col); aim:
    target and row.
    """
    target, row = aim
    image, hidden = images[row : row + 1], filled[row : row + 1]
    found = []
    for part in masks.split(model.chunk(image, len(masks))):
        rows = torch.full((len(part),), row, device="cpu")
        found.append(model.scores(blend(image, part, hidden), target, rows=rows))
    return torch.cat(found).float()
