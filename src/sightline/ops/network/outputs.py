"""Finding the scores in what a network returns, by a stated rule and never by a guess."""

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
        f"the model returned a {kind}{inside}, where a tensor of scores was expected. Say which"
        " part it is:"
        " `sl.Model(net, output=lambda returned: ...)`."
    )


def as_rows(scores: Any) -> Tensor:
    """Scores as one tensor with the batch first; detections too, for a probe to differentiate."""
    if isinstance(scores, Tensor):
        return scores
    return torch.stack([torch.stack([d["scores"].sum(), d["boxes"].sum()]) for d in scores])
