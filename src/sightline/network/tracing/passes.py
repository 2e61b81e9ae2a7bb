"""One pass through a network as a target sees it: what came out, and the layers that were read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..calling.outputs import as_logits


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
