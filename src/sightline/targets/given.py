"""What people write for a target, as one: a class, a target, or one of these for each image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadTarget, ShapeError
from ..network.tracing.passes import Pass
from ..ops.batches import taken
from ..shapes import Images, Scores
from ..target import Class, Target, Top


@dataclass(frozen=True, eq=False, repr=False)
class PerImage(Target):
    """A target of its own for each image of the batch."""

    targets: tuple[Target, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r for t in self.targets for r in t.reads))

    def bind(self, model: Any, images: Images) -> Target:
        if len(self.targets) != len(images):
            raise ShapeError(
                f"{len(self.targets)} targets for {len(images)} images; give one for all, or one"
                " per image."
            )
        return self._each(lambda i, t: t.bind(model.take([i]), images[i : i + 1]))

    def fix(self, trace: Pass) -> Target:
        return self._each(lambda i, t: t.fix(trace.alone(i)))

    def measure(self, trace: Pass) -> Scores:
        rows = trace.rows.tolist()
        return torch.cat([self.targets[r].score(trace.alone(i)) for i, r in enumerate(rows)])

    def take(self, rows: Sequence[int] | slice) -> Target:
        return replace(self, targets=taken(self.targets, rows))

    def with_habit(self, probability: bool) -> Target:
        return self._each(lambda i, t: t.with_habit(probability))

    def with_probability(self, probability: bool) -> Target:
        return self._each(lambda i, t: t.with_probability(probability))

    def indices(self, n: int) -> list[int | None]:
        return [t.indices(1)[0] for t in self.targets]

    @property
    def key(self) -> tuple:
        return (self.negated, *(t.key for t in self.targets))

    def _each(self, change: Any) -> Target:
        return replace(self, targets=tuple(change(i, t) for i, t in enumerate(self.targets)))


def _is_top(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() == "top"


def to_target(value: Any) -> Target:
    """What people write for a target: None or "top" (the top class), an index, a label, a Target,
    or one per image. A label that reads "top" is `Class("top")`.

    Raises: BadTarget for anything else.
    """
    if value is None or _is_top(value):
        return Top()
    if isinstance(value, Target):
        return value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return Class(value)
    whole_numbers = isinstance(value, Tensor) and not (
        value.is_floating_point() or value.is_complex() or value.dtype == torch.bool
    )
    if isinstance(value, Tensor) and value.ndim < 2 and whole_numbers:
        return Class(int(value)) if value.ndim == 0 else Class(tuple(value.tolist()))
    if isinstance(value, (list, tuple)) and value:
        plain = all(isinstance(v, (int, str)) and not isinstance(v, bool) for v in value)
        if plain and not any(map(_is_top, value)):
            return Class(tuple(value))
        return PerImage(tuple(to_target(v) for v in value))
    if isinstance(value, (np.ndarray, np.generic)):
        return to_target(value.tolist())
    raise BadTarget(
        f"{value!r} is not a target; give an index, a label, a Target, or a list of them."
    )
