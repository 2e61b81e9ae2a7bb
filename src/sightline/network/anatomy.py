"""Facts about a network, measured: the default layer, its layout, its head, its attention.

No table of names is kept. Two forwards (nine pictures that differ in strips; two pictures with a
graph) and a few short backward passes answer all questions; the default layer is *the last tensor
through which everything passes and in which place still matters*. The answer is cached as a small
file.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadModel, NotExplainable, SightlineError
from .calling.checkpointing import plain_segments
from .layers.default_layer import choose
from .layers.exchange import choose_by_exchange
from .layers.groups import Choice
from .layers.recording import Forward, NetworkRecord, record_network
from .tracing.layouts import Layout
from .tracing.prefix_replay import JOINT, Address
from .unharmed import scores_in, unharmed

_PROCEDURE = 5  # raise when the procedure changes, so that cached answers are forgotten
_log = logging.getLogger("sightline")


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What was measured about a network: its default layer, that layer's layout, and what follows
    it.

    spatial: address of the default layer, None with a `reason`. joint: all layers that carry the
    evidence together, where no single layer does; aligned: they lie on one grid, so that their maps
    can be added. cuts: every layer address that everything passes. layouts: every layer address
    whose output is laid out in space. candidates: earlier layers that everything passes, the next
    one first; together: earlier modules that it passes in all their runs, addresses joined by
    " + ". head: `pooled-linear`, `pooled-mlp`,
    `pooled-relu`, `max-pool`, `class-token`, `attention-pool`, `flattened-mlp`, `convolutional` or
    `unknown`. class_map: a layer with one map per class. attention: modules that attend;
    fused_attention: those that do not expose their weights; attentions: how many run in one forward
    pass. readers: how much each prefix token and, last, all places together count for the scores,
    of the last tokens; weighs: a softmax weights those first. silent: modules that did not run.
    n_classes: 0 where the output is not one row of scores. independent: the scores do not depend on
    the picture. partial: the layer carries only a part of the score. notes: what was guessed.
    """

    spatial: str | None
    reason: str = ""
    joint: tuple[str, ...] = ()
    aligned: bool = False
    cuts: tuple[str, ...] = ()
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    head: str = "unknown"
    class_map: str | None = None
    attention: tuple[str, ...] = ()
    fused_attention: tuple[str, ...] = ()
    attentions: int = 0
    readers: tuple[float, ...] = ()
    weighs: bool = False
    silent: tuple[str, ...] = ()
    n_classes: int = 0
    input_size: tuple[int, int] = (0, 0)
    channels: int = 3
    independent: bool = False
    partial: bool = False
    notes: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout | None:
        """The layout of the default layer."""
        return self.layouts[self.spatial] if self.spatial is not None else None

    def default_layer(self, name: str) -> str:
        """The default layer of the network, of this name for messages. Raises: NotExplainable with
        the reason where there is none."""
        if self.spatial is not None:
            return self.spatial
        named = [repr(layer) for layer in self.layouts if layer != "input"][-3:]
        remedy = "Use a method that reads no layer, such as rise, occlusion or gradient."
        if named:
            remedy = f"Name one that keeps places: {', '.join(named)}."
        raise NotExplainable(f"{name} has no spatial layer: {self.reason} {remedy}")

    @property
    def streams(self) -> str | None:
        """The default layer, with those that carry the evidence beside it where they lie on one
        grid: their addresses joined by " + "."""
        return JOINT.join(self.joint) if self.aligned else self.spatial

    def every_call(self, layer: str) -> str:
        """The layer, or all its calls joined where the module runs several times, no single call
        carries the evidence, and they lie on one grid together."""
        known = (*self.together, JOINT.join(self.joint))
        for joined in known if self.aligned and layer not in self.cuts else ():
            calls = joined.split(JOINT)
            if {Address.of(call).name for call in calls} == {layer}:
                grids = {self.layouts[c].grid for c in calls if c in self.layouts}
                return joined if len(grids) == 1 else layer
        return layer

    def carries(self, layer: str) -> bool:
        """Whether everything passes this layer, or these layers joined by " + "."""
        names = set(layer.split(JOINT))
        together = [set(each.split(JOINT)) for each in self.together]
        together += [set(self.joint)] if self.joint and not self.partial else []
        return not names.isdisjoint(self.cuts) or any(each <= names for each in together)

    def is_part(self, layer: str) -> bool:
        """Whether the layer is the default, or one of those that carry the evidence together, and
        more reaches the scores around it. Layers inside of a block are the user's own choice."""
        names = {Address.of(name).name for name in layer.split(JOINT)}
        beside = {Address.of(name).name for name in self.joint}
        chosen = layer in (self.spatial, self.streams) or not names.isdisjoint(beside)
        return chosen and not self.carries(layer)

    def part(self, layer: str) -> str:
        """What such a layer carries, for a sentence."""
        rest = [name for name in self.joint if name not in layer.split(JOINT)]
        where = f"; the rest passes through {' and '.join(map(repr, rest))}" if rest else ""
        return f"{layer!r} carries only a part of the score{where}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Anatomy":
        """The anatomy that `to_json` wrote."""
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        plain["layouts"] = {name: _layout(v) for name, v in values["layouts"].items()}
        return cls(**plain)


