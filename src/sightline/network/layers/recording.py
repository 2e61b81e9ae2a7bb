"""One look at a whole network: which module ran when, on what, what came out, and where place
survives.

A forward of two pictures with a graph, and one of nine pictures that differ in strips. Tensors are
measured as they leave a module and not kept.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.overrides import TorchFunctionMode

from ...errors import BadModel, NetworkError
from ...shapes import Images
from ..calling.failures import first_line
from ..tracing.layouts import Layout
from .autograd_paths import Paths, count_paths, edge_of
from .locality import is_firm, layout_by_shape, locate, strips

_FUSED = (F.scaled_dot_product_attention, F.multi_head_attention_forward)
_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
_PRODUCT = (
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    torch.bmm,
    Tensor.bmm,
    torch.einsum,
    torch.baddbmm,
)
_NEVER_RUN = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass(frozen=True)
class Forward:
    """How to run the network: `call(module, pictures in [0, 1])` gives its scores; `alone`: it
    takes one picture at a time.
    """

    module: nn.Module
    call: Callable[[nn.Module, Tensor], Any]
    size: tuple[int, int]
    channels: int
    alone: bool = False

    def pictures(self, count: int) -> Images:
        """The first of the nine probe pictures, in the network's precision, on its device."""
        values = [*self.module.parameters(), *self.module.buffers()]
        like = next(
            (v for v in values if v.is_floating_point()),
            torch.zeros((), dtype=torch.float32, device="cpu"),
        )
        return strips(self.size, self.channels)[:count].to(like)

    def scores(self, count: int) -> Tensor:
        """The scores of the first probe pictures, without a graph."""
        with torch.no_grad(), _slow_path():
            return _checked(self.call(self.module, self.pictures(count)), count)


@dataclass(eq=False)
class Call:
    """One run of one module. Times count module starts and ends.

    axes: of the tensors that came in. came: the same as the graph knows them, with their shapes.
    """

    name: str
    index: int
    start: int
    parent: "Call | None"
    axes: tuple[int, ...] = ()
    came: tuple[tuple[GradientEdge, torch.Size], ...] = ()
    weighted: bool = False
    softmaxes: int = 0
    fused: int = 0
    product: bool = False
    outputs: list["RecordedTensor"] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return self.name.count(".")

    @property
    def attentions(self) -> int:
        """How many attentions ran directly in this call."""
        return self.fused + self.softmaxes * self.product

    def within(self, other: "Call") -> bool:
        """Whether this call ran inside another."""
        call: Call | None = self
        while call is not None and call is not other:
            call = call.parent
        return call is other


@dataclass(eq=False)
class RecordedTensor:
    """A tensor that a module returned. item: its place in a tuple; `named` is false where no
    address reaches it.

    weights: how many modules with parameters had ended before. elsewhere: it shows places of the
    picture, but not where the picture has them. moved: its responses to the strips.
    """

    call: Call
    item: int | None
    named: bool
    shape: torch.Size
    edge: GradientEdge | None
    time: int
    weights: int
    layout: Layout | None = None
    elsewhere: bool = False
    moved: list[Tensor] | None = None


@dataclass(eq=False)
class NetworkRecord:
    """Everything that was seen. paths is None, with the `trouble`, where the network cannot be
    differentiated.
    """

    run: Forward
    calls: list[Call]
    scores: Tensor
    paths: Paths | None
    trouble: str
    notes: tuple[str, ...]
    silent: tuple[str, ...]
    attention: frozenset[str]
    fused: frozenset[str]

    @property
    def seen(self) -> list[RecordedTensor]:
        """All tensors, in the order in which they came out."""
        return sorted((s for call in self.calls for s in call.outputs), key=lambda s: s.time)

    def addresses(self, seen: RecordedTensor) -> list[str]:
        """Every address that means this tensor, the exact one first; a bare name means the last
        call.
        """
        if not seen.named or not seen.call.name:
            return []
        name, runs = seen.call.name, self._runs[seen.call.name]
        names = [name] if runs == 1 else [f"{name}:{seen.call.index}"]
        if runs > 1 and seen.call.index == runs - 1:
            names.append(name)
        if seen.item is None:
            return names
        exact = [f"{n}[{seen.item}]" for n in names]
        first = min(s.item for s in seen.call.outputs if s.item is not None)
        return exact + names if seen.item == first else exact

    def __post_init__(self) -> None:
        self._runs: dict[str, int] = {}
        for call in self.calls:
            self._runs[call.name] = self._runs.get(call.name, 0) + 1


