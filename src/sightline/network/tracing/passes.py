"""One pass through a network as a target sees it: what came out, and the layers that were read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any  # a target stands above this file

from torch import Tensor

from ...errors import BadTarget
from ..calling.outputs import as_logits, as_probabilities


class Pass(ABC):
    """What a target scores: the output, the maps of the layers it reads, the image of each row."""

    output: Any  # scores (batch, class), or a detector's list of dictionaries
    rows: Tensor
    gives: str  # what the scores are: `logits`, `probabilities`, `sigmoids` or `features`

    @property
    def logits(self) -> Tensor:
        """The output as logits (batch, class), whatever the network gives."""
        return as_logits(self.output, self.gives)

    @property
    @abstractmethod
    def maps(self) -> Mapping[str, Tensor]: ...

    @abstractmethod
    def alone(self, row: int | None = None) -> "Pass": ...


_ONE_OUTPUT = (
    "use Binary() (`--target binary` on a command line), or for a measured value Axis(0)"
    " (`--target axis:0`)."
)


def no_choice(trace: Pass, what: str) -> str:
    """Why a network without a row of scores has no class that could be chosen."""
    if isinstance(trace.output, Tensor) and not trace.output.is_floating_point():
        return (
            f"the model returns one whole number per picture ({trace.output.dtype}), a decision"
            f" as `argmax` makes, and not scores, so there is no {what}. Give it `output=`, or a"
            " network that returns its scores."
        )
    return f"the model has one output, so there is no {what}; {_ONE_OUTPUT}"


def outputs_of(trace: Pass, target: Any) -> Tensor:
    """The output (batch, class) as the network gives it. Raises: BadTarget for another shape."""
    output = trace.output
    if isinstance(output, Tensor) and output.ndim == 1:
        output = output[:, None]
    if not isinstance(output, Tensor) or output.ndim != 2:
        what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise BadTarget(
            f"{target!r} needs an output of shape (batch, class); the model returned {what}. Use"
            " Token, Region or"
            " Box for captions, segmentations and detections, or give the model `output=`."
        )
    return output.float()


def logits_of(trace: Pass, target: Any) -> Tensor:
    """The output (batch, class) as logits. Raises: BadTarget for another shape."""
    return as_logits(outputs_of(trace, target), trace.gives)


def values_of(trace: Pass, target: Any) -> Tensor:
    """What the target scores for each class, (batch, class): probabilities or logits."""
    output = outputs_of(trace, target)
    if target.probability:
        return as_probabilities(output, trace.gives, multilabel=target.multilabel)
    return as_logits(output, trace.gives)
