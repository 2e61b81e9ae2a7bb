"""The sparse reconstruction autoencoder (SRAE): few features that keep a score and rebuild a part.

Paper: Qi, Khorram and Li, "Embedding Deep Networks into Visual Explanations" (2017-2020). Only the
abstract was available, which names faithfulness from the few features alone, sparse reconstruction
and the pull-away term; the formulas are from memory:

    L = mean_i (y~_i - y_i)^2 + beta mean_k log(1 + q mean_i (Z_ik - Z~_ik)^2) + eta PT
    PT = 1 / (n (n - 1)) sum over a != b of (e_a . e_b / (|e_a| |e_b|))^2

e_a is the column of x-feature a over the batch. The concave log lets some activations be rebuilt
well and gives up the others. Project definitions: ReLU features and a read-out w >= 0 (it is put
back to zero after a step that took it below), so that a feature supports the class or has no
effect; an `offset`, 0 in the formulas, from which the score is counted, because a sum of such
features cannot be negative; a decoder that mirrors the encoder; n = 5, hidden layers of 800 and
100. Also ours, because ReLU features that fall silent never come back and the pull-away favours
silence: they begin active (a bias of 1), and one that is active in no picture of a batch costs what
it lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import BadField

_TINY = 1e-8
_AWAKE = 0.1  # the value that each feature should reach in some picture of a batch


@dataclass(frozen=True, eq=False, kw_only=True)
class Reconstruction:
    """What the network says of activations: features (picture, feature), score (picture,), and the
    activations rebuilt (picture, activation), in units of their spread. before: the features before
    their ReLU."""

    features: Tensor
    score: Tensor
    activations: Tensor
    before: Tensor


class SparseReconstruction(nn.Module):
    """Encoder with ReLU features, linear read-out without a bias, decoder.

    size: of an activation vector. mean, spread: by which activations are put on one scale; offset:
    the score of a picture without any feature. They are 0, 1 and 0 until `settle` sets them.
    """

    mean: Tensor
    spread: Tensor
    offset: Tensor

    def __init__(self, size: int, features: int = 5, hidden: Sequence[int] = (800, 100)) -> None:
        super().__init__()
        if features < 1 or size < 1 or any(width < 1 for width in hidden):
            raise BadField(f"{features} features of {size} activations through {tuple(hidden)}.")
        widths = (size, *hidden, features)
        self.encoder = _layers(widths)
        self.decoder = _layers(widths[::-1])
        with torch.no_grad():
            self.encoder[-1].bias.fill_(1.0)  # type: ignore[union-attr]
        self.readout = nn.Parameter(torch.ones(features, dtype=torch.float32, device="cpu"))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float32, device="cpu"))
        self.register_buffer("spread", torch.ones(size, dtype=torch.float32, device="cpu"))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float32, device="cpu"))

    def scaled(
        self, activations: Float[Tensor, "picture activation"]
    ) -> Float[Tensor, "picture activation"]:
        """Activations less their mean, in units of their spread."""
        return (activations - self.mean) / self.spread

    def encode(
        self, activations: Float[Tensor, "picture activation"]
    ) -> Float[Tensor, "picture feature"]:
        """The x-features, (picture, feature), never negative."""
        return self.encoder(self.scaled(activations)).relu()

    def forward(self, activations: Float[Tensor, "picture activation"]) -> Reconstruction:
        before = self.encoder(self.scaled(activations))
        features = before.relu()
        return Reconstruction(
            features=features,
            score=features @ self.readout + self.offset,
            activations=self.decoder(features),
            before=before,
        )

    @torch.no_grad()
    def clamp_readout(self) -> None:
        """Put the read-out back to where it is no evidence against the class."""
        self.readout.clamp_(min=0)

    @torch.no_grad()
    def settle(
        self,
        mean: Float[Tensor, " activation"],
        spread: Float[Tensor, " activation"],
        offset: float,
        reach: float,
    ) -> None:
        """Take activations and give scores in their own units, after training in units of their
        spread; reach: what one unit of score was."""
        self.mean.copy_(mean)
        self.spread.copy_(spread)
        self.offset.fill_(offset)
        self.readout.mul_(reach)


@dataclass(frozen=True, kw_only=True)
class ReconstructionLoss:
    """The error of the score, the sparse error of the rebuilding, and how alike features are.

    beta, q, eta: as in the formulas. concave: False is the control, a plain mean square instead of
    the log.
    """

    beta: float = 1.0
    q: float = 10.0
    eta: float = 1.0
    concave: bool = True

    def __post_init__(self) -> None:
        if self.beta < 0 or self.eta < 0 or self.q <= 0:
            raise BadField(
                f"beta and eta cannot be negative, and q is above 0; got {self.beta}, {self.eta}"
                f" and {self.q}."
            )

    def terms(
        self,
        found: Reconstruction,
        activations: Float[Tensor, "picture activation"],
        scores: Float[Tensor, " picture"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The three terms without their factors. activations, scores: as the network should give
        them."""
        missed = (activations - found.activations).square().mean(0)
        rebuilt = torch.log1p(self.q * missed).mean() if self.concave else missed.mean()
        return {
            "faithfulness": (found.score - scores).square().mean(),
            "reconstruction": rebuilt,
            "pull-away": pull_away(found.features),
        }

    def __call__(
        self,
        found: Reconstruction,
        activations: Float[Tensor, "picture activation"],
        scores: Float[Tensor, " picture"],
    ) -> Float[Tensor, ""]:
        terms = self.terms(found, activations, scores)
        loss = terms["faithfulness"] + self.beta * terms["reconstruction"]
        loss = loss + (_AWAKE - found.before.amax(0)).relu().sum()  # 0 where none is silent
        return loss + self.eta * terms["pull-away"] if self.eta else loss


def pull_away(features: Float[Tensor, "picture feature"]) -> Float[Tensor, ""]:
    """PT of (picture, feature): the mean squared cosine of two features' columns. A feature that is
    never active is at a right angle to all: count those too (`measures`)."""
    count = features.shape[1]
    if count < 2:
        return features.new_zeros(())
    columns = features / (features.square().sum(0) + _TINY).sqrt()
    squares = (columns.T @ columns).square()
    return (squares.sum() - squares.diagonal().sum()) / (count * (count - 1))


def relative_errors(
    found: Reconstruction, activations: Float[Tensor, "picture activation"]
) -> Float[Tensor, " activation"]:
    """For each activation the mean squared error in units of its variance: 0 is rebuilt, 1 given up
    to its mean. activations: on the scale of `scaled`."""
    missed = (activations - found.activations).square().mean(0)
    return missed / activations.var(0, unbiased=False).clamp(min=_TINY)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLUs between them."""
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts[:-1])
