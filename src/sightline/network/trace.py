"""The only door to activations: read layers, edit them (one may become many), rewrite backwards.

Everything that is put into a network here comes out in one `finally`. What is recorded is passed on
as a clone, because an in-place operation after the layer would overwrite the record. Layer
addresses: a name from `named_modules()`; `name:1` is its second call in one forward (a bare name is
the last call); `name[0]` is the first tensor of a tuple; `input` is the picture.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NotExplainable, UnknownName, near
from ..ops.rules import Rule
from .calling.failures import refuse_scripted
from .calling.forward import Calling
from .costs import nothing_spent, spend, uncounted
from .tracing.layouts import Layout, from_maps, to_maps
from .tracing.operations import Rewriting
from .tracing.passes import Pass
from .tracing.prefix_replay import Address, Prefix, item_of, with_item
from .tracing.rows import refuse_folded, refuse_infinite

Edit = Callable[[Tensor], Tensor]
Masks = Mapping[str, Tensor]
_COPIES = 2 << 20  # values of edited maps in one pass


@dataclass(frozen=True)
class Fan:
    """Turn each image's maps into `n` copies: `make(maps, part)` gives the copies `part` (a slice
    of 0..n).

    maps is one image's, (1, filter, row, col); what comes back is (copies, filter, row, col).
    sketch: what runs before the layer sees every fourth row and column of the image, and nothing
    is proven: nearly free, for copies made without `maps` and held against something that is known.
    """

    n: int
    make: Callable[[Tensor, slice], Tensor]
    sketch: bool = False


@dataclass(eq=False)
class Trace(Pass):
    """One pass through the network: its `output`, the layers read, and the way back from a score to
    a layer.

    raw: each layer's own tensor. rows (n,): the image of the batch that each row is a copy of.
    """

    images: Tensor
    output: Any  # a tensor of scores, or what a detector returns
    raw: dict[str, Tensor]
    layouts: Mapping[str, Layout]
    rows: Tensor
    spent: dict[str, int] = field(default_factory=nothing_spent)
    remembered: dict[Any, Tensor] = field(default_factory=dict)
    gives: str = "logits"

    def __repr__(self) -> str:
        return f"<Trace: {len(self.rows)} rows, read: {', '.join(self.raw) or 'nothing'}>"

    @property
    def maps(self) -> "_Maps":
        """Each layer that was read, as (batch, filter, row, col) whatever its layout."""
        return _Maps(self)

    def alone(self, row: int | None = None) -> "Trace":
        """One row as if it were the only image; None: every row as an image of its own."""
        if row is None:
            return replace(self, rows=torch.arange(len(self.rows), device="cpu"), remembered={})
        one = slice(row, row + 1)
        raw = {name: value[one] for name, value in self.raw.items()}
        rows = torch.zeros(1, dtype=torch.long, device="cpu")
        return replace(self, output=self.output[one], raw=raw, rows=rows, remembered={})

    def layout(self, layer: str) -> Layout:
        if layer == "input":
            return Layout("nchw")
        if layer not in self.layouts:
            raise NotExplainable(
                f"the output of {layer!r}, {tuple(self.raw[layer].shape)}, has no spatial"
                " layout, so there is no map to draw. `sightline inspect` lists the spatial"
                " layers."
            )
        return self.layouts[layer]

    def grad(
        self, score: Tensor, layer: str, mask: Masks | None = None, *, last: bool = False
    ) -> Tensor:
        """d `score` / d maps of `layer`, (batch, filter, row, col), any number of times; with
        `last` for the last time: the memory of the pass is given back on the way.

        mask multiplies what arrives at a layer (as maps) in this backward pass alone.

        Raises: NotExplainable when the score does not depend on the layer.
        """
        raw = self._recorded(layer)
        if not score.requires_grad:
            raise NotExplainable(
                f"no gradient flows back from the score to {layer!r}: the score does not depend"
                " on it, or the network cuts the graph after it (`no_grad`, `detach`, whole"
                " numbers). Use rise."
            )
        hooks = [
            self._recorded(name).register_hook(lambda g, m=m, n=name: self._masked(g, m, n))
            for name, m in (mask or {}).items()
        ]
        try:
            spend(self.spent, backward=len(raw))
            (grad,) = torch.autograd.grad(
                score.sum(), raw, retain_graph=not last, allow_unused=True
            )
        finally:
            for hook in hooks:
                hook.remove()
        if grad is None:
            raise NotExplainable(f"the target does not depend on layer {layer!r}.")
        return _full(to_maps(grad, self.layout(layer)))

    def gradient(self, target: Any, layer: str, *, last: bool = False) -> Tensor:
        """d target / d maps of `layer`; asked twice, it is computed once. last: as in `grad`."""
        key = (target.key, layer)
        if key not in self.remembered:
            self.remembered[key] = self.grad(target.score(self), layer, last=last)
        return self.remembered[key]

    def _masked(self, grad: Tensor, mask: Tensor, layer: str) -> Tensor:
        layout = self.layout(layer)
        return from_maps(to_maps(grad, layout) * mask, grad, layout)

    def _recorded(self, layer: str) -> Tensor:
        if layer not in self.raw:
            raise UnknownName(
                f"layer {layer!r} was not read; read: {', '.join(self.raw) or 'none'}."
            )
        return self.raw[layer]


class _Maps(Mapping[str, Tensor]):
    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __getitem__(self, layer: str) -> Tensor:
        maps = _full(to_maps(self._trace._recorded(layer), self._trace.layout(layer)))
        refuse_infinite(maps, layer)
        return maps

    def __iter__(self) -> Iterator[str]:
        return iter(self._trace.raw)

    def __len__(self) -> int:
        return len(self._trace.raw)


@dataclass
class Circuit:
    """A network that can be traced: the module that runs, how to run it, and how its layers are
    laid out.

    run: (images, rows) -> output, normalising inside. Layers are those of `module`.
    """

    module: nn.Module
    run: Callable[[Tensor, Tensor], Any]
    layouts: Mapping[str, Layout]
    spent: dict[str, int] = field(default_factory=nothing_spent)
    chunk: int = 16
    fans: dict[str, str] = field(default_factory=dict)
    calling: Calling | None = None
    _found: dict[str, nn.Module] = field(default_factory=dict)

    @property
    def gives(self) -> str:
        return self.calling.gives if self.calling else "logits"

    def layer(self, address: str) -> nn.Module:
        """The module behind an address. Raises: UnknownName with near names."""
        if not self._found:
            self._found = dict(self.module.named_modules())
        name = Address.of(address).name
        if name not in self._found or not name:
            names = [n for n in self._found if n]
            raise UnknownName(
                f"no layer named {address!r}{near(name, names)} `model.layers` lists all."
            )
        return self._found[name]

    def trace(
        self,
        images: Tensor,
        read: Sequence[str],
        edit: Mapping[str, Edit | Fan],
        rules: Sequence[Rule],
        rows: Tensor,
    ) -> Trace:
        """One pass over `images` with everything asked for put in, and taken out again.

        The pictures are a leaf of the graph where `"input"` is read and gradients are on.
        """
        if rules or any(name != "input" for name in (*read, *edit)):
            refuse_scripted(self.module)
        fans = {name: change for name, change in edit.items() if isinstance(change, Fan)}
        if fans and (len(edit) > 1 or read or rules):
            raise NotExplainable("a Fan is the only edit of its pass, without `read` and `rules`.")
        images = images.detach()
        if self.calling and any(name != "input" for name in (*read, *edit)):
            self.calling.refuse_company(len(images))
        for name, fan in fans.items():
            if fan.sketch:
                return self._sketched(images, name, fan, rows)
            if trouble := self.fan_trouble(images[:1], name, rows[:1]):
                raise NotExplainable(trouble)
            return self._fan(images, name, fan, rows)
        if "input" in read and torch.is_grad_enabled():
            images = images.clone().requires_grad_()
        raw: dict[str, Tensor] = {}
        with ExitStack() as stack:
            for address in read:
                if address == "input":
                    raw["input"] = images
                else:
                    stack.enter_context(self._recording(address, raw))
            for address, change in edit.items():
                assert not isinstance(change, Fan)
                stack.enter_context(self._editing(address, change, len(images)))
            if rules:
                running = stack.enter_context(self._naming())
                stack.enter_context(Rewriting(rules, lambda: running[-1]))
            spend(self.spent, forward=len(images))
            output = self.run(images, rows)
        for address in (*read, *edit):
            if address not in raw and address in read:
                raise NotExplainable(
                    f"layer {address!r} exists but did not run by itself (it may be inside a"
                    " fused block, or be called fewer times); read the module around it."
                )
        for address, value in raw.items():
            refuse_folded(value, address, len(images))
        return Trace(images, output, raw, self.layouts, rows, self.spent, gives=self.gives)

    def _sketched(self, images: Tensor, address: str, fan: Fan, rows: Tensor) -> Trace:
        """Copies behind `address`, with a small picture in front. Raises: NotExplainable where the
        network does not take one."""
        try:
            return self._fan(images[..., ::4, ::4].contiguous(), address, fan, rows)
        except Exception as error:  # networks refuse sizes with errors of all kinds
            raise NotExplainable(f"{address!r} cannot be sketched: {error}") from error

    def fan_trouble(self, image: Tensor, address: str, rows: Tensor) -> str:
        """Why copies behind `address` are not exact, or nothing; tried once with three copies.

        Equal copies would hide mixing between them, so each has another stripe of places halved.
        """
        if address not in self.fans:
            probe = Circuit(self.module, self.run, self.layouts)
            edits = [_halved(i) for i in range(3)]
            fan = Fan(3, lambda maps, part: torch.cat([e(maps) for e in edits[part]]))
            try:
                with torch.no_grad(), uncounted():
                    together = probe._fan(image, address, fan, rows).output
                    apart = [probe.trace(image, (), {address: e}, (), rows).output for e in edits]
                error = (together - torch.cat(apart)).abs().max() / together.std().clamp(min=1e-6)
                wrong = f"copies differ from single runs by {error:.1g} of the scores' spread"
                self.fans[address] = "" if error < 1e-3 else f"after {address!r}, {wrong}."
            except NotExplainable as error:
                self.fans[address] = str(error)
        return self.fans[address]

    def _fan(self, images: Tensor, address: str, fan: Fan, rows: Tensor) -> Trace:
        """The part of the network after `address` on `fan.n` copies of each image, the part before
        it run once per image.

        Raises: NotExplainable where the network has the batch size in a Python number.
        """
        outputs, origin = [], []
        for i in range(len(images)):
            prefix = Prefix(self, address)
            spend(self.spent, forward=1)
            with torch.no_grad():
                maps = prefix.record(images[i : i + 1], rows[i : i + 1])
            chunk = max(self.chunk, _COPIES // maps.numel())
            for start in range(0, fan.n, chunk):
                part = slice(start, min(start + chunk, fan.n))
                spend(self.spent, copies=part.stop - part.start)
                copies = fan.make(maps, part)
                outputs.append(prefix.run(images[i : i + 1], rows[i : i + 1], copies))
            origin.append(rows[i : i + 1].expand(fan.n))
        output, rows = torch.cat(outputs), torch.cat(origin)
        return Trace(images, output, {}, self.layouts, rows, self.spent, gives=self.gives)

    @contextmanager
    def _recording(self, address: str, raw: dict[str, Tensor]) -> Iterator[None]:
        spot, graph = Address.of(address), torch.is_grad_enabled()
        calls = 0

        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            nonlocal calls
            calls += 1
            if spot.call is not None and calls - 1 != spot.call:
                return None
            value = item_of(output, spot, address)
            with torch.inference_mode(False), torch.set_grad_enabled(graph):  # a network may leave
                if graph and not value.requires_grad and value.is_floating_point():
                    value = (value.clone() if value.is_inference() else value).detach()
                    value.requires_grad_()
                raw[address] = value
                return with_item(output, spot, value.clone())

        handle = self.layer(address).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _editing(self, address: str, change: Edit, count: int) -> Iterator[None]:
        spot = Address.of(address)
        wanted = self._last_call(spot)
        calls = 0
        ran = False

        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            nonlocal calls, ran
            calls += 1
            if wanted is not None and calls - 1 != wanted:
                return None
            ran = True
            value = item_of(output, spot, address)
            refuse_folded(value, address, count)
            return with_item(output, spot, self.edited(value, address, change))

        handle = self.layer(address).register_forward_hook(hook)
        try:
            yield
            if not ran:
                raise NotExplainable(
                    f"layer {address!r} exists but did not run, so it cannot be edited."
                )
        finally:
            handle.remove()

    def _last_call(self, spot: Address) -> int | None:
        """The call that an address means; None where the module runs once."""
        known = [Address.of(name) for name in self.layouts]
        calls = [a.call for a in known if a.name == spot.name and a.call is not None]
        return spot.call if spot.call is not None else max(calls, default=None)

    def edited(self, value: Tensor, address: str, change: Edit) -> Tensor:
        """`value` with its maps changed and its prefix tokens as they were."""
        layout = self.layouts.get(address)
        if layout is None:
            raise NotExplainable(
                f"layer {address!r} has no spatial layout, so it has no maps to edit."
            )
        return from_maps(change(to_maps(value, layout).clone()), value, layout)

    @contextmanager
    def _naming(self) -> Iterator[list[str]]:
        """A list whose last entry is the name of the module that is running."""
        running = [""]
        handles = []
        for name, module in self.module.named_modules():
            handles.append(module.register_forward_pre_hook(lambda *_, n=name: running.append(n)))
            drop = lambda *_: running.__delitem__(-1)  # noqa: E731
            handles.append(module.register_forward_hook(drop, always_call=True))
        try:
            yield running
        finally:
            for handle in handles:
                handle.remove()


def _full(maps: Tensor) -> Tensor:
    """Half-precision maps in float32: sums over them need it."""
    return maps.float() if maps.dtype in (torch.bfloat16, torch.float16) else maps


def first_exact_fan(run: Callable[[dict[str, Fan]], Any], layers: Sequence[str]) -> str | None:
    """The first of `layers` after which batched copies of one image are exact, or None."""
    for name in layers:
        with suppress(NotExplainable):
            run({name: Fan(1, lambda maps, part: maps)})
            return name
    return None


def _halved(index: int) -> Edit:
    def edit(maps: Tensor) -> Tensor:
        weight = torch.ones(maps.shape[2:], device=maps.device, dtype=maps.dtype)
        (weight if weight.shape[1] > 2 else weight.T)[:, index::3] = 0.5
        return maps * weight

    return edit
