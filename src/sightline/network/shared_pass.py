"""The clean pass of one batch, run once for all that look at it."""

from collections.abc import Callable, Sequence

from torch import Tensor

from ..errors import NotExplainable
from .trace import Trace


class Session:
    """One batch of clean images whose forward is run once and remembered. run: layers to read ->
    Trace."""

    def __init__(
        self, images: Tensor, keep: Sequence[str], run: Callable[[tuple[str, ...]], Trace]
    ) -> None:
        self.images, self.keep, self.run = images, tuple(keep), run
        self.passes: list[Trace] = []

    def trace(self, images: Tensor, read: Sequence[str]) -> Trace | None:
        """The remembered pass that has these layers, run now if there is none; None for other
        images."""
        if images is not self.images:
            return None
        for trace in self.passes:
            if set(read) <= set(trace.raw):
                return trace
        wanted = tuple(dict.fromkeys((*self.keep, *read)))
        try:
            self.passes.append(self.run(wanted))
        except NotExplainable:  # a layer that one method reads is no reason to refuse the others
            if set(read) == set(wanted):
                raise
            wanted = tuple(read)
            self.passes.append(self.run(wanted))
        self.keep = wanted
        return self.passes[-1]