def study(
    module: nn.Module,
    size: tuple[int, int],
    channels: int = 3,
    *,
    forward: Callable[[nn.Module, Tensor], Any] | None = None,
    alone: bool = False,
    cache: Path | None = None,
) -> Anatomy:
    """What is this network made of, at pictures of this size (row, col)?

    forward: (module, pictures in [0, 1]) -> scores, normalising inside; None calls the module with
    pictures of mean 0 and deviation 1. alone: it takes one picture at a time. cache: folder of
    remembered answers; None means `$SIGHTLINE_CACHE`, or `~/.cache/sightline`; an empty variable
    turns it off. The network comes back as it was.

    Raises: BadModel when the network cannot run on pictures of this size.
    """
    run = Forward(module, forward or _plain, (size[0], size[1]), channels, alone)
    try:
        with unharmed(module), torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            torch.default_generator.manual_seed(0)
            file = _file(run, cache)
            known = _recall(file)
            if known is None:
                known = _examine(run)
                _remember(known, file)
    except SightlineError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        raise BadModel(
            f"the network failed on pictures of {size[0]} x {size[1]} pixels with {channels}"
            f" channels ({type(error).__name__}: {text[0] if text else 'no message'}). Pass the"
            " size that it expects."
        ) from None
    return known


@plain_segments()
def _plain(module: nn.Module, pictures: Tensor) -> Tensor:
    return scores_in(module((pictures - 0.5) / 0.25))


def _examine(run: Forward) -> Anatomy:
    for name, part in run.module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            what = repr(name) if name else "the network"
            return Anatomy(
                spatial=None,
                reason=f"{what} is a scripted module, which hides its layers.",
                n_classes=_count(run.scores(1)),
                input_size=run.size,
                channels=run.channels,
            )
    record = record_network(run)
    choice = choose(record) if record.paths else choose_by_exchange(record)
    return _anatomy(run, record, choice)


def _count(scores: Tensor) -> int:
    return scores[0].numel() if scores.ndim <= 2 else 0


def _anatomy(run: Forward, record: NetworkRecord, choice: Choice) -> Anatomy:
    layouts = {"input": Layout("nchw", run.size)}
    for seen in record.seen:
        if seen.layout is not None:
            layouts.update(dict.fromkeys(record.addresses(seen), seen.layout))
    notes = [*record.notes, *choice.notes]
    if choice.spatial is not None and not layouts[choice.spatial].verified:
        notes.append(
            "the layout was read from the shape; it was not verified that the"
            " layer keeps places apart"
        )
    scores = record.scores
    if scores.ndim > 2:
        notes.append(f"the output has shape {(*scores.shape[1:],)}: not one score per class")
    return Anatomy(
        spatial=choice.spatial,
        reason=choice.reason,
        joint=choice.joint,
        aligned=choice.aligned,
        cuts=choice.cuts,
        layouts=layouts,
        candidates=choice.candidates,
        together=choice.together,
        head=choice.head,
        class_map=choice.class_map,
        attention=tuple(sorted(record.attention)),
        fused_attention=tuple(sorted(record.fused)),
        attentions=sum(call.attentions for call in record.calls),
        readers=choice.reading.shares,
        weighs=choice.reading.weighs,
        silent=record.silent,
        n_classes=_count(scores),
        input_size=run.size,
        channels=run.channels,
        independent=choice.independent,
        partial=choice.partial,
        notes=tuple(notes),
    )


def _file(run: Forward, cache: Path | None) -> Path | None:
    folder = os.environ.get("SIGHTLINE_CACHE", str(Path("~/.cache/sightline").expanduser()))
    if cache is None and not folder:
        return None
    return (cache or Path(folder)) / "anatomy" / f"{_fingerprint(run)}.json"


def _fingerprint(run: Forward) -> str:
    """Of class, parameters (64 values of each), sizes, versions, and the scores of one picture.

    The scores stand for what no weight tells: functions in between, and which output is looked at.
    """
    module = run.module
    scores = run.scores(1).flatten().float().cpu()[:8]
    weights = list(module.state_dict().items())
    parts = [
        f"{type(module).__module__}.{type(module).__qualname__}",
        f"{run.size} {run.channels} {_PROCEDURE} {torch.__version__} {_version()}",
        " ".join(
            f"{name}{tuple(w.shape)}{w.dtype}" for name, w in weights if isinstance(w, Tensor)
        ),
        " ".join(f"{float(s):.5e}" for s in scores),
    ]
    values = [_sample(w) for _, w in weights if isinstance(w, Tensor) and w.numel()]
    found = hashlib.sha256("\n".join(parts).encode())
    if values:
        found.update(torch.cat(values).numpy().tobytes())
    return found.hexdigest()[:32]


def _sample(weight: Tensor) -> Tensor:
    some = weight.detach().flatten()[:: max(1, weight.numel() // 64)][:64]
    return (torch.view_as_real(some).flatten() if some.is_complex() else some).float().cpu()


def _version() -> str:
    try:
        return metadata.version("sightline")
    except metadata.PackageNotFoundError:
        return "source"


def _layout(values: Mapping[str, Any]) -> Layout:
    grid = values["grid"]
    return Layout(**{**values, "grid": None if grid is None else (grid[0], grid[1])})


def _recall(file: Path | None) -> Anatomy | None:
    if file is None:
        return None
    try:
        return Anatomy.from_json(json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.debug("cached anatomy %s is not readable: %s", file, error)
        return None


def _remember(known: Anatomy, file: Path | None) -> None:
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as part:
            json.dump(known.to_json(), part)
        Path(part.name).replace(file)
    except OSError as error:
        _log.debug("anatomy not cached in %s: %s", file, error)
