"""One pass through a network as a target sees it: what came out, and the layers that were read."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Pass(Protocol):
    """What a target scores: the output, the maps of the layers it reads, the image of each row."""

    output: Any  # scores (batch, class), or a detector's list of dictionaries
    raw: dict[str, Tensor]
    rows: Tensor

    @property
    def maps(self) -> Mapping[str, Tensor]: ...

    def alone(self, row: int | None = None) -> "Pass": ...
