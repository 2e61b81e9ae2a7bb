"""What attacks minimise: the loss of the class to reach, and the limits of each step.

Soft labels as in AdvEdge (arXiv:2211.15926): the confidence c of the target is drawn from
U(0.95 + 0.04 i/N, 1) at step i of N. Deviation: the rest is shared by the classes that there are;
the authors' code divides by 9 whatever their number, so that its mass exceeds 1.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import BadTarget
from ..model import Model
from ..network.costs import spend
from ..network.trace import Trace
from ..target import Class, Target
from ..targets.given import PerImage

SURE = 0.8  # confidence from which the nearest map is kept


@dataclass(frozen=True)
class ClassGoal:
    """The class to reach, or with `away` the class to move away from."""

    index: int
    away: bool = False

    def loss(self, logits: Tensor) -> Tensor:
        """Cross-entropy (batch,), whose sign turns with `away`."""
        chosen = logits.float().log_softmax(1)[:, self.index]
        return chosen if self.away else -chosen

    def margin(self, logits: Tensor) -> Tensor:
        """How far the attack is from its end (batch,): below 0 it has succeeded."""
        others = logits.clone()
        others[:, self.index] = -torch.inf
        ahead = others.amax(1) - logits[:, self.index]
        return -ahead if self.away else ahead

    def confidence(self, logits: Tensor) -> float:
        """The probability of what is wanted, for one picture."""
        share = logits.detach().float().softmax(1)[0, self.index].item()
        return 1 - share if self.away else share


def class_goal(model: Model, target: Target, attack: str, *, away: bool = False) -> ClassGoal:
    """The class that a target of one picture means.

    away: whether the attack can leave a class. Raises: BadTarget for what is no class, for one to
    leave where it cannot, and for models with many classes per picture.
    """
    inner = target.targets[0] if isinstance(target, PerImage) else target
    index = target.indices(1)[0]
    if not isinstance(inner, Class) or index is None or model.multilabel:
        many = " and a model with one class per picture" if model.multilabel else ""
        raise BadTarget(
            f"{attack} needs a class as target, such as `Class(3)` or `Top(1)`{many}; got"
            f" {target!r}."
        )
    leaving = inner.negated != (target.negated and target is not inner)
    if leaving and not away:
        raise BadTarget(
            f"{attack} needs a class to reach; got {target!r}. Only pgd and sparse-points can"
            " move away from a class."
        )
    return ClassGoal(index, leaving)


def soft_label(classes: int, index: int, confidence: float = 1.0) -> Tensor:
    """Probabilities (class,) that sum to 1, `confidence` of them on one class."""
    label = torch.full(
        (classes,), (1 - confidence) / (classes - 1), dtype=torch.float32, device="cpu"
    )
    label[index] = confidence
    return label


def random_label(classes: int, index: int, progress: float, dice: torch.Generator) -> Tensor:
    """The soft label of a step; progress: from 0 at the first step to 1 at the last."""
    low = 0.95 + 0.04 * progress
    confidence = (
        low + (1 - low) * torch.rand((), generator=dice, dtype=torch.float32, device="cpu").item()
    )
    return soft_label(classes, index, confidence)


def soft_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy (batch,) with a soft label (class,)."""
    return -(label.to(logits) * logits.float().log_softmax(1)).sum(1)


def slope(trace: Trace, loss: Tensor) -> Tensor:
    """The gradient of a loss with respect to the pictures of a pass that read `"input"`."""
    leaf = trace.raw["input"]
    spend(trace.spent, backward=len(leaf))
    (found,) = torch.autograd.grad(loss.sum(), leaf)
    return found


def within(moved: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """`moved`, at most `epsilon` from `images` in each value, and in [0, 1]."""
    return torch.minimum(torch.maximum(moved, images - epsilon), images + epsilon).clamp(0, 1)


@dataclass
class BestPicture:
    """The best picture so far: sure of the class first, then the one whose map is nearest."""

    image: Tensor
    confidence: float = -1.0
    distance: float = field(default=float("inf"))

    def offer(self, image: Tensor, confidence: float, distance: float) -> None:
        """Takes the picture where it is better than what was kept."""
        sure, was = confidence > SURE, self.confidence > SURE
        nearer = distance < self.distance if sure and was else sure > was
        if nearer or (not sure and not was and confidence > self.confidence):
            self.image, self.confidence = image.detach(), confidence
            self.distance = distance
