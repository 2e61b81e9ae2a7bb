"""The contract of a recipe: how training is changed so that a model becomes better.

A recipe fills up to five stages and leaves the rest as it is. `fit` runs one loop for all recipes,
so that a run with a recipe and its control differ in the recipe alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import BadModel
from .shapes import BatchFirst, Images


class Recipe:
    """Changes to training. Every stage has a neutral default.

    control: fields with which it adds no term to the loss and leaves all else as it is, so that a
    run with them is the plain loop on the same batches. tiny: fields with which it is quick, for
    tests.
    """

    kind: ClassVar[str] = "recipe"
    registered_name: ClassVar[str] = ""
    control: ClassVar[Mapping[str, Any]] = {}
    tiny: ClassVar[Mapping[str, Any]] = {}

    def build(self, module: nn.Module) -> nn.Module:
        """The network to train: add heads or freeze parts here."""
        return module

    def augment(self, images: Images, labels: BatchFirst, step: int) -> tuple[Images, BatchFirst]:
        """The batch as it is shown to the network."""
        return images, labels

    def loss(
        self, module: nn.Module, images: Images, labels: BatchFirst, step: int
    ) -> Float[Tensor, ""] | None:
        """A term to add to the loss, or None."""
        return None

    def after_step(self, module: nn.Module, step: int) -> None:
        """Anything to do to the weights after each step (pruning masks, moving averages)."""

    def finish(self, module: nn.Module) -> nn.Module:
        """The trained network in the form to keep."""
        return module


Batches = Iterable[tuple[Tensor, Tensor]]


def fit(
    module: nn.Module,
    epochs: Iterable[Batches],
    optimiser: Callable[[nn.Module], tuple[torch.optim.Optimizer, Callable[[int], None]]],
    recipes: Sequence[Recipe] = (),
    *,
    base_loss: Callable[[nn.Module, Images, BatchFirst], Float[Tensor, ""]] | None = None,
    epoch_done: Callable[[int, nn.Module, float], None] | None = None,
) -> nn.Module:
    """Train `module` on `epochs` of batches with all `recipes` applied in order.

    `optimiser` makes the optimiser and a function called with the step number (a schedule). Without
    `base_loss` the loss is the cross-entropy of the logits. `epoch_done(epoch, module, mean loss)`
    is where callers save a checkpoint. After an exception the network keeps the weights of the last
    step and is otherwise as it was given.

    Raises: BadModel as soon as the loss is not finite, naming the step.
    """
    base = base_loss or _cross_entropy
    with _given_back(module):
        for recipe in recipes:
            module = recipe.build(module)
        stepper, schedule = optimiser(module)
        step = 0
        for epoch, batches in enumerate(epochs):
            module.train()
            total, count = 0.0, 0
            for images, labels in batches:
                schedule(step)
                for recipe in recipes:
                    images, labels = recipe.augment(images, labels, step)
                loss = base(module, images, labels)
                for recipe in recipes:
                    extra = recipe.loss(module, images, labels, step)
                    loss = loss if extra is None else loss + extra
                _refuse_bad(loss, step)
                stepper.zero_grad(set_to_none=True)
                loss.backward()
                stepper.step()
                for recipe in recipes:
                    recipe.after_step(module, step)
                total, count = total + loss.item() * len(images), count + len(images)
                step += 1
            if epoch_done:
                epoch_done(epoch, module, total / max(count, 1))
        for recipe in recipes:
            module = recipe.finish(module)
    return module.eval()


@contextmanager
def _given_back(module: nn.Module) -> Iterator[None]:
    """After an exception, modes and frozen weights are those from before; the weights stay."""
    modes = [(part, part.training) for part in module.modules()]
    learning = [(weight, weight.requires_grad) for weight in module.parameters()]
    try:
        yield
    except BaseException:
        for part, mode in modes:
            part.training = mode
        for weight, learns in learning:
            weight.requires_grad_(learns).grad = None
        raise


def _refuse_bad(loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise BadModel(
            f"the loss is {loss.item()} at step {step}; expected a finite"
            " number. Lower the learning rate."
        )


def _cross_entropy(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(module(images), labels)
