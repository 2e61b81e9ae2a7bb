"""The covariance of a score with random masks, without the noise that chance overlaps of the masks
put into it.

The score is fitted as a linear function of how much of each block of the picture is visible (ridge
regression; the penalty with the smallest leave-one-out error). How the masks vary together is known
in closed form: cells are independent, rows and columns are interpolated and shifted independently,
so the covariance of two pixels is keep (1 - keep) times a factor of their rows times a factor of
their columns. Only the fit carries sampling error. Project definition.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = torch.logspace(
    -3, 1, 13, dtype=torch.float64, device="cpu"
)  # times the mean square of a block


@dataclass(frozen=True)
class Blocks:
    """How the masks vary together. rows, cols: (block, pixel) factors along each axis, the
    covariance of a block's visible share with a pixel's; the product of both is that of the
    plane.
    """

    rows: Tensor
    cols: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.cols)

    def shares(self, masks: Tensor) -> Tensor:
        """How much of each block is visible, (mask, block), in float64; masks (mask, row, col)."""
        pooled = torch.nn.functional.adaptive_avg_pool2d(masks[:, None].float(), self.shape)
        return pooled.flatten(1).double().cpu()

    def spread(self, weights: Tensor) -> Tensor:
        """Covariance with each pixel (..., row, col) of weighted blocks (..., block)."""
        return self.rows.T @ weights.unflatten(-1, self.shape) @ self.cols


def axis_factor(weights: Tensor, length: int, blocks: int) -> Tensor:
    """(block, pixel): mean over the shifts of the sum over cells of what a block and a pixel take
    from it. weights (cell, position): an interpolated axis, one cell longer for the shifts."""
    shifts = weights.shape[1] // (len(weights) + 1)
    seen = torch.stack([weights[:, s : s + length] for s in range(shifts)])
    pooled = torch.nn.functional.adaptive_avg_pool1d(seen, blocks)
    return torch.einsum("scb,scp->bp", pooled, seen) / shifts


class FittedCovariance:
    """The scores of one picture under masks so far, and what they say of every pixel."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.shares = torch.zeros(
            0, blocks.shape[0] * blocks.shape[1], dtype=torch.float64, device="cpu"
        )
        self.scores = torch.zeros(0, dtype=torch.float64, device="cpu")

    @property
    def count(self) -> int:
        return len(self.scores)

    def add(self, scores: Tensor, masks: Tensor) -> None:
        """Take in the `scores` (mask,) that went with `masks` (mask, row, col)."""
        self.shares = torch.cat([self.shares, self.blocks.shares(masks)])
        self.scores = torch.cat([self.scores, scores.double().cpu()])

    def estimate(self) -> Tensor:
        """The covariance of score and visibility, (row, col), float32."""
        return self.blocks.spread(_fit(self.shares, self.scores)[0]).float()

    def agreement(self) -> float:
        """Correlation of the maps of the even and of the odd masks; 0 where one of them is flat."""
        if self.count < 4:
            return 0.0
        halves = [_fit(self.shares[k::2], self.scores[k::2])[0] for k in range(2)]
        maps = [self.blocks.spread(weights).flatten() for weights in halves]
        first, second = (m - m.mean() for m in maps)
        norms = first.norm() * second.norm()
        return float(first @ second / norms) if norms > 0 else 0.0

    def standard_error(self) -> Tensor:
        """Of `estimate`, (row, col): each score's leave-one-out error times its weight."""
        _, weigh, errors = _fit(self.shares, self.scores)
        values, vectors = torch.linalg.eigh((weigh * errors**2) @ weigh.T)
        spread = self.blocks.spread(vectors.T)
        return torch.einsum("k,krc->rc", values.clamp(min=0), spread**2).sqrt().float()


def _fit(shares: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weight of each block (block,), the matrix (block, mask) that makes it from the scores,
    and each score's error when it is left out (mask,)."""
    seen, left = shares - shares.mean(0), scores - scores.mean()
    u, sizes, vt = torch.linalg.svd(seen, full_matrices=False)
    squares, turned = sizes**2, u.T @ left
    penalties = PENALTIES * squares.mean().clamp(min=1e-30)
    shrunk = squares / (squares + penalties[:, None])
    own = (shrunk @ (u**2).T + 1 / len(scores)).clamp(max=1 - 1e-6)
    errors = (left - (shrunk * turned) @ u.T) / (1 - own)
    best = int((errors**2).mean(1).argmin())
    weigh = vt.T @ ((sizes / (squares + penalties[best]))[:, None] * u.T)
    return weigh @ left, weigh, errors[best]
