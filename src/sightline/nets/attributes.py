"""A class head and an attribute head on any backbone, both linear after a global average, so that
each class and each attribute has a class activation map.

Project definition, after the idea of "explainable attribute-based multi-task" networks (Xu et al.,
IEEE JSTSP 2020, arXiv:2009.13862), of which only the abstract was available: attributes as a second
task, a sentence of attributes, their grounding in the picture. Nothing here is the paper's design.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..artifact import Artifact, Tensors
from ..errors import BadModel
from ..model import Model
from ..network.tracing.layouts import Layout, to_maps
from ..shapes import AnyTensor, Images, Maps

RECIPE = "python -m sightline.recipes.attributes"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words that a head knows, and what it was made for.

    attributes: one name each. labels: the classes of `usual`. layer: whose maps are averaged.
    digest: the weights of the model that the head reads; empty for a network with its own head.
    model: its name, for messages.
    """

    attributes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    layer: str = "heads.maps"
    digest: str = ""
    model: str = ""


class Heads(nn.Module):
    """Class and attribute logits from maps (batch, filter, row, col): average, then linear.

    names: of the attributes, where they are known. usual: (attribute, class) how an attribute goes
    with a class in the training data, a correlation; zeros until it is known.
    """

    usual: Tensor

    def __init__(
        self, filters: int, classes: int, attributes: int, names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.maps = nn.Identity()
        self.classes = nn.Linear(filters, classes)
        self.attributes = nn.Linear(filters, attributes)
        self.register_buffer(
            "usual", torch.zeros(attributes, classes, dtype=torch.float32, device="cpu")
        )

    @property
    def tensors(self) -> dict[str, AnyTensor]:
        """The attribute head alone, as a file of HEADS holds it, in float32."""
        held = {
            "weight": self.attributes.weight,
            "bias": self.attributes.bias,
            "usual": self.usual,
        }
        return {name: value.float() for name, value in held.items()}

    def forward(self, maps: Maps) -> dict[str, AnyTensor]:
        """`logits` (batch, class), `attributes` (batch, attribute), and the `maps` themselves."""
        maps = self.maps(maps)
        pooled = maps.mean((2, 3))
        logits, attributes = self.classes(pooled), self.attributes(pooled)
        return {"logits": logits, "attributes": attributes, "maps": maps}


class AttributeNet(nn.Module):
    """A backbone of any kind with both heads on one of its layers.

    The layer's output is taken while the backbone runs; what follows it there is not used. layer:
    its name, `name:1` for its second call. Make one with `attribute_net`.
    """

    def __init__(self, backbone: nn.Module, layer: str, layout: Layout, heads: Heads) -> None:
        super().__init__()
        self.backbone, self.heads = backbone, heads
        self.layer, self.layout = layer, layout

    def spatial(self, images: Images) -> Maps:
        """The layer's maps, (batch, filter, row, col)."""
        name, _, call = self.layer.partition(":")
        seen: list[Tensor] = []
        handle = self.backbone.get_submodule(name).register_forward_hook(
            lambda module, given, out: seen.append(out.clone())  # an in-place ReLU may follow
        )
        try:
            self.backbone(images)
        finally:
            handle.remove()
        return to_maps(seen[int(call or 0)], self.layout)

    def forward(self, images: Images) -> dict[str, AnyTensor]:
        return self.heads(self.spatial(images))


def attribute_net(
    model: Model, classes: int, names: Sequence[str], size: tuple[int, int] | None = None
) -> AttributeNet:
    """Both heads, with fresh weights, on the last spatial layer of the model, whose network is
    shared, not copied.

    Raises: NotExplainable where the model has no spatial layer, BadModel where it has one output of
    a call that returns several.
    """
    sides = size or model.size or (224, 224)
    found = model.study(sides)
    layer = found.spatial or model.spatial  # the latter says why there is none
    if "[" in layer:
        raise BadModel(
            f"{model.name}: its last spatial layer, {layer}, is one of several outputs of a module;"
            " wrap the part before it as a module that returns one tensor."
        )
    example = torch.zeros(1, found.channels, *sides, device=model.device, dtype=torch.float32)
    with torch.no_grad(), model.unharmed():
        filters = model.trace(example, read=(layer,)).maps[layer].shape[1]
    heads = Heads(filters, classes, len(names), names).to(model.device)
    return AttributeNet(model.module, layer, found.layouts[layer], heads)


@dataclass(frozen=True, eq=False)
class Reader:
    """The attributes of a model, however it has them.

    layer: whose maps are averaged. weight (attribute, filter), bias (attribute,), usual (attribute,
    class or 0). names: of the attributes. own: whether the head is part of the model's network.
    """

    layer: str
    names: Sequence[str]
    weight: Tensor
    bias: Tensor
    usual: Tensor
    own: bool = False

    def logits(self, maps: Maps) -> Float[Tensor, "batch attribute"]:
        """(batch, attribute) from the layer's maps."""
        return maps.float().mean((2, 3)) @ self.weight.T + self.bias

    def class_maps(self, maps: Maps) -> Float[Tensor, "batch attribute mrow mcol"]:
        """Each attribute's map (batch, attribute, row, col): its mean is the logit less bias."""
        return torch.einsum("kd,bdij->bkij", self.weight, maps.float())

    def correlation(self, index: int | None) -> Float[Tensor, " attribute"]:
        """How each attribute goes with a class, in [-1, 1]; zeros where that is not known."""
        known = index is not None and index < self.usual.shape[1]
        return (
            self.usual[:, index]
            if known
            else torch.zeros(len(self.names), dtype=torch.float32, device="cpu")
        )


def own_reader(model: Model, names: Sequence[str] = ()) -> Reader | None:
    """The attributes that the model's own network predicts; None where it has no such head."""
    found = next(((n, m) for n, m in model.module.named_modules() if isinstance(m, Heads)), None)
    if found is None:
        return None
    name, heads = found
    count = heads.attributes.out_features
    told = tuple(names) or heads.names
    if told and len(told) != count:
        raise BadModel(f"{len(told)} names for the {count} attributes of {model.name}.")
    weight, bias = heads.attributes.weight, heads.attributes.bias
    return Reader(
        f"{name}.maps" if name else "maps",
        told or [f"attribute {k}" for k in range(count)],
        weight.detach().float(),
        bias.detach().float(),
        heads.usual.float(),
        own=True,
    )


def _built(words: Vocabulary, tensors: Tensors) -> Reader:
    weight, bias, usual = (tensors[name] for name in ("weight", "bias", "usual"))
    return Reader(words.layer, words.attributes, weight, bias, usual)


HEADS = Artifact(
    kind="attribute head",
    section="vocabulary",
    what="an attribute head",
    recipe=RECIPE,
    options="--model NAME --table CSV --head-only",
    facts=Vocabulary,
    build=_built,
    shipped="default-attributes.safetensors",
)
