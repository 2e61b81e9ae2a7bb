"""What a recipe is tried on: a small network, batches for it and the loss that it learns by.

A recipe trains any classifier of pictures unless it says otherwise here, by its type.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from sightline import Model, Preprocess
from sightline.nets.attributes import attribute_net
from sightline.recipe import Recipe
from sightline.recipes._attribute_losses import GRID, class_loss
from sightline.recipes.attributes import Attributes
from sightline.recipes.steady_maps import Natural, SteadyMaps
from sightline.worlds.miniatures import MINIATURES

SMALL = MINIATURES["pooled-cnn"]
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Lesson:
    """A network and one epoch of batches. base_loss: None for the cross-entropy of the logits."""

    module: nn.Module
    batches: list[Batch]
    base_loss: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None


def _classified() -> list[Batch]:
    """Three batches of two pictures with their classes."""
    dice = torch.Generator().manual_seed(4)
    images = torch.rand((6, 3, *SMALL.size), generator=dice)
    return list(zip(images.split(2), torch.arange(6).remainder(5).split(2), strict=True))


@singledispatch
def lesson(recipe: Recipe) -> Lesson:
    """The network and the batches for this recipe, new each time."""
    return Lesson(SMALL(), _classified())


@lesson.register
def _(recipe: SteadyMaps) -> Lesson:
    model = Model(SMALL(), Preprocess(size=SMALL.size, mean=0.4, std=0.3))
    return Lesson(Natural(model.module, model), _classified())


@lesson.register
def _(recipe: Attributes) -> Lesson:
    net = attribute_net(Model(SMALL(), size=SMALL.size), 5, ("red", "round"))
    dice = torch.Generator().manual_seed(5)
    cells = torch.rand((2, GRID * GRID), generator=dice)
    packed = [
        (images, torch.cat([labels[:, None], torch.eye(2), cells], 1))
        for images, labels in _classified()
    ]
    return Lesson(net, packed, class_loss)
