"""Gradient checkpointing, left out while we look: segments run as they are written.

A checkpointed segment runs again in the backward pass; by then our hooks and rules are gone, and
PyTorch finds other tensors than before (`CheckpointError`). What a network computes is the same
either way. PyTorch has no switch for it, and networks hold `checkpoint` under names of their own,
so what it calls inside is exchanged: for the threads that ask, while they ask.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.utils.checkpoint as checkpointing

_lock = threading.Lock()
_here = threading.local()
_originals: dict[str, Any] = {}
_asking = 0  # threads inside, and how often


@contextmanager
def plain_segments() -> Iterator[None]:
    """While it lasts, `torch.utils.checkpoint` runs what it is given, in this thread alone."""
    _enter()
    _here.depth = _depth() + 1
    try:
        yield
    finally:
        _here.depth -= 1
        _leave()


def _depth() -> int:
    return getattr(_here, "depth", 0)


def _enter() -> None:
    global _asking
    with _lock:
        if not _asking:
            for name, plain in _PLAIN.items():
                if hasattr(checkpointing, name):
                    _originals[name] = getattr(checkpointing, name)
                    setattr(checkpointing, name, _choosing(_originals[name], plain))
        _asking += 1


def _leave() -> None:
    global _asking
    with _lock:
        _asking -= 1
        if not _asking:
            for name, original in _originals.items():
                setattr(checkpointing, name, original)
            _originals.clear()


def _choosing(original: Any, plain: Any) -> Any:
    """The plain form in threads that asked for it, the original in others."""
    if isinstance(original, type):
        return _Reentrant(original)

    def choose(*args: Any, **kwargs: Any) -> Any:
        return (plain if _depth() else original)(*args, **kwargs)

    return choose


class _Reentrant:
    """`CheckpointFunction`, of which only `apply` is called."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def apply(self, function: Callable[..., Any], preserve: Any, *args: Any) -> Any:
        return function(*args) if _depth() else self.original.apply(function, preserve, *args)


def _whole(function: Callable[..., Any], args: Any, kwargs: Any, **_: Any) -> Any:
    return function(*args, **kwargs)


def _around(*_: Any, **__: Any) -> Iterator[None]:
    """What runs before and after a segment that is not reentrant: nothing."""
    yield


_PLAIN = {  # the first in recent releases, the others before
    "_checkpoint_impl": _whole,
    "CheckpointFunction": None,
    "_checkpoint_without_reentrant_generator": _around,
}
