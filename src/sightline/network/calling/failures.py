"""What a network of the user's raises, as one error of ours that keeps its words and says what to
do.
"""

import inspect
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...errors import BadModel, NetworkError, NotExplainable, SightlineError

_LONGEST = 300  # characters of a foreign text that are repeated
_BY_KEYWORD = (inspect.Parameter.KEYWORD_ONLY,)
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on the host, or on an accelerator."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in text


def first_line(error: BaseException) -> str:
    """A foreign error as `Type: words`, on one line and not too long."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:_LONGEST] if lines else 'no message'}"


@contextmanager
def network_errors(
    module: nn.Module, images: Tensor, given: Collection[str], *, told: bool
) -> Iterator[None]:
    """While the network runs on `images`; given: names of its side inputs; told: whether the user
    says how it is called.

    Our own errors, memory that ran out and interrupts pass. Raises: NetworkError for all else.
    """
    try:
        yield
    except SightlineError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        size = "x".join(map(str, images.shape[2:]))
        raise NetworkError(
            f"the network failed on pictures of {size} with {images.shape[1]} channels"
            f" ({first_line(error)}). {_remedy(module, images, given, told, error)}"
        ) from error


def refuse_lazy(module: nn.Module) -> None:
    """Raises: BadModel for a network with layers that have no weights before their first pass."""
    lazy = next((name for name, p in module.named_parameters() if is_lazy(p)), None)
    if lazy is not None:
        raise BadModel(
            f"layer {lazy.rpartition('.')[0]!r} is lazy and has no weights before its first"
            " pass; expected a network with all of its weights. Run the network once,"
            " `net(images)`, and load its weights, before making a model of it."
        )


def refuse_scripted(module: nn.Module) -> None:
    """Raises: NotExplainable where a part of the network is scripted, which hides its layers."""
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise NotExplainable(
                f"{name or 'the model'} is a scripted module, which hides its layers; load the"
                " Python model."
            )


def _remedy(
    module: nn.Module, images: Tensor, given: Collection[str], told: bool, error: Exception
) -> str:
    if told:
        return (
            "Check `forward=`, the function that calls it, the side inputs of"
            " `model.given(...)`, and the size of the pictures (`size=`)."
        )
    if text := _unfilled(module, given):
        return text
    if isinstance(error, (TypeError, IndexError, KeyError, AttributeError)):
        return (
            "It was called with one tensor (batch, channel, row, col). If it takes something"
            " else, define the call: `sl.Model(net, forward=lambda module, images:"
            ' module({"image": images}))`; pass further inputs with `model.given(name=...)`.'
        )
    return (
        "Pass the size that it expects (`size=`) and pictures with its number of channels; if"
        " it takes more than pictures, define the call: `sl.Model(net, forward=lambda module,"
        " images: ...)`."
    )


def _unfilled(module: nn.Module, given: Collection[str]) -> str:
    """What to do about inputs that the network needs and was not given, or nothing."""
    try:
        wanted = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # a scripted or compiled forward
        return ""
    placed = [p for p in wanted if p.kind in (*_BY_PLACE, inspect.Parameter.VAR_POSITIONAL)]
    named = [p for p in wanted if p.kind in _BY_KEYWORD and p.default is p.empty]
    if not placed and named:
        first = named[0].name
        return (
            "It takes its inputs by name only. Define the call: `sl.Model(net, forward=lambda"
            f" module, images, **side: module({first}=images, **side))`."
        )
    needed = [p for p in (*placed[1:], *named) if p.default is p.empty and p.kind in _KINDS]
    missing = [p.name for p in needed if p.name not in given]
    if not missing:
        return ""
    also = " and ".join(f"`{name}`" for name in missing)
    call = ", ".join(f"{name}=..." for name in missing)
    return (
        f"It also needs {also}: give it as a side input, `model.given({call})`, one entry per"
        " picture, or define the call: `sl.Model(net, forward=lambda module, images: ...)`."
    )


_KINDS = (*_BY_PLACE, *_BY_KEYWORD)
