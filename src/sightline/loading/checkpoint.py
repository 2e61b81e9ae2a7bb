"""Weights from a file, without running anything that the file brings along.

safetensors holds numbers only; PyTorch's format is read with `weights_only=True`, and a checkpoint
that needs code is refused. Records of a training run that hold no code (an `argparse.Namespace`,
NumPy's numbers, paths) are read as empty stand-ins: their classes are never looked up.
"""

import pickle
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..errors import BadModel, near

Tensors = dict[str, Tensor]

_DEPTH = 4  # dictionaries within dictionaries that are looked into
_LOADING = threading.Lock()  # `safe_globals` is one set for the whole process
_STATE = ("state_dict", "model", "model_state_dict", "net", "weights")
_OBJECTS = (
    "argparse.Namespace types.SimpleNamespace datetime.datetime datetime.date datetime.timedelta"
    " pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePosixPath"
    " pathlib._local.PosixPath pathlib._local.WindowsPath torch.torch_version.TorchVersion"
    " numpy.core.multiarray.scalar numpy._core.multiarray.scalar numpy.ndarray numpy.dtype"
    " numpy.core.multiarray._reconstruct numpy._core.multiarray._reconstruct _codecs.encode"
    " builtins.list builtins.dict builtins.int builtins.float __builtin__.list __builtin__.dict"
    " __builtin__.int __builtin__.float typing.Any omegaconf.dictconfig.DictConfig"
    " omegaconf.listconfig.ListConfig omegaconf.base.Metadata omegaconf.base.ContainerMetadata"
    " omegaconf.nodes.AnyNode"
).split()
_DICTIONARIES = (
    "pytorch_lightning.utilities.parsing.AttributeDict easydict.EasyDict yacs.config.CfgNode"
    " lightning.pytorch.utilities.parsing.AttributeDict addict.addict.Dict"
    " lightning_fabric.utilities.data.AttributeDict lightning.fabric.utilities.data.AttributeDict"
).split()
_NUMPY_KINDS = "Float16 Float32 Float64 Int8 Int16 Int32 Int64 UInt8 Bool Str".split()
_FOREIGN = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras)",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
    b"<": "a text (HTML or XML), such as the page of a failed download",
    b"version https://git-lfs": "a Git LFS pointer, which stands for the real file",
}


@dataclass(frozen=True)
class StateDict:
    """Named tensors as they lie in a file. address: the keys that lead to them, with dots."""

    address: str
    tensors: Tensors


class _StorageRecord:
    """What stands for an object of a training record: it takes all that is given and does
    nothing."""

    def __new__(cls, *_: object) -> "_StorageRecord":
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _default_dictionary(*_: object) -> OrderedDict[Any, Any]:
    return OrderedDict()


def read_state_dicts(path: Path, name: str) -> list[StateDict]:
    """All named tensors of a safetensors or PyTorch file, also within dictionaries.

    name: of the file, as the user wrote it, for messages.

    **Raises:** `BadModel` when it is missing, broken, holds no tensors or needs code to be run.
    """
    start = _start(path, name)
    pytorch = start.startswith((b"PK", b"\x80"))
    if not pytorch and start[8:9] != b"{":
        what = next((w for magic, w in _FOREIGN.items() if start.startswith(magic)), "")
        raise BadModel(
            f"{name} is {what or 'neither a safetensors nor a PyTorch file'}; expected weights."
            " Save them with `safetensors.torch.save_file(net.state_dict(), path)`."
        )
    try:
        held = _loaded(path) if pytorch else load_file(path)
    except pickle.UnpicklingError as problem:
        raise BadModel(
            f"{name} can only be read by running code that it names ({_reason(problem)}); code"
            " in a checkpoint is never run. If you trust the file, save only its tensors:"
            " `torch.save(net.state_dict(), path)`."
        ) from None
    except Exception as problem:  # broken files raise almost anything
        if "TorchScript" in str(problem):
            raise BadModel(
                f"{name} is a TorchScript archive, a whole network and not its weights. Load it"
                " with `torch.jit.load` and pass it to `sl.Model`."
            ) from None
        raise BadModel(
            f"{name} is truncated or broken ({type(problem).__name__}). Fetch or save it again."
        ) from None
    return _all_of(held, name)


def _loaded(path: Path) -> object:
    kinds = [f"numpy.dtypes.{kind}DType" for kind in _NUMPY_KINDS]
    stand_ins: list[Any] = [(_StorageRecord, name) for name in (*_OBJECTS, *kinds)]
    stand_ins += [(OrderedDict, name) for name in _DICTIONARIES]
    stand_ins += [(_default_dictionary, "collections.defaultdict")]
    with _LOADING, torch.serialization.safe_globals(stand_ins):
        return torch.load(path, "cpu", weights_only=True)


def _start(path: Path, name: str) -> bytes:
    if path.is_dir():
        raise BadModel(f"{name} is a folder; expected a file of weights. Name the file.")
    if not path.is_file():
        siblings = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BadModel(f"no such file of weights: {name}{near(path.name, siblings)}")
    try:
        with path.open("rb") as stream:
            return stream.read(32)
    except OSError as problem:
        raise BadModel(f"{name} cannot be opened ({problem.strerror}). Check it.") from None


def _all_of(held: object, name: str) -> list[StateDict]:
    if not isinstance(held, Mapping):
        raise BadModel(
            f"{name} holds {type(held).__name__}; expected named tensors. Save `net.state_dict()`."
        )
    found = list(_nested(held, ()))
    if not any(one.tensors for one in found):
        keys = few([str(key) for key in held])
        raise BadModel(
            f"{name} holds no named tensors (its keys: {keys}); expected a state dict, alone or "
            f"under {' or '.join(_STATE[:2])}. Save `net.state_dict()`."
        )
    return found


def _nested(held: Mapping[Any, Any], keys: tuple[str, ...]) -> Iterator[StateDict]:
    tensors = {str(n): t for n, t in held.items() if isinstance(t, Tensor)}
    if tensors:
        yield StateDict(".".join(keys), tensors)
    for key, inner in held.items():
        if isinstance(inner, Mapping) and len(keys) < _DEPTH:
            yield from _nested(inner, (*keys, str(key)))


def few(names: list[str]) -> str:
    """The first three names, and whether there are more."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _reason(problem: Exception) -> str:
    """The object that the file names, without anything else that stands in it."""
    named = re.search(r"GLOBAL ([\w.]+)|(?:load|function) .*?([\w.]+)", str(problem))
    return f"{named[1] or named[2]}" if named else type(problem).__name__
