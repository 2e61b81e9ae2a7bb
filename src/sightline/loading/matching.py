"""Which of a checkpoint's tensors are a network's, under which prefix, and what else lies there.

A load is *whole*: every tensor that the network has must be there, with its shape. What wrappers
put into the names is taken out again, and what lies beside the network is left out; both are said.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import BadModel, SightlineWarning
from .checkpoint import StateDict, Tensors, few

_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_AVERAGES = {"ema", "swa", "avg", "average", "averaged", "shadow"}
_LOSSES = re.compile(r"criterion|criteria|.*loss|.*metrics?$|.*acc(uracy)?$", re.IGNORECASE)
_RECORDS = re.compile(r"n_averaged|.*(epoch|step|iter|best|acc|loss)", re.IGNORECASE)


@dataclass(frozen=True)
class Match:
    """Tensors under the network's own names, where a whole network or most of one was found.

    address: the keys and the prefix that lead to them. wrappers: what was taken out of the names.
    beside: names and shapes of what is none of the network's.
    """

    address: str
    tensors: Tensors
    wrappers: tuple[str, ...]
    beside: dict[str, tuple[int, ...]]

    @property
    def averaged(self) -> bool:
        """Whether the names say that these are running means of weights."""
        words = set(re.split(r"[\W_]+", self.address.lower()))
        return bool(_AVERAGES & words) or "n_averaged" in (*self.tensors, *self.beside)

    def notes(self) -> list[str]:
        """What was taken off and left out, in parts of a sentence."""
        said = []
        if self.address:
            said.append(f"the weights were read from {self.address!r}")
        if self.wrappers:
            said.append(f"'{' and '.join(self.wrappers)}' was taken out of their names")
        if self.beside:
            said.append(f"{len(self.beside)} other tensors were left out ({few([*self.beside])})")
        return said

    def layers_beside(self) -> list[str]:
        """Names of weights beside the network that are no loss's and no average's."""
        heads = {name: name.split(".")[0] for name, shape in self.beside.items() if len(shape) > 1}
        plain = [n for n, head in heads.items() if not _LOSSES.match(head)]
        return [n for n in plain if not _AVERAGES & set(re.split(r"[\W_]+", n.lower()))]


def fields_in(module: nn.Module, found: Sequence[StateDict], key: str) -> dict[str, int]:
    """What the file knows of the builder's `num_classes` and `in_chans`, where that alone keeps it
    from fitting the module.
    """
    expected = module.state_dict()
    match = _best(expected, found, key)
    apart = [
        (tuple(tensor.shape), tuple(expected[name].shape))
        for name, tensor in match.tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    heads = {(a[0], b[0]) for a, b in apart if a and b and a[1:] == b[1:]}
    entries = {(a[1], b[1]) for a, b in apart if len(a) == len(b) == 4 and a[0] == b[0]}
    rest = [a for a, b in apart if not (a and b and a[1:] == b[1:])]
    read = {"num_classes": next(iter(heads))[0]} if len(heads) == 1 else {}
    if len(rest) == len(entries) == 1:
        read["in_chans"] = next(iter(entries))[0]
    return read if len(heads) < 2 and len(rest) == len(entries) < 2 else {}


def fit(
    module: nn.Module, found: Sequence[StateDict], name: str, arch: str, key: str
) -> tuple[str, ...]:
    """Put the tensors of the network into the module; all must fit. What was decided, in sentences.

    Of plain weights and running means of them (`ema`) the plain ones are taken. key: the part of
    the file that is meant where it holds several networks, or "".

    **Raises:** `BadModel` with the first names that do not fit, or the first that is not finite.
    """
    expected = module.state_dict()
    whole = [m for m in _matches(expected, found, key) if not _problems(module, m)]
    if not whole:
        raise BadModel(_misfit(module, _best(expected, found, key), name, arch))
    match, remark = _choose(whole, name)
    strange = {n: tuple(t.shape) for n, t in match.tensors.items() if n not in expected}
    match = replace(match, beside={**match.beside, **strange})
    ready = {
        n: t.float() if t.is_floating_point() else t
        for n, t in match.tensors.items()
        if n in expected
    }
    for label, tensor in ready.items():
        if not torch.isfinite(tensor).all():
            raise BadModel(
                f"{name}: tensor {label} holds NaN or infinity ({int((~tensor.isfinite()).sum())} "
                f"of {tensor.numel()} values); expected finite weights. Train or fetch it again."
            )
    module.load_state_dict(ready, strict=False)
    if not key and (layers := match.layers_beside()):
        warnings.warn(
            f"{name} has layers that {arch} does not have, and they are left out"
            f" ({few(layers)}): if the trained network used them, this network gives other"
            " scores. Wrap the trained network with `sl.Model` instead.",
            SightlineWarning,
            stacklevel=2,
        )
    return tuple([*match.notes(), *remark])


def _choose(whole: Sequence[Match], name: str) -> tuple[Match, list[str]]:
    """The plain weights before the averaged; of several plain ones none is guessed."""
    plain = [m for m in whole if not m.averaged] or list(whole)
    others = [m for m in plain[1:] if not _same(m.tensors, plain[0].tensors)]
    if others:
        places = ", ".join(repr(m.address or "the names without a prefix") for m in plain)
        raise BadModel(
            f"{name} holds {len(plain)} networks that fit: {places}; expected one. Say which with "
            f"`&key={(plain[0].address or others[0].address)}`."
        )
    averages = [m.address for m in whole if m.averaged and m is not plain[0]]
    if not averages:
        return plain[0], ["they are running means (EMA)"] if plain[0].averaged else []
    return plain[0], [
        f"the plain weights were taken, not the averaged ones; `&key={averages[0]}` takes those"
    ]


def _same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def _best(expected: Mapping[str, Tensor], found: Sequence[StateDict], key: str) -> Match:
    """The match that has most of the network's names."""
    matches = _matches(expected, found, key)
    known = set(expected)
    return max(matches, key=lambda m: (len(known & m.tensors.keys()), not m.averaged))


