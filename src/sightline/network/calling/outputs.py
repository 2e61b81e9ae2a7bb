"""Finding the scores in what a network returns, by a stated rule and never by a guess; and reading
them as logits or as probabilities.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import BadModel


def scores_of(returned: Any) -> Any:  # Any: a tensor, or a detector's list of dictionaries
    """A tensor, `.logits`, the entry `logits`, or a list of detections as it is.

    Raises: BadModel for anything else, asking for `output=`.
    """
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping) and isinstance(returned.get("logits"), Tensor):
        return returned["logits"]
    logits = getattr(returned, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(returned, list) and returned and all(isinstance(r, Mapping) for r in returned):
        return returned
    kind, inside = type(returned).__name__, ""
    if isinstance(returned, (tuple, list)):
        inside = f" of {', '.join(type(v).__name__ for v in returned)}"
    elif isinstance(returned, Mapping):
        inside = f" with keys {', '.join(map(str, returned))}"
    raise BadModel(
        f"the model returned a {kind}{inside}; expected a tensor of scores. Select that part:"
        " `sl.Model(net, output=lambda returned: ...)`."
    )


def row_each(scores: Any, count: int, *, squeezed: bool) -> Any:
    """`scores` with one row for each of `count` pictures; with `squeezed`, the only picture's axis
    is put back. Maps (picture, class, 1, 1) of one place are the row of a convolutional classifier.

    Raises: BadModel where rows and pictures do not agree.
    """
    if not isinstance(scores, Tensor):
        if isinstance(scores, (list, tuple)) and len(scores) != count:
            raise BadModel(_counted(f"{len(scores)} entries", count))
        return scores
    if scores.ndim == 0 and count == 1:
        return scores[None, None]
    if squeezed and count == 1 and scores.shape[:1] != (1,):
        return scores[None]
    if not scores.ndim or len(scores) != count:
        raise BadModel(_counted(f"a tensor {tuple(scores.shape)}", count))
    return scores[..., 0, 0] if scores.ndim == 4 and scores.shape[2:] == (1, 1) else scores


def _counted(what: str, count: int) -> str:
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    return (
        f"the network returned {what} for {pictures}; one row of scores per picture was"
        " expected. Give a function that makes one row per picture: `sl.Model(net,"
        " output=lambda returned: ...)`."
    )


def as_rows(scores: Any) -> Tensor:
    """Scores as one tensor with the batch first; detections too, for a probe to differentiate."""
    if isinstance(scores, Tensor):
        return scores
    return torch.stack([torch.stack([d["scores"].sum(), d["boxes"].sum()]) for d in scores])


def as_logits(scores: Tensor, gives: str) -> Tensor:
    """Scores (batch, class, ...) as logits: of probabilities their logarithm, or the log-odds where
    each stands for itself."""
    values = scores.float()
    if gives not in ("probabilities", "sigmoids"):
        return values
    least = torch.finfo(values.dtype).tiny
    logs = values.clamp_min(least).log()
    single = values.ndim > 1 and values.shape[1] == 1
    odds = gives == "sigmoids" or single
    return logs - (1 - values).clamp_min(least).log() if odds else logs


def as_probabilities(scores: Tensor, gives: str, *, multilabel: bool) -> Tensor:
    """Scores (batch, class, ...) as probabilities; those that are some already stay as they are.

    Of logits the softmax over axis 1, or the sigmoid of `multilabel` and of a single one.
    """
    values = scores.float()
    if gives in ("probabilities", "sigmoids"):
        return values
    return values.sigmoid() if multilabel or values.shape[1] == 1 else values.softmax(1)
