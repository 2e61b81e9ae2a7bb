"""RISE: how many of our masks are as good as 1000 plain ones, and what both cost.

Quality is the correlation with a map of 2,048 other masks, made by averaging alone. Both sides draw
from a pool of 2,048 masks whose scores are kept, ten draws each; seconds are those of 1000 masks in
batches of 16 through the plain network, and of so many masks as the same quality took us.
"""

from collections.abc import Callable

import torch
from torch import Tensor

import sightline as sl
from peers import BATCH
from sightline.explainers.mask._estimate import MaskedMean
from sightline.explainers.mask.rise import Rise
from sightline.hiding import hidden_images
from sightline.ops.fill import Fill
from speed import seconds

POOL, PLAIN, DRAWS, COARSE = 2048, 1000, 10, 4
COUNTS = (64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1000)


def equal_quality(model: sl.Model, image: Tensor, target: int) -> tuple[int, float, float]:
    """Our number of masks, the plain side's quality, and the mean score under masks."""
    rise = Rise(masks=2 * POOL, agreement=1.0)
    masks = torch.cat(list(rise._random_masks(image)))
    aimed = model.aim(image, target).with_probability(True)
    with torch.no_grad():
        filled = Fill("mean").like(image, model)
        scores = hidden_images(model, aimed, image, filled)[0].scores(masks).float()
    seen = torch.nn.functional.avg_pool2d(masks, COARSE)[:, 0]
    known, pool = slice(POOL, None), slice(0, POOL)
    reference = _map(MaskedMean(seen[0]), scores[known], seen[known])

    def quality(gathered: Callable[[], object], count: int) -> float:
        total = 0.0
        for draw in range(DRAWS):
            picked = torch.randperm(POOL, generator=torch.Generator().manual_seed(draw))[:count]
            found = _map(gathered(), scores[pool][picked], seen[pool][picked])
            total += float(
                torch.corrcoef(torch.stack([found.flatten(), reference.flatten()]))[0, 1]
            )
        return total / DRAWS

    plain = quality(lambda: MaskedMean(seen[0], centred=False), PLAIN)
    fitted = rise._estimator
    for count in COUNTS:
        if quality(lambda: fitted(seen[0]), count) >= plain:
            return count, plain, float(scores.mean())
    return PLAIN, plain, float(scores.mean())


def _map(gathered: MaskedMean, scores: Tensor, masks: Tensor) -> Tensor:
    gathered.add(scores, masks)
    return gathered.estimate()


def plain_seconds(net: torch.nn.Module, images: Tensor) -> float:
    """Seconds of `PLAIN` masks through the plain network, from four batches."""
    masks = torch.cat(list(Rise(masks=4 * BATCH)._random_masks(images)))

    def work() -> None:
        with torch.inference_mode():
            for part in masks.split(BATCH):
                net(images * part)

    work()
    return seconds(work) * PLAIN / len(masks)
