"""What an optimised mask is asked to do: destroy (or keep) the class, be small, be smooth.

Masks are held as what they hide, 1 - m: small changes of a full mask would be lost in float32 next
to 1. Shares and variations are means over cells, as the published weights assume.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...ops.resize import resize
from ._evidence import Evidence
from ._variation import bilateral_variation, total_variation


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective:
    """J = weighted class scores + area * mean|1 - m| + smooth * TV(m), m the product of all masks.

    edges: `edge_weights` of the pictures for the bilateral variation; None for the plain one.
    """

    evidence: Evidence
    masks: int
    area: float
    smooth: float
    power: float = 2.0
    edges: tuple[Tensor, Tensor] | None = None

    def value(self, hidden: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """J without noise, float64 (image,), and the class scores (image, term).

        hidden (image, mask, row, col), of the images `rows` of the batch.
        """
        with torch.no_grad():
            scores = self.evidence.scores(self._covers(hidden), rows)
            weights = torch.tensor(
                [t.weight for t in self.evidence.terms], dtype=torch.float64, device="cpu"
            )
            classes = scores.double() @ weights.to(scores.device)
            return classes + self._regular(hidden.double(), rows), scores

    def direction(self, hidden: Tensor, rows: Tensor, iteration: int) -> Tensor:
        """Where to move what is hidden, as `hidden`: the negative gradient to it, that of the class
        scores integrated.
        """
        with torch.enable_grad():
            leaf = hidden.detach().requires_grad_()
            covers = self._covers(leaf)
            back = self.evidence.gradient(covers.detach(), rows, iteration)
            (classes,) = torch.autograd.grad(covers, leaf, back)
            exact = hidden.detach().double().requires_grad_()
            (regular,) = torch.autograd.grad(self._regular(exact, rows).sum(), exact)
        return -(classes.double() + regular).to(hidden)

    def outward(self, hidden: Tensor) -> Tensor:
        """What hiding more of a cell costs in area that `direction` leaves out: |h| has two slopes
        at 0, where a cell can only go one way, and differentiation takes neither."""
        return self.area / hidden[0, 0].numel() * (hidden == 0).to(hidden)

    def _covers(self, hidden: Tensor) -> Tensor:
        """Each term's cover, (image, term, row, col)."""
        kept = 1 - resize(hidden, self.evidence.images.shape[-2:])
        return torch.stack([kept[:, t.masks].prod(1) for t in self.evidence.terms], 1)

    def _regular(self, hidden: Tensor, rows: Tensor) -> Tensor:
        cells = joined(hidden)
        share = self.area * cells.abs().flatten(1).mean(1)
        if self.edges is None:
            return share + self.smooth * total_variation(cells, self.power)
        shown = resize(cells[:, None], self.evidence.images.shape[-2:])[:, 0]
        at = rows.to(cells.device)
        weights = self.edges[0][at].to(cells), self.edges[1][at].to(cells)
        return share + self.smooth * bilateral_variation(cells, shown, weights, self.power)


def joined(hidden: Tensor) -> Tensor:
    """What the product of the masks hides: (image, mask, row, col) -> (image, row, col)."""
    found = hidden[:, 0]
    for each in hidden.unbind(1)[1:]:
        found = found + each - found * each
    return found
