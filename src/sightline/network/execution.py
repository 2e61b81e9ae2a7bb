"""The private copy of a network that does the work: folded, channels-last, frozen, maybe bfloat16.

The user's module is never changed. The copy is compared with the original on one batch and given up
where they differ; it is stale when weights change (network/weight_changes.py). What is
folded: network/folding.py.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadModel
from .calling.failures import refuse_lazy
from .calling.forward import Calling
from .folding import TOLERANCE, Pair, build, difference, fold, pairs
from .pace import bfloat16_pays, measure_batch
from .startup_checks import StartupChecks
from .unharmed import digest, unharmed
from .weight_changes import Watch

Run = Callable[[nn.Module, Tensor], Tensor]  # (module, images) -> scores (batch, class)
Plan = tuple[list[Pair], torch.memory_format]  # what is folded, and how weights are laid out

FAST_TOLERANCE = 0.1  # of the standard deviation of the logits
FAST_COSINE = 0.99  # of gradients
LONG = 2000  # evaluations from which measuring the batch size pays: it costs 56 and gains 5 %

PRECISIONS = ("exact", "fast")

_CAST = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check_precision(precision: str) -> str:
    """The precision. Raises: BadModel for one that does not exist."""
    if precision not in PRECISIONS:
        raise BadModel(f"precision is 'exact' or 'fast'; got {precision!r}.")
    return precision


@dataclass(frozen=True, kw_only=True, eq=False)
class ExecutionCopy:
    """Which network may run in place of the user's, and for what?

    module: runs like the user's module, with its layer names; float32 in and out, also when `fast`.
    folded_convolutions: layers that return something else here; read them on the user's module.
    """

    module: nn.Module
    folded_convolutions: frozenset[str]
    folded_norms: frozenset[str]
    watch: Watch
    plan: Plan

    @classmethod
    def of(cls, module: nn.Module, example: Tensor, run: Run) -> "ExecutionCopy | None":
        """The copy of a module, or None where there is no equal one; `attempt` also says why."""
        return cls.attempt(module, example, run)[0]

    @classmethod
    def attempt(
        cls, module: nn.Module, example: Tensor, run: Run, known: Plan | None = None
    ) -> tuple["ExecutionCopy | None", str]:
        """The copy, or None and the reason. Call it with the module in evaluation mode.

        example: a few images as `run` takes them; two show more than one. known: the plan of a
        network built alike, which saves looking for one and is proven like any other.
        """
        weights = frozenset(map(id, module.parameters()))
        if not weights or any(isinstance(m, torch.jit.ScriptModule) for m in module.modules()):
            return (
                None,
                "a part of the network is scripted" if weights else "the network has no weights",
            )
        watch = Watch.over(module)
        with torch.no_grad():
            wanted = run(module, example)
            if not isinstance(wanted, Tensor):
                return None, f"the network returns {type(wanted).__name__}, not a tensor"
            try:
                twin = _twin(module)
            except Exception as error:  # whatever a user's attributes raise
                return None, f"the network cannot be copied ({_said(error)})"
            if known is not None:
                copy = _built(twin, known)
                if not _refusal(copy, wanted, example, run):
                    return cls._proven(copy, known, watch), ""
                twin = _twin(module)
            found, shared = pairs(twin, lambda: run(twin, example), weights)
            if shared:
                return None, "a copy of the network still uses the weights of the original"
            reason = ""
            for i, plan in enumerate(_plans(found)):
                copy = _built(twin if i == 0 else _twin(module), plan)
                reason = _refusal(copy, wanted, example, run)
                if not reason:
                    return cls._proven(copy, plan, watch), ""
        return None, reason

    @classmethod
    def _proven(cls, module: nn.Module, plan: Plan, watch: Watch) -> "ExecutionCopy":
        folded, _ = plan
        return cls(
            module=module,
            folded_convolutions=frozenset(name for pair in folded for name in pair.unreadable),
            folded_norms=frozenset(pair.norm for pair in folded),
            watch=watch,
            plan=plan,
        )

    def fresh(self, module: nn.Module) -> bool:
        """Whether `module` is still the network that was copied, weight for weight."""
        return self.watch.unchanged(module)

    def serves(self, layers: Sequence[str]) -> bool:
        """Whether these layer addresses (`name`, `name:1`, `name[0]`) mean the same on the copy."""
        return self.folded_convolutions.isdisjoint(map(_module_name, layers))

    def fast(self, example: Tensor, run: Run) -> tuple["ExecutionCopy | None", str]:
        """A bfloat16 copy of this one, or None and the reason: hardware, or error on these images.

        By autocast, so layer norms and softmax keep float32: as fast as casting everything, and on
        transformers half the error.
        """
        device = next(self.module.parameters()).device.type
        if not bfloat16_pays(device):
            return None, f"bfloat16 is not faster than float32 on this {device}"
        module = deepcopy(self.module)
        for part in module.modules():
            if type(part) in _CAST:
                part.to(torch.bfloat16)
        module.forward = partial(_autocast, device, module.forward)
        try:
            with torch.no_grad():
                error = difference(run(self.module, example), run(module, example))
        except Exception as problem:  # an operation without a bfloat16 kernel
            return None, f"the network does not run in bfloat16 ({_said(problem)})"
        if not error <= FAST_TOLERANCE:
            return None, (
                f"bfloat16 moves the logits by {error:.2g} of their standard deviation,"
                f" above {FAST_TOLERANCE}"
            )
        return replace(self, module=module), ""

    def agrees(self, other: "ExecutionCopy", layer: str, example: Tensor, run: Run) -> bool:
        """Whether gradients of the top class at `layer` are alike in both (a cosine above 0.99).

        layer: a layer address, or "input". Asked before gradients of a fast copy are used.
        """
        with torch.no_grad():
            top = run(self.module, example).flatten(1).argmax(1, keepdim=True)
        try:
            found = [_gradient(copy.module, layer, (example, top), run) for copy in (self, other)]
        except (RuntimeError, IndexError, AttributeError):  # not differentiable, not one tensor
            return False
        return bool((torch.cosine_similarity(found[0], found[1]) > FAST_COSINE).all())


def _twin(module: nn.Module) -> nn.Module:
    """A frozen deep copy in evaluation mode; without `eval()`, where adapters merge weights."""
    twin = deepcopy(module)
    for part in twin.modules():
        part.training = False
    for weight in twin.parameters():
        weight.requires_grad_(False)
        weight.grad = None
    return twin


def _plans(found: list[Pair]) -> Iterator[Plan]:
    for folded in [found, []] if found else [[]]:
        for layout in (torch.channels_last, torch.contiguous_format):
            yield folded, layout


def _built(copy: nn.Module, plan: Plan) -> nn.Module:
    """Weights and images in one layout, which convolutions pass on.

    Measured on ResNet-18 and -50 (Xeon, AMX): the best at every batch size, 1 included.
    """
    folded, layout = plan
    for pair in folded:
        fold(copy, pair)
    for part in copy.modules():
        if isinstance(part, nn.Conv2d) and part._parameters.get("weight") is not None:
            part.weight.data = part.weight.data.contiguous(memory_format=layout)
    copy.forward = partial(_laid_out, layout, copy.forward)
    return copy


def _laid_out(
    layout: torch.memory_format, forward: Callable[..., Any], *inputs: Any, **side: Any
) -> Any:
    turned = (
        x.contiguous(memory_format=layout) if isinstance(x, Tensor) and x.ndim == 4 else x
        for x in inputs
    )
    return forward(*turned, **side)


def _refusal(copy: nn.Module, wanted: Tensor, example: Tensor, run: Run) -> str:
    try:
        error = difference(wanted, run(copy, example))
    except Exception as problem:  # a `view` that the other layout does not allow
        return f"the copy does not run ({_said(problem)})"
    if error <= TOLERANCE:
        return ""
    return f"the copy differs by {error:.2g} of the logits' standard deviation"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _gradient(module: nn.Module, layer: str, aimed: tuple[Tensor, Tensor], run: Run) -> Tensor:
    """The gradient at a layer, (batch, number); aimed: images and the class (batch, 1) of each."""
    example, classes = aimed
    at: list[Tensor] = []

    def keep(part: nn.Module, given: Any, output: Any) -> Tensor:
        at.append(output if output.requires_grad else output.detach().requires_grad_())
        return at[0].clone()  # the network may write into it

    name = _module_name(layer)
    with torch.enable_grad():
        images = example.detach().clone().requires_grad_(name == "input")
        hook = None if name == "input" else module.get_submodule(name).register_forward_hook(keep)
        try:
            score = run(module, images).flatten(1).gather(1, classes).sum()
        finally:
            if hook:
                hook.remove()
        (found,) = torch.autograd.grad(score, at[0] if hook else images)
    return found.flatten(1).double()


def _module_name(layer: str) -> str:
    return layer.split(":")[0].split("[")[0]


def _autocast(device: str, forward: Callable[..., Any], *inputs: Any, **side: Any) -> Any:
    with torch.autocast(device, torch.bfloat16):
        return _floats(forward(*inputs, **side))


def _floats(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype is torch.bfloat16 else value
    if type(value) in (list, tuple):
        return type(value)(map(_floats, value))
    if type(value) is dict:
        return {key: _floats(part) for key, part in value.items()}
    return value


class Engine:
    """Which network runs a pass: a proven copy where it means the same, else the user's own.

    run: (module, images) -> scores. A copy is tried again only when the weights have changed.
    fans: why copies behind a layer are not exact, or nothing, for the layers tried so far. checks:
    what other files found out, forgotten when the weights change. plans: how networks were
    copied, by their `build`; engines of networks built alike may share them. How a network is
    called is observed before anything else runs, and again when the weights change.
    """

    def __init__(self, run: Calling, plans: dict[tuple[Any, ...], Plan] | None = None) -> None:
        self.run, self._met = run, False
        self.plans = {} if plans is None else plans
        self.reasons: dict[str, str] = {}
        self._watch: Watch | None = None
        self._copies: dict[str, ExecutionCopy | None] = {}
        self._agreed: dict[str, bool] = {}  # by layer: gradients of the fast copy are admitted
        self._digest = ""
        self._paces: dict[tuple[Any, ...], int] = {}
        self.fans: dict[str, str] = {}
        self.checks = StartupChecks()

    @contextmanager
    def running(
        self, module: nn.Module, images: Tensor, layers: Sequence[str], precision: str
    ) -> Iterator[nn.Module]:
        """The network to run on `images`; `layers` are read or edited on it.

        precision: "exact", "fast", or "user" for the user's own network.
        """
        if precision == "user":
            self.meet(module, images)
        copy = None if precision == "user" else self._copy(module, images, layers, precision)
        if copy is None or not copy.serves(layers):
            with unharmed(module):
                yield module
            return
        state = torch.get_rng_state()
        try:
            yield copy.module
        finally:
            torch.set_rng_state(state)

    def pace(self, module: nn.Module, images: Tensor, precision: str, planned: int) -> int | None:
        """The fastest batch size for images like these; None where too few are planned to ask."""
        key = (precision, *images.shape[1:])
        if key not in self._paces and planned >= LONG:
            with self.running(module, images, (), precision) as runner, torch.no_grad():
                run = partial(self.run, runner)
                self._paces[key] = measure_batch(run, tuple(images.shape[1:]), images.device.type)
        return self._paces.get(key)

    def fast(self, module: nn.Module, images: Tensor) -> bool:
        """Whether there is a bfloat16 copy of the network as it is now; `checks` are then of it."""
        self._copy(module, images, (), "fast")
        return self._copies.get("fast") is not None

    def digest(self, module: nn.Module) -> str:
        """A fingerprint of the weights, computed again when they change."""
        self._renew(module)
        self._digest = self._digest or digest(module)
        return self._digest

    def says(self, module: nn.Module, images: Tensor) -> str:
        """What runs in place of the user's network, or why nothing does, as text."""
        copy = self._copy(module, images, (), "exact")
        if copy is None:
            return f"none: {self.reasons['exact']}"
        norms = len(copy.folded_norms)
        folded = f"{norms} batch norm{'s' * (norms != 1)} folded"
        return f"equal up to {TOLERANCE:g} of the scores' spread, {folded}"

    def meet(self, module: nn.Module, images: Tensor) -> None:
        """See to it that `run` knows how the network is called now."""
        self._renew(module)
        if not self._met:
            self._met = self.run.observe(module, images)

    def _renew(self, module: nn.Module) -> None:
        if self._watch is None or not self._watch.unchanged(module):
            refuse_lazy(module)
            self._watch, self._digest = Watch.over(module), ""
            self._copies, self._agreed = {}, {}
            self.checks.forget()
            self._met = False

    def _copy(
        self, module: nn.Module, images: Tensor, layers: Sequence[str], precision: str
    ) -> ExecutionCopy | None:
        self.meet(module, images)
        if "exact" not in self._copies:
            with unharmed(module), _plainly(images) as example:
                kind = build(module)
                made = ExecutionCopy.attempt(module, example, self.run, self.plans.get(kind))
            self._copies["exact"], self.reasons["exact"] = made
            if made[0] is not None:
                self.plans[kind] = made[0].plan
        exact = self._copies["exact"]
        if precision == "exact" or exact is None:
            return exact
        if "fast" not in self._copies:
            with _plainly(images) as example:
                made = exact.fast(example, self.run)
            self._copies["fast"], self.reasons["fast"] = made
        fast = self._copies["fast"]
        if fast is None or not torch.is_grad_enabled():
            return fast or exact
        for layer in set(layers) - set(self._agreed):
            with _plainly(images) as example:
                self._agreed[layer] = exact.agrees(fast, layer, example, self.run)
        return fast if all(self._agreed[layer] for layer in layers) else exact


@contextmanager
def _plainly(images: Tensor) -> Iterator[Tensor]:
    """Two images to compare networks on, outside of any precision that the caller has set."""
    with torch.autocast(images.device.type, enabled=False):
        yield torch.cat([images[:1], images[:1].flip(2, 3).roll(1, 2)]).detach()
