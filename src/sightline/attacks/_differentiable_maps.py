"""Differentiable maps: the same map as the explainer's, with its gradient to the picture.

`Explainer.explain` hands out maps without their graph, so an attack that bends a map needs its own
form of it. Four families are here, as in AdvEdge (arXiv:2211.15926) and ADV2 (Zhang et al., USENIX
Security 2020): class activation maps, the gradient (its rectifiers get a smooth derivative, since a
hard one has no second), the mask network, and the optimised mask (unrolled: a few steps of its own
descent, differentiated through). All other explainers are refused.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import NotExplainable
from ..explainer import Explainer
from ..explainers.mask.iterative_saliency import IterativeSaliency
from ..model import Model
from ..nets.masking import MaskingNetwork
from ..network.costs import spend
from ..network.trace import Trace
from ..network.tracing.layouts import to_maps
from ..network.tracing.prefix_replay import JOINT
from ..ops.rules import OperationCall, RecordAttention, Rule
from ..ops.similarity import stretched
from ..registry import available, entry
from ._unrolled import Unrolled

CELLS = 56  # a side of the gradient's map, as the authors' code compares it
SHARPNESS = 10.0  # of the smooth rectifier: its derivative is sigmoid(SHARPNESS x)


@dataclass(frozen=True)
class SmoothRectifier:
    """The rectifier's own value forward; backward the derivative of softplus, which has a second.

    A rectifier with a ceiling (ReLU6) gets the difference of two softplus.
    """

    operations: tuple[str, ...] = ("relu",)
    inside: tuple[str, ...] = ()
    sharpness: float = SHARPNESS

    def run(self, call: OperationCall) -> Tensor:
        x = call.inputs[0]
        ceiling = call.compute(torch.full((), 1e6, dtype=x.dtype, device=x.device))
        soft = functional.softplus(x, self.sharpness)
        soft = soft - functional.softplus(x - ceiling, self.sharpness)
        return soft + (call.compute(x) - soft).detach()


@dataclass
class DifferentiableMap(ABC):
    """One explainer's map of one picture, as a function that gradients pass through.

    reads, rules: what the pass that it looks at must record and rewrite.
    """

    reads: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def trace(self, model: Model, images: Tensor) -> Trace:
        """A pass that this map can be drawn from."""
        return model.trace(images, read=("input", *self.reads), rules=self.rules)

    def clean_map(self, model: Model, images: Tensor, index: int) -> Tensor:
        """The map of a clean picture for its own class, from 0 to 1."""
        return stretched(self.map(model, self.trace(model, images), index)).detach()

    def distance(self, model: Model, trace: Trace, index: int, wanted: Tensor) -> Tensor:
        """Mean squared difference (1,) of the map for a class, from 0 to 1, to the wanted one."""
        found = stretched(self.map(model, trace, index))
        return (found - wanted).square().mean((1, 2))

    @abstractmethod
    def map(self, model: Model, trace: Trace, index: int) -> Tensor:
        """The map (1, row, col) of the traced picture for a class, with its graph."""


@dataclass
class _CamMap(DifferentiableMap):
    mean: bool = True  # of the gradient over places
    keep_sign: bool = False

    def map(self, model: Model, trace: Trace, index: int) -> Tensor:
        found = sum(self._raw(trace, index, name) for name in self.reads)
        assert isinstance(found, Tensor)
        return found if self.keep_sign else found.relu()

    def _raw(self, trace: Trace, index: int, layer: str) -> Tensor:
        grads = _graphed(trace, trace.logits[:, index], trace.raw[layer])
        weights = to_maps(grads, trace.layout(layer)).float()
        weights = weights.mean((2, 3), keepdim=True) if self.mean else weights
        return (weights * trace.maps[layer]).sum(1)


@dataclass
class _GradientMap(DifferentiableMap):
    def map(self, model: Model, trace: Trace, index: int) -> Tensor:
        steep = _graphed(trace, trace.logits[:, index], trace.raw["input"]).float().abs().amax(1)
        rows, cols = steep.shape[-2:]
        return functional.adaptive_avg_pool2d(steep, (min(CELLS, rows), min(CELLS, cols)))


@dataclass
class _NetworkMask(DifferentiableMap):
    network: MaskingNetwork = field(kw_only=True)
    confidence: float = 0.0

    def map(self, model: Model, trace: Trace, index: int) -> Tensor:
        maps = [trace.maps[name] for name in self.network.blueprint.read]
        classes = torch.tensor([index], device=maps[0].device)
        return self.network(maps, classes, self.confidence)[:, 0]


@dataclass
class _UnrolledMask(DifferentiableMap):
    explainer: IterativeSaliency = field(kw_only=True)
    descent: Unrolled | None = None

    def clean_map(self, model: Model, images: Tensor, index: int) -> Tensor:
        return stretched(self._masks(model, images, index)).detach()

    def map(self, model: Model, trace: Trace, index: int) -> Tensor:
        if self.descent is None:
            start = self._masks(model, trace.images.detach(), index)
            self.descent = Unrolled(self.explainer, start, self.rules)
        return self.descent.advance(model, trace.raw["input"], index)

    def _masks(self, model: Model, images: Tensor, index: int) -> Tensor:
        found: Any = self.explainer(model, images, index)  # a Heatmap, as all masks are
        return found.native


def _graphed(trace: Trace, score: Tensor, leaf: Tensor) -> Tensor:
    spend(trace.spent, backward=len(leaf))
    (found,) = torch.autograd.grad(score.sum(), leaf, create_graph=True)
    return found


def _open(model: Model) -> tuple[Rule, ...]:
    """Fused attention has no second derivative; opened, it has."""
    return (RecordAttention(),) if model.anatomy.attention else ()


def _smooth(model: Model) -> tuple[Rule, ...]:
    return (SmoothRectifier(), *_open(model))


def _cam(explainer: Any, model: Model, mean: bool = True) -> DifferentiableMap:
    layers = tuple(explainer.layer_of(model).split(JOINT))
    return _CamMap(layers, _open(model), mean, explainer.keep_sign)


def _gradient(explainer: Any, model: Model) -> DifferentiableMap:
    return _GradientMap((), _smooth(model))


def _mask_network(explainer: Any, model: Model) -> DifferentiableMap:
    network = explainer.network(model)
    reads = network.blueprint.read
    return _NetworkMask(reads, (), network=network, confidence=explainer.confidence)


def _optimised_mask(explainer: Any, model: Model) -> DifferentiableMap:
    return _UnrolledMask((), _smooth(model), explainer=explainer)


FORMS: dict[str, Callable[[Any, Model], DifferentiableMap]] = {
    "cam": _cam,
    "cam with a weight per place": partial(_cam, mean=False),
    "gradient": _gradient,
    "mask network": _mask_network,
    "optimised mask": _optimised_mask,
}
"""Forms of a map that has a gradient; an explainer names its own as `differentiable_as`."""


def form_of(method: type[Explainer]) -> str:
    """The form that a class states for itself: a subclass may weigh its maps otherwise."""
    return vars(method).get("differentiable_as", "")


def differentiable_methods() -> list[str]:
    """The names of the explainers whose maps attacks can differentiate."""
    names = available("explainer")
    return [name for name in names if form_of(entry("explainer", name).cls) in FORMS]


def differentiable_map(explainer: Explainer, model: Model) -> DifferentiableMap:
    """The map of this explainer with its gradient. Raises: NotExplainable for all but the four
    families that have one."""
    make = FORMS.get(form_of(type(explainer)))
    if make is None:
        names = ", ".join(differentiable_methods())
        raise NotExplainable(
            f"{explainer.registered_name or type(explainer).__name__} gives no differentiable"
            f" map, which this attack needs; these do: {names}. Attack one of them and measure"
            " how far the attack transfers."
        )
    return make(explainer, model)
