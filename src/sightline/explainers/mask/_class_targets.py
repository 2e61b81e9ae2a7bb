"""The class that a mask is for; other targets have no selector and no margin."""

import torch
from torch import Tensor

from ...errors import NotExplainable
from ...target import Class, Target
from ...targets.given import PerImage


def classes_of(target: Target, count: int, method: str) -> Tensor:
    """The class of each image, (count,). Raises: NotExplainable for targets that are no class."""
    parts = target.targets if isinstance(target, PerImage) else (target,)
    if target.negated or any(part.negated or not isinstance(part, Class) for part in parts):
        raise NotExplainable(
            f"{method} masks a class, such as `Class(3)` or `Top()`; got {target!r}. Use rise or"
            " integrated-gradients for other targets."
        )
    return torch.tensor([int(i) for i in target.indices(count) if i is not None], device="cpu")
