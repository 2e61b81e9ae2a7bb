"""What random masks tell about one picture, gathered block by block, in two halves that check each
other.
"""

import torch
from torch import Tensor


class MaskedMean:
    """Running sums of one picture's scores and masks: even masks in one half, odd masks in the
    other.

    Scores are shifted by the first block's mean, so that small differences of large scores survive
    float32.
    """

    def __init__(self, like: Tensor, *, centred: bool = True) -> None:
        self.centred = centred
        size, device = like.shape, like.device
        self.count = 0
        self.shift = 0.0
        self.counts = torch.zeros(2, device=device, dtype=torch.float32)
        self.scores = torch.zeros(2, device=device, dtype=torch.float32)
        self.masks = torch.zeros((2, *size), device=device, dtype=torch.float32)
        self.products = torch.zeros((2, *size), device=device, dtype=torch.float32)
        self.powers = torch.zeros(3, device=device, dtype=torch.float32)  # 1, f, f^2
        self.moments = torch.zeros(
            (2, 3, *size), device=device, dtype=torch.float32
        )  # the same times M, times M^2

    def add(self, scores: Tensor, masks: Tensor) -> None:
        """Take in the `scores` (mask,) that went with `masks` (mask, row, col)."""
        masks = masks.float()
        scores = scores.to(masks)
        if not self.count:
            self.shift = float(scores.mean())
        scores = scores - self.shift
        odd = (torch.arange(len(scores), device=masks.device) + self.count) % 2
        half = torch.stack([1 - odd, odd]).to(masks)
        self.count += len(scores)
        self.counts += half.sum(1)
        self.scores += half @ scores
        self.masks += torch.einsum("hm,mrc->hrc", half, masks)
        self.products += torch.einsum("hm,mrc->hrc", half * scores, masks)
        powers = torch.stack([torch.ones_like(scores), scores, scores**2])
        self.powers += powers.sum(1)
        self.moments[0] += torch.einsum("pm,mrc->prc", powers, masks)
        self.moments[1] += torch.einsum("pm,mrc->prc", powers, masks**2)

    def mean(self) -> Tensor:
        """Mean of score times mask, (row, col)."""
        return (self.products.sum(0) + self.shift * self.masks.sum(0)) / self.count

    def covariance(self) -> Tensor:
        """Mean of (score - mean score) times mask, (row, col)."""
        return _covariance(
            self.products.sum(0), self.scores.sum(), self.masks.sum(0), self.counts.sum()
        )

    def agreement(self) -> float:
        """Correlation of the two halves' covariance maps; 0 where one of them is flat."""
        if float(self.counts.min()) == 0:
            return 0.0
        sides = (self.scores.view(2, 1, 1), self.masks, self.counts.view(2, 1, 1))
        halves = _covariance(self.products, *sides).flatten(1)
        halves = halves - halves.mean(1, keepdim=True)
        norms = halves.norm(dim=1)
        return float(halves[0] @ halves[1] / (norms[0] * norms[1])) if norms.min() > 0 else 0.0

    def estimate(self) -> Tensor:
        """The map (row, col): the covariance where it is centred, else the mean."""
        return self.covariance() if self.centred else self.mean()

    def standard_error(self) -> Tensor:
        """Of `estimate`, (row, col): the spread of single terms over the root of
        their number.
        """
        f, powers = self.powers / self.count, self.moments / self.count
        if not self.centred:
            squared = powers[1, 2] + 2 * self.shift * powers[1, 1] + self.shift**2 * powers[1, 0]
            return ((squared - self.mean() ** 2).clamp(min=0) / self.count).sqrt()
        score = f[1]  # (f - score)^2 times 1, M and M^2, then (f - score)^2 (M - mask)^2
        zeroth = f[2] - score**2
        first, second = powers[:, 2] - 2 * score * powers[:, 1] + score**2 * powers[:, 0]
        mask = powers[0, 0]
        squared = second - 2 * mask * first + mask**2 * zeroth
        return ((squared - self.covariance() ** 2).clamp(min=0) / self.count).sqrt()


def _covariance(products: Tensor, scores: Tensor, masks: Tensor, counts: Tensor) -> Tensor:
    return products / counts - scores / counts * masks / counts
