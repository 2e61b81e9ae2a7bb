"""Files of x-features: one sparse reconstruction autoencoder for each class that was trained, the
layer of the model that they read, and their strongest examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..artifact import Artifact, Tensors, filled
from ..errors import BadModel, NotExplainable, UnknownName, near
from ..model import Model
from ..network.calling.modules import blank
from ..network.trace import Trace
from ..shapes import AnyTensor, Images
from .sparse_reconstruction import SparseReconstruction

RECIPE = "python -m sightline.recipes.x_features"
_LOOKED = 12  # modules before the classifier that are tried


@dataclass(frozen=True, kw_only=True)
class VectorLayer:
    """How a model's layer becomes one vector for each picture.

    pool: `mean` over the places of a spatial layer, `token` (the first one), or `vector` as it is.
    """

    layer: str
    pool: str = "mean"

    def vector(self, trace: Trace) -> Float[Tensor, "picture activation"]:
        """(picture, activation), float32, with its graph."""
        if self.pool == "mean":
            return trace.maps[self.layer].float().mean((2, 3))
        raw = trace.raw[self.layer].float()
        return raw[:, 0] if self.pool == "token" else raw.flatten(1)

    def spatial(self, model: Model) -> str:
        """The layer in which a feature can be drawn: its own, or the model's last spatial one."""
        return self.layer if self.pool == "mean" else model.spatial

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.layer,)


def vector_layer(model: Model, images: Images, layer: str | None = None) -> VectorLayer:
    """How `layer` is read; None is the vector before the classifier: the pooled last spatial layer
    where a linear head follows the pooling, otherwise the last vector (or class token) before the
    last linear layer. images: one or two that the model takes.

    Raises: UnknownName for a layer that does not exist, NotExplainable where there is no vector.
    """
    found = model.study((images.shape[2], images.shape[3]), images.shape[1])
    if layer is not None:
        if layer.split(":")[0].split("[")[0] not in model.layers:
            raise UnknownName(
                f"no layer named {layer!r}{near(layer, model.layers)} `model.layers` lists all."
            )
        made = _fitting(model, images, layer, token=False)
        if made is None:
            raise NotExplainable(
                f"layer {layer!r} of {model.name} gives neither a map nor one vector for each"
                " picture; choose another layer, or leave `layer` out for the vector before the"
                " classifier."
            )
        return made
    if found.head.startswith("pooled") and found.spatial is not None:
        return VectorLayer(layer=found.spatial)
    modules = [(n, m) for n, m in model.module.named_modules() if n and not any(m.children())]
    last = max((i for i, (_, m) in enumerate(modules) if isinstance(m, nn.Linear)), default=0)
    before = [name for name, _ in reversed(modules[max(0, last - _LOOKED) : last])]
    for token in (False, True):
        for name in before:
            made = _fitting(model, images, name, token=token)
            if made is not None and made.pool != "mean":
                return made
    raise NotExplainable(
        f"the vector before the classifier of {model.name} was not found (its head is"
        f" {found.head}); name the layer to read."
    )


def _fitting(model: Model, images: Tensor, layer: str, *, token: bool) -> VectorLayer | None:
    """The reading that the layer's output allows, or None. token: take the first of tokens."""
    try:
        with torch.no_grad():
            trace = model.trace(images[:1], read=(layer,))
    except NotExplainable:
        return None
    raw = trace.raw[layer]
    if raw.ndim == 2 or (raw.ndim == 4 and raw.shape[2:] == (1, 1)):
        return VectorLayer(layer=layer, pool="vector")
    if token:
        return VectorLayer(layer=layer, pool="token") if raw.ndim == 3 else None
    return VectorLayer(layer=layer) if layer in trace.layouts else None


@dataclass(frozen=True, kw_only=True)
class XFeatureFacts:
    """What a file of x-features is for: the layer, the sizes, and the model by its digest.

    classes: class number -> its `label`, what was `reached` on pictures that it had not seen, and
    `examples`, for each feature the pictures in which it is strongest.
    """

    layer: str
    pool: str
    size: int
    features: int
    hidden: tuple[int, ...]
    digest: str
    model: str
    classes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # Any: JSON

    @property
    def reading(self) -> VectorLayer:
        return VectorLayer(layer=self.layer, pool=self.pool)

    def fits(self, model: Model) -> bool:
        """Whether the model has the layer that is read."""
        return self.layer.split(":")[0].split("[")[0] in model.layers

    def check_layer(self, model: Model, file: str) -> None:
        """Raises: BadModel where the model lacks the layer that is read."""
        if not self.fits(model):
            raise BadModel(
                f"{file} reads the layer {self.layer!r}, which {model.name} does not"
                f" have{near(self.layer, model.layers)}"
            )

    @property
    def labels(self) -> list[str]:
        return [str(told["label"]) for told in self.classes.values()]


@dataclass(frozen=True, eq=False, kw_only=True)
class XFeatures:
    """The autoencoders of a file, by class number."""

    about: XFeatureFacts
    nets: Mapping[int, SparseReconstruction]

    @property
    def tensors(self) -> dict[str, AnyTensor]:
        """What a file holds, by name, in float32."""
        return {
            f"{index}.{name}": value.float()
            for index, net in self.nets.items()
            for name, value in net.state_dict().items()
        }

    def of(self, index: int | None, label: str, file: str) -> SparseReconstruction:
        """The class's autoencoder. Raises: NotExplainable where the file has none."""
        if index is None or index not in self.nets:
            raise NotExplainable(
                f"{file} holds x-features of {', '.join(self.about.labels)}; asked for {label}."
                f" Explain one of these, or train it with `{RECIPE} --label {label!r}`."
            )
        return self.nets[index]


def _facts(classes: Mapping[str, Mapping[str, Any]], **plain: Any) -> XFeatureFacts:  # Any: JSON
    return XFeatureFacts(classes={int(index): each for index, each in classes.items()}, **plain)


def _built(about: XFeatureFacts, tensors: Tensors) -> XFeatures:
    def empty() -> SparseReconstruction:
        return SparseReconstruction(about.size, about.features, about.hidden)

    nets = {index: filled(blank(empty), tensors, f"{index}.") for index in about.classes}
    return XFeatures(about=about, nets=nets)


X_FEATURES = Artifact(
    kind="x-features",
    section="about",
    what="a set of x-features",
    recipe=RECIPE,
    options="--model NAME --label CLASS --data FOLDER --out FILE",
    facts=_facts,
    build=_built,
)
