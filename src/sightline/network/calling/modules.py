"""Facts about a module: what is inside it, how many channels it expects, which device holds it."""

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ...errors import BadModel, NotExplainable, ShapeError

_Made = TypeVar("_Made")
_Net = TypeVar("_Net", bound=nn.Module)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_COMPUTED = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Recent(Generic[_Made]):
    """What was made of the last `count` modules, each remembered for itself and not for its equals.

    It keeps them alive; more would keep every network of a long session.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.pairs: list[tuple[nn.Module, _Made]] = []
        self.lock = threading.Lock()

    def made_of(self, module: nn.Module, make: Callable[[nn.Module], _Made]) -> _Made:
        """What was made of the module, or is made of it now."""
        with self.lock:
            others = [pair for pair in self.pairs if pair[0] is not module]
            found = next((made for known, made in self.pairs if known is module), None)
            made = make(module) if found is None else found
            self.pairs = [*others, (module, made)][-self.count :]
            return made


def blank(make: Callable[[], _Net]) -> _Net:
    """A network that is about to be filled with weights: float32 on the CPU, whatever PyTorch's
    defaults are, and the random state as before its first weights were drawn."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return make().float()


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside data parallelism and `torch.compile`, so that layers keep the user's
    names."""
    parallel = isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel))
    inside = module.module if parallel else getattr(module, "_orig_mod", module)
    return inside if inside is module else unwrapped(inside)


def network_of(module: Any) -> nn.Module:  # Any: checked here
    """The network in what a user gives for one. Raises: BadModel for no module."""
    if not isinstance(module, nn.Module):
        raise BadModel(
            f"a model wraps a torch.nn.Module; got {type(module).__name__}. Load one with"
            " `sl.load(name)`, or wrap a function with `sl.Model.from_function`."
        )
    return unwrapped(module)


def channels_of(module: nn.Module) -> int:
    """Channels that the first convolution takes; 3 where there is none."""
    for part in module.modules():
        if isinstance(part, _CONVOLUTIONS):
            return part.in_channels
    return 3


def refuse_turned(module: nn.Module, images: Tensor) -> Tensor:
    """The images. Raises: ShapeError where they are (batch, row, col, channel), as the channels of
    the first layer tell: their maps would be of columns and colours."""
    channels, _, last = images.shape[1:]
    convolutions = [m for m in module.modules() if isinstance(m, _CONVOLUTIONS)]
    if convolutions:
        turned = convolutions[0].in_channels == last != channels
        turned = turned and all(m.in_channels != channels for m in convolutions)
    else:
        first = next((m for m in module.modules() if isinstance(m, nn.Linear)), None)
        turned = first is not None and first.in_features == last <= 4 < channels
    if turned:
        raise ShapeError(
            "images must be (batch, channel, row, col); these, of shape"
            f" {tuple(images.shape)}, have their {last} channels last. Give them as"
            " `images.permute(0, 3, 1, 2)`; for a network that takes them with the channels last,"
            " make the model with `forward=lambda m, x: m(x.permute(0, 2, 3, 1))`."
        )
    return images


def refuse_inference(images: Tensor) -> None:
    """Raises: NotExplainable for tensors of which no gradient can ever be taken."""
    if torch.is_inference_mode_enabled() or images.is_inference():
        raise NotExplainable(
            "tensors of `torch.inference_mode` cannot be explained; leave it (no_grad is fine)."
        )


def device_of(module: nn.Module, name: str = "") -> torch.device:
    """Where pictures are sent: to the tensor that `like_of` finds, or the processor."""
    like = like_of(module, name)
    return torch.device("cpu") if like is None else like.device


def floats_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors that a network may compute in: floating parameters, then buffers; complex
    ones and whole numbers (indices, quantised weights) say nothing of the pictures."""
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        if tensor.dtype in _COMPUTED:
            yield name, tensor


def like_of(module: nn.Module, name: str = "") -> Tensor | None:
    """The tensor whose type and device pictures get: the one of this name, or the first floating
    one; None where there is none."""
    place, _, last = name.rpartition(".")
    holder = _part(module, place) if name else None
    found = getattr(holder, last, None) if holder is not None else None
    if isinstance(found, Tensor) and found.dtype in _COMPUTED:
        return found
    return next((tensor for _, tensor in floats_of(module)), None)


def _part(module: nn.Module, name: str) -> nn.Module | None:
    try:
        return module.get_submodule(name)
    except (AttributeError, RuntimeError):  # a copy in which it was folded away; a scripted one
        return None
