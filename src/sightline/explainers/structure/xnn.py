"""XNN: a class's score as the sum of a few learned x-features, each with its heatmap.

Paper: Qi, Khorram and Li, "Embedding Deep Networks into Visual Explanations" (2017-2020; only the
abstract was available, the formulas are from memory). The autoencoder is in
nets/sparse_reconstruction.py, its training in recipes/x_features.py. Deviation, ours: a feature is
drawn by its own gradient in the last spatial layer, times the layer's maps, summed over filters (as
HiResCAM does with a class), in place of excitation back-propagation or I-GOS masks. Several classes
may share a file, each with its own autoencoder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable, SightlineError
from ...explainer import Explainer
from ...explanation import Explanation
from ...explanations.concepts import Concepts
from ...model import Model
from ...nets.x_features import X_FEATURES
from ...network.trace import Trace
from ...registry import register
from ...shapes import Images
from ...target import Class, Target
from ...targets.given import PerImage

NO_FOLDER = " (for sightline:default no folder is needed)"


@register("xnn", paper="project definition, after Qi, Khorram and Li (2017-2020)")
@dataclass(frozen=True, kw_only=True)
class XNN(Explainer):
    """Which few learned features add up to this class's score, and where is each?

    weights: a file that `python -m sightline.recipes.x_features` wrote for this very model. names:
    of its features, in order; empty calls them `feature 1`, ... examples: how many of each
    feature's strongest pictures are shown.

    Do not trust it where the residual is large: then the features do not make up this picture's
    score. They are learned from a few hundred pictures of one class and of similar classes, and
    have no meaning on other pictures. A feature need not correspond to one thing that has a name.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    gives: ClassVar[type[Explanation]] = Concepts

    weights: str | Path | None = None
    names: tuple[str, ...] = ()
    examples: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.weights, Path):
            object.__setattr__(self, "weights", str(self.weights))
        object.__setattr__(self, "names", tuple(self.names))
        if self.examples < 0:
            raise BadField(f"examples is a number of pictures, 0 or more; got {self.examples}.")

    def reads(self, model: Model) -> tuple[str, ...]:
        try:
            about = X_FEATURES.read(X_FEATURES.require(self.weights, model, self.registered_name))
            layers = dict.fromkeys((about.reading.spatial(model), about.layer))
        except SightlineError:  # `explain` says it, and other methods of the run go on
            return ()
        return tuple(layers) if about.digest == model.digest and about.fits(model) else ()

    def explain(self, model: Model, images: Images, target: Target) -> Concepts:
        path = X_FEATURES.require(self.weights, model, self.registered_name, NO_FOLDER)
        held, classes = X_FEATURES.load(path, model), _classes(target, len(images))
        held.about.check_layer(model, path.name)
        nets = [held.of(c, model.label(c), path.name) for c in classes]
        names = self._names(held.about.features)
        reading = held.about.reading
        place = reading.spatial(model)
        trace = model.trace(images, read=tuple(dict.fromkeys((place, reading.layer))))
        with torch.autocast(images.device.type, enabled=False):
            vectors = reading.vector(trace)
            rows = [net.encode(vectors[i : i + 1]) for i, net in enumerate(nets)]
            values = torch.cat(rows)
        told = [held.about.classes[c] for c in classes]
        return Concepts(
            called=[model.label(c) for c in classes],
            names=[names] * len(classes),
            values=values.detach(),
            weights=torch.stack([net.readout for net in nets]).detach(),
            offset=torch.stack([net.offset for net in nets]),
            score=Class(tuple(classes)).measure(trace).detach(),
            maps=_maps(trace, values, place),
            examples=[[list(e[: self.examples]) for e in t["examples"]] for t in told],
            trained=[t["reached"] for t in told],
            layer=reading.layer,
        )

    def _names(self, count: int) -> list[str]:
        if self.names and len(self.names) != count:
            raise BadField(f"{len(self.names)} names for {count} x-features; give one for each.")
        return list(self.names) or [f"feature {k + 1}" for k in range(count)]


def _classes(target: Target, count: int) -> list[int]:
    parts = target.targets if isinstance(target, PerImage) else (target,)
    if target.negated or any(part.negated or not isinstance(part, Class) for part in parts):
        raise NotExplainable(
            f"xnn adds up the score of a class, such as `Class(3)` or `Top()`; got {target!r}. Use"
            " grad-cam or integrated-gradients for other targets."
        )
    return [index for index in target.indices(count) if index is not None]


def _maps(trace: Trace, values: Tensor, place: str) -> Tensor:
    """Each feature's gradient times the maps of the layer, (batch, feature, row, col)."""
    maps = trace.maps[place].detach().float()
    grads = [trace.grad(values[:, k], place) for k in range(values.shape[1])]
    return torch.stack([(grad.float() * maps).sum(1) for grad in grads], 1).detach()