def record_network(run: Forward) -> NetworkRecord:
    """Run the network twice and note everything. Raises whatever the network raises."""
    watch, paths, trouble = _Watch(run.module), None, ""
    count = 1 if run.alone else 2
    image = run.pictures(count).clone().requires_grad_()
    try:
        with torch.enable_grad(), watch.running(), watch.attending():
            scores = _checked(run.call(run.module, image.clone()), count)
    except NetworkError as error:
        scores = run.scores(count)
        trouble = f"the network cannot be differentiated ({first_line(error.__cause__ or error)})."
    except BadModel:
        raise
    except Exception as error:
        scores = run.scores(count)
        trouble = f"the network cannot be differentiated ({error})."
    else:
        output, start = edge_of(scores), edge_of(image)
        if output is None or start is None:
            trouble = "no gradient flows from its scores back to the picture."
        else:
            paths = count_paths(output, start)
    notes = _measure(run, watch.calls)
    _settle(watch.calls, paths, run.size)
    ran = {call.name for call in watch.calls}
    named = run.module.named_modules()
    silent = tuple(n for n, m in named if n and n not in ran and not isinstance(m, _NEVER_RUN))
    return NetworkRecord(
        run, watch.calls, scores, paths, trouble, notes, silent, *watch.attention()
    )