def _matches(expected: Mapping[str, Tensor], found: Sequence[StateDict], key: str) -> list[Match]:
    """A match for each prefix under which all of the network's names lie, and else for the one
    under which most do; exact ones first."""
    matches = [m for one in found for m in _of_one(expected, one) if _is_meant(m, key)]
    if not matches:
        held = ", ".join(dict.fromkeys(repr(one.address) for one in found if one.address))
        raise BadModel(
            f"no part of the file is called key={key}; expected one of its keys"
            f"{f' ({held})' if held else ''} or a prefix of its tensors' names."
        )
    exact = [m for m in matches if m.tensors.keys() == set(expected) and not m.address]
    return exact[:1] or matches


def _is_meant(match: Match, key: str) -> bool:
    """Whether the match lies under `key`: a run of the words of its address."""
    return not key or f".{key.strip('.')}." in f".{match.address}."


def _of_one(expected: Mapping[str, Tensor], one: StateDict) -> list[Match]:
    needed = {n for n in expected if not n.endswith("num_batches_tracked")}
    best, most = [], -1
    for tensors, wrappers in (_without_wrappers(expected, one.tensors), (one.tensors, ())):
        counts = _prefixes(needed, tensors)
        top = max(counts.values(), default=0)
        if top > most:
            prefixes = [p for p, count in counts.items() if count == top] or [""]
            best = [_under(p, one.address, tensors, wrappers) for p in sorted(prefixes, key=len)]
            most = top
    return best


def _under(prefix: str, address: str, tensors: Tensors, wrappers: tuple[str, ...]) -> Match:
    own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    beside = {n: tuple(t.shape) for n, t in tensors.items() if not n.startswith(prefix)}
    parts = [part for part in (address, prefix.rstrip(".")) if part]
    return Match(".".join(parts), own, wrappers, beside)


def _prefixes(needed: Iterable[str], tensors: Iterable[str]) -> Counter[str]:
    """How many of the network's names lie under each prefix (with its dot; "" for none)."""
    known, counts = set(needed), Counter[str]()
    for name in tensors:
        words = name.split(".")
        for cut in range(len(words)):
            if ".".join(words[cut:]) in known:
                counts["".join(f"{word}." for word in words[:cut])] += 1
    return counts


def _without_wrappers(expected: Iterable[str], tensors: Tensors) -> tuple[Tensors, tuple[str, ...]]:
    """Names without the words that wrappers put in, wherever they stand; what was taken out."""
    own = {word for name in expected for word in name.split(".")}
    strange = [word for word in _WRAPPERS if word not in own]
    words = {name: name.split(".") for name in tensors}
    used = tuple(w for w in strange if any(w in parts for parts in words.values()))
    made = {
        ".".join(word for word in words[name] if word not in used): t for name, t in tensors.items()
    }
    return (made, used) if len(made) == len(tensors) else (tensors, ())


def _problems(module: nn.Module, match: Match) -> dict[str, list[str]]:
    """What keeps these tensors from being the network's: kind of problem -> names."""
    expected, tensors = module.state_dict(), match.tensors
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    kept = dict(module.named_buffers())  # also those that a network makes by itself
    problems = {
        "missing": sorted(expected.keys() - tensors.keys() - counters),
        "unexpected": [
            name
            for name in sorted(tensors.keys() - expected.keys())
            if not (_counts(name, match) or _made_again(kept.get(name), tensors[name]))
        ],
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
    return {what: names for what, names in problems.items() if names}


def _counts(name: str, match: Match) -> bool:
    """Whether a tensor is a number of the training (`n_averaged`, `best_acc1`), not a layer's."""
    tensor = match.tensors[name]
    return "." not in name and tensor.numel() == 1 and bool(_RECORDS.match(name))


def _made_again(ours: Tensor | None, theirs: Tensor) -> bool:
    return ours is not None and ours.shape == theirs.shape and bool((ours == theirs).all())


def _misfit(module: nn.Module, match: Match, name: str, arch: str) -> str:
    problems = _problems(module, match)
    found = "; ".join(f"{len(names)} {what} ({few(names)})" for what, names in problems.items())
    under = f" under {match.address!r}" if match.address else ""
    return (
        f"{name} does not fit {arch}: of {len(module.state_dict())} tensors{under} {found}. Check "
        "`arch` and the builder's other keys."
    )
