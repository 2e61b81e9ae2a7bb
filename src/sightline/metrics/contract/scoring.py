"""Scoring the pictures of a case that can be scored, with NaN for the others."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import ShapeError
from ...shapes import Curves, Scores
from .case import Case

NOT_FINITE = "the map holds values that are not finite"

Ask = Callable[[Case], tuple[Tensor, Tensor | None]]  # a metric's numbers and curves of a case


def scored(case: Case, name: str, ask: Ask) -> tuple[Scores, Curves | None]:
    """What `ask` says of the pictures whose maps are finite, NaN for the others.

    Raises: ShapeError where it is not one number for each picture.
    """
    if case.truth is not None:
        case.truth.check(case.images)
    broken = case.broken
    if not broken.any():
        return _of_finite(case, name, ask)
    reasons = case.explanation.refused
    for why in dict.fromkeys(reasons[row] for row in broken.nonzero()[:, 0].tolist()):
        rows = [row for row in broken.nonzero()[:, 0].tolist() if reasons[row] == why]
        case.not_measured(name, rows, (why or NOT_FINITE).rstrip("."))
    finite = (~broken).nonzero()[:, 0].tolist()
    if not finite:
        return torch.full((len(broken),), torch.nan, dtype=torch.float32, device="cpu"), None
    numbers, curves = _of_finite(case.take(finite), name, ask)
    return _spread(numbers, ~broken), _spread(curves, ~broken)


def _of_finite(case: Case, name: str, ask: Ask) -> tuple[Tensor, Tensor | None]:
    with case.model.unharmed(), torch.no_grad():
        found, curves = ask(case)
    if found.shape != (len(case.images),):
        raise ShapeError(f"{name} returned {tuple(found.shape)} for {len(case.images)} images.")
    return found.float().cpu(), curves


def _spread(found: Tensor | None, there: Tensor) -> Any:  # Any: None stays None
    """Numbers of some pictures among all, NaN for the others."""
    if found is None:
        return None
    whole = torch.full((len(there), *found.shape[1:]), torch.nan, dtype=found.dtype, device="cpu")
    whole[there] = found.cpu()
    return whole
