"""The clean pass of one batch, run once for all that look at it.

The batch is known by two tensors: the one that the pass was opened with, and the same on the
network's device, moved there once. On a device whose `.to()` copies, every further move would make
a tensor that nobody knows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..errors import NotExplainable
from ..ops.batches import chunks, rows_of
from .trace import Trace

Shape = tuple[int, int, int]  # rows, columns and channels of a picture
_PASSES: ContextVar[Mapping[int, "SharedPass"]] = ContextVar(
    "shared passes", default=MappingProxyType({})
)
"""The open pass of each model, by its `id`; every thread and every task has its own."""
_SHAPES: ContextVar[Mapping[int, Shape]] = ContextVar(
    "shapes in view", default=MappingProxyType({})
)
"""Rows, columns and channels of the pictures that come to each module, by its `id`."""


class SharedPass:
    """One batch of clean images whose forward is run once and remembered.

    images: as they came. batch: the same on the network's device. keep: layers that the first pass
    records. run: (batch, layers to read) -> Trace.
    """

    def __init__(
        self,
        images: Tensor,
        device: torch.device,
        keep: Sequence[str],
        run: Callable[[Tensor, tuple[str, ...]], Trace],
    ) -> None:
        self.images, self.batch = images, images.to(device)
        self.keep, self.run = tuple(keep), run
        self.passes: list[Trace] = []

    def holds(self, images: Tensor) -> bool:
        """Whether this is the batch itself; a copy or a slice of it is another."""
        return images is self.images or images is self.batch

    def trace(self, read: Sequence[str]) -> Trace:
        """The remembered pass that has these layers, run now if there is none."""
        for trace in self.passes:
            if set(read) <= set(trace.raw):
                return trace
        wanted = tuple(dict.fromkeys((*self.keep, *read)))
        try:
            self.passes.append(self.run(self.batch, wanted))
        except NotExplainable:  # a layer that one method reads is no reason to refuse the others
            if set(read) == set(wanted):
                raise
            wanted = tuple(read)
            self.passes.append(self.run(self.batch, wanted))
        self.keep = wanted
        return self.passes[-1]


def open_pass(model: object, images: Tensor) -> SharedPass | None:
    """The pass of these very images that is open for a model in this thread."""
    found = _PASSES.get().get(id(model))
    return found if found is not None and found.holds(images) else None


@contextmanager
def opened(model: object, shared: SharedPass) -> Iterator[None]:
    """The pass open for a model while it lasts, in place of the one that was."""
    token = _PASSES.set({**_PASSES.get(), id(model): shared})
    try:
        yield
    finally:
        _PASSES.reset(token)


@contextmanager
def shared_by(
    model: Any, images: Tensor, read: tuple[str, ...], gradients: bool
) -> Iterator[None]:  # Any: a `Model`, which stands above; also below
    """One pass of a model for these images while it lasts, or the one that is open already; its
    graph is kept from the first layer of `read` on, where `gradients` are wanted."""

    def run(batch: Tensor, layers: tuple[str, ...]) -> Trace:
        with torch.set_grad_enabled(gradients and model.differentiable):
            return model.traced(batch, layers)

    shared = open_pass(model, images) or SharedPass(images, model.device, read, run)
    with in_view(model.module, shape_of(images)), opened(model, shared):
        yield


def passes_of(
    model: Any, images: Tensor, rows: Tensor | None, read: tuple[str, ...]
) -> Iterator[Trace]:
    """Passes of a model over images in chunks, or the one that they share."""
    if rows is None and open_pass(model, images):
        yield model.trace(images, read=read)
        return
    rows = rows_of(images, rows, model.side)
    for part in chunks(len(images), model.chunk(images, len(images))):
        yield model.trace(images[part], read=read, rows=rows[part])


def shape_of(images: Tensor) -> Shape:
    """Rows, columns and channels of the pictures of a batch."""
    return images.shape[2], images.shape[3], images.shape[1]


def shape_in_view(module: object) -> Shape | None:
    """Rows, columns and channels of the pictures that are explained with a module in this thread;
    None where there are none."""
    return _SHAPES.get().get(id(module))


@contextmanager
def in_view(module: object, shape: Shape) -> Iterator[None]:
    """While it lasts, pictures of this shape (rows, columns, channels) come to a module."""
    token = _SHAPES.set({**_SHAPES.get(), id(module): shape})
    try:
        yield
    finally:
        _SHAPES.reset(token)