@dataclass(eq=False)
class _Watch:
    """Hooks on every module while `running`; `look` is asked about each tensor that comes out."""

    module: nn.Module
    look: Callable[[RecordedTensor, Tensor], None] = lambda seen, tensor: None
    calls: list[Call] = field(default_factory=list)
    _stack: list[Call] = field(default_factory=list)
    _clock: int = 0
    _weights: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        handles, counts = [], {}
        try:
            for name, module in self.module.named_modules():
                counts[name] = 0
                handles.append(self._before(name, module, counts))
                handles.append(module.register_forward_hook(self._after, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str, module: nn.Module, counts: dict[str, int]) -> Any:
        weighted = next(module.parameters(recurse=False), None) is not None

        def hook(module: nn.Module, inputs: Any, named: dict[str, Any]) -> None:
            tensors = [t for _, _, t in _tensors((*inputs, *named.values()))]
            edges = [(edge_of(t), t.shape) for t in tensors]
            self._clock += 1
            call = Call(
                name=name,
                index=counts[name],
                start=self._clock,
                parent=self._stack[-1] if self._stack else None,
                axes=tuple(t.ndim for t in tensors),
                came=tuple((edge, shape) for edge, shape in edges if edge is not None),
                weighted=weighted,
            )
            counts[name] += 1
            self.calls.append(call)
            self._stack.append(call)

        return module.register_forward_pre_hook(hook, with_kwargs=True)

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        call = self._stack.pop()
        output = _apart(output) if torch.is_grad_enabled() else output
        self._clock += 1
        self._weights += call.weighted
        for item, named, tensor in _tensors(output):
            edge = edge_of(tensor)
            seen = RecordedTensor(call, item, named, tensor.shape, edge, self._clock, self._weights)
            call.outputs.append(seen)
            self.look(seen, tensor)
        return output

    def attending(self) -> TorchFunctionMode:
        return _AttentionWatch(self)

    def note(self, func: Any, args: tuple) -> None:
        """Remember that this operation ran in the module that is running."""
        if not self._stack:
            return
        call = self._stack[-1]
        if func in _FUSED:
            call.fused += 1
        elif func in _PRODUCT:
            call.product = True
        elif func in _SOFTMAX and isinstance(args[0], Tensor) and args[0].ndim > 2:
            inner = call.name in self._softmax_modules and call.parent is not None
            (call.parent if inner else call).softmaxes += 1  # pyright: ignore

    @cached_property
    def _softmax_modules(self) -> set[str]:
        return {n for n, m in self.module.named_modules() if isinstance(m, nn.Softmax)}

    def attention(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the modules that attend, and of those that attend in one fused operation."""
        attending = frozenset(call.name for call in self.calls if call.attentions)
        return attending, frozenset(call.name for call in self.calls if call.fused)


class _AttentionWatch(TorchFunctionMode):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func, types, args=(), kwargs=None):  # pyright: ignore
        if func in _FUSED or func in _SOFTMAX or func in _PRODUCT:
            self.watch.note(func, args)
        return func(*args, **(kwargs or {}))


def _measure(run: Forward, calls: list[Call]) -> tuple[str, ...]:
    """Fill in `layout` and `moved` of what was seen, from the nine pictures."""
    known = {(c.name, c.index, s.item): s for c in calls for s in c.outputs}
    same: dict[GradientEdge, RecordedTensor] = {}
    apart: dict[Any, list[Tensor]] = {}  # what single pictures gave, where they go alone

    def look(now: RecordedTensor, tensor: Tensor) -> None:
        seen = known.get((now.call.name, now.call.index, now.item))
        if seen is not None and run.alone and tensor.shape[:1] == (1,):
            parts = apart.setdefault((now.call.name, now.call.index, now.item), [])
            parts.append(tensor.detach().clone())
            tensor = torch.cat(parts) if len(parts) == 9 else tensor
        if seen is None or not seen.named or tensor.shape[:1] != (9,):
            return
        twin = same.setdefault(seen.edge, seen) if seen.edge is not None else seen
        if twin is seen:
            found = locate(tensor, run.size)
            seen.layout, seen.moved = found if found else (None, None)
        else:
            seen.layout, seen.moved = twin.layout, twin.moved

    try:
        for pictures in run.pictures(9).split(1 if run.alone else 9):
            with torch.no_grad(), _slow_path(), _Watch(run.module, look).running():
                run.call(run.module, pictures)
    except Exception as error:
        said = first_line(error.__cause__ or error)
        return (
            f"the network failed on nine test pictures ({said}); layouts were read from shapes",
        )
    return ()


def _settle(calls: list[Call], paths: Paths | None, size: tuple[int, int]) -> None:
    """Keep firm layouts; where locality is weak, inherit from an earlier tensor, or read the shape
    of a cut.
    """
    firm: dict[tuple[int, ...], Layout] = {}
    for seen in sorted((s for c in calls for s in c.outputs), key=lambda s: s.time):
        found, seen.layout = seen.layout, None
        key = tuple(seen.shape[1:2] if len(seen.shape) == 3 else seen.shape[1:])
        if found is not None and found.style == "moved":
            seen.elsewhere = True
        elif found is not None and is_firm(found):
            seen.layout = firm[key] = found
        elif seen.named and key in firm and len(seen.shape) in (3, 4, 5):
            score = found.score if found is not None else 0.0
            seen.layout = replace(firm[key], score=score, verified=False)
        elif seen.named and paths and seen.edge is not None and paths.is_cut(seen.edge):
            seen.layout = layout_by_shape(seen.shape, size)


def _tensors(value: Any, depth: int = 0) -> list[tuple[int | None, bool, Tensor]]:
    """Tensors in what a module takes or returns: (place in a tuple, whether an address reaches it,
    tensor).
    """
    if isinstance(value, Tensor):
        return [(None, depth == 0, value)]
    if isinstance(value, Mapping):
        return [(None, False, t) for v in value.values() for _, _, t in _tensors(v, 2)]
    if not isinstance(value, (list, tuple)) or depth > 3:
        return []
    found = []
    for i, part in enumerate(value):
        if isinstance(part, Tensor):
            found.append((i, depth == 0, part))
        else:
            found.extend((None, False, t) for _, _, t in _tensors(part, depth + 1))
    return found


def _apart(output: Any) -> Any:
    """What a module returns, each tensor of several a clone: what it used inside is another tensor.

    Some modules return what nobody takes, or one tensor twice; reading it there would read nothing.
    """
    if type(output) not in (list, tuple) or len(output) < 2:
        return output
    return type(output)(v.clone() if isinstance(v, Tensor) else v for v in output)


def _checked(scores: Any, count: int) -> Tensor:
    if not isinstance(scores, Tensor) or not scores.ndim or len(scores) != count:
        what = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise BadModel(
            f"the network returned {what} for {count} pictures; one row of scores per picture"
            " was expected. Pass `output=`, a function that selects the scores."
        )
    return scores


@contextmanager
def _slow_path() -> Iterator[None]:
    """PyTorch's fused transformer layers run no module inside; without them every module runs."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
