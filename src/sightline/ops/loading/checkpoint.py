"""Weights from a file, without running anything that the file brings along.

safetensors holds numbers only; PyTorch's format is read with `weights_only=True`, and a checkpoint
that needs code is refused.
"""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import BadModel, near

Tensors = dict[str, Tensor]

_NESTS = ("state_dict", "model", "model_state_dict", "net", "weights")
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, Lightning


def read_tensors(path: Path) -> Tensors:
    """The named tensors of a safetensors or PyTorch file, out of nested dictionaries.

    **Raises:** `BadModel` when it is missing, broken, holds no tensors or needs code to be run.
    """
    start = _start(path)
    pytorch = start.startswith((b"PK", b"\x80"))
    if not pytorch and start[8:9] != b"{":
        raise BadModel(
            f"{path} is neither a safetensors nor a PyTorch file (it begins with {start!r}). Save "
            "the weights with `safetensors.torch.save_file(net.state_dict(), path)`."
        )
    try:
        held = torch.load(path, "cpu", weights_only=True) if pytorch else load_file(path)
    except pickle.UnpicklingError as problem:
        raise BadModel(
            f"{path} can only be read by running code that it names ({_reason(problem)}); code in "
            "a checkpoint is never run. Where you trust it, save its tensors alone: "
            "`torch.save(net.state_dict(), path)`."
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as problem:
        raise BadModel(
            f"{path} is truncated or broken ({_reason(problem)}). Fetch or save it again."
        ) from None
    return _named_tensors(held, path)


def classes_held(module: nn.Module, tensors: Tensors) -> int | None:
    """The classes that the file knows, where that alone keeps it from fitting the module."""
    expected = module.state_dict()
    tensors = _unwrapped(expected, tensors)
    apart = [
        (tuple(tensor.shape), tuple(expected[name].shape))
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    counts = {(ours[0], theirs[0]) for ours, theirs in apart if ours and theirs}
    same_rest = all(ours[1:] == theirs[1:] for ours, theirs in apart)
    return next(iter(counts))[0] if len(counts) == 1 and same_rest else None


def fit(module: nn.Module, tensors: Tensors, path: Path, arch: str) -> None:
    """Put the tensors into the module; all must fit.

    **Raises:** `BadModel` with the first few names that do not, or the first that is not finite.
    """
    expected = module.state_dict()
    tensors = _unwrapped(expected, tensors)
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    problems = {
        "missing": sorted(expected.keys() - tensors.keys() - counters),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
            for name, tensor in tensors.items()
            if name in expected and tensor.shape != expected[name].shape
        ],
        "of another kind": [
            f"{name} {tensor.dtype}"
            for name, tensor in tensors.items()
            if name in expected and expected[name].is_floating_point() != tensor.is_floating_point()
        ],
    }
    if any(problems.values()):
        found = "; ".join(
            f"{len(names)} {what} ({_few(names)})" for what, names in problems.items() if names
        )
        raise BadModel(
            f"{path} does not fit {arch}: of {len(expected)} tensors {found}. Check `arch` and the "
            "builder's other keys."
        )
    whole = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    for name, tensor in whole.items():
        if not torch.isfinite(tensor).all():
            raise BadModel(
                f"{path}: tensor {name} holds NaN or infinity ({int((~tensor.isfinite()).sum())} "
                f"of {tensor.numel()} values); expected finite weights. Train or fetch it again."
            )
    module.load_state_dict(whole, strict=False)


def _start(path: Path) -> bytes:
    if path.is_dir():
        raise BadModel(f"{path} is a folder; expected a file of weights. Name the file.")
    if not path.is_file():
        siblings = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BadModel(f"no such file of weights: {path}{near(path.name, siblings)}")
    try:
        with path.open("rb") as stream:
            return stream.read(9)
    except OSError as problem:
        raise BadModel(f"{path} cannot be opened ({problem.strerror}). Check it.") from None


def _named_tensors(held: object, path: Path) -> Tensors:
    while isinstance(held, Mapping):
        found = {str(n): t for n, t in held.items() if isinstance(t, Tensor)}
        if found:
            return found
        inner = next((held[key] for key in _NESTS if isinstance(held.get(key), Mapping)), None)
        if inner is None:
            keys = _few([str(key) for key in held])
            raise BadModel(
                f"{path} holds no named tensors (its keys: {keys}); expected a state dict, alone "
                f"or under {' or '.join(_NESTS[:2])}. Save `net.state_dict()`."
            )
        held = inner
    raise BadModel(
        f"{path} holds {type(held).__name__}; expected named tensors. Save `net.state_dict()`."
    )


def _unwrapped(expected: Iterable[str], tensors: Tensors) -> Tensors:
    """Without the prefixes that wrappers leave on every name."""
    known = set(expected)
    for _ in _WRAPPERS:
        for prefix in _WRAPPERS:
            all_have_it = tensors and all(name.startswith(prefix) for name in tensors)
            if all_have_it and not any(name.startswith(prefix) for name in known):
                tensors = {name.removeprefix(prefix): t for name, t in tensors.items()}
    return tensors


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _reason(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    telling = [line for line in lines if "GLOBAL" in line or "nsupported" in line]
    return (telling or lines or [type(problem).__name__])[0][:160]
