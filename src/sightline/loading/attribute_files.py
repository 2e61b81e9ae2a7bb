"""Networks with attribute heads in files: written whole, and read as what a `Model` is made of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..artifact import Artifact, Tensors
from ..errors import BadModel
from ..model import Model
from ..nets import default
from ..nets.attributes import RECIPE, AttributeNet, Heads
from ..network.calling.modules import blank
from ..network.tracing.layouts import Layout
from ..pictures.preprocess import Preprocess
from .builders import LIBRARIES, ModelParts
from .same_padding import SamePadConv2d, pad_same


@dataclass(frozen=True, kw_only=True)
class AttributeNetFacts:
    """What rebuilds the network: the backbone's name and classes, the layer that the heads read,
    the words, and the preprocessing. padded: with TensorFlow's SAME padding.
    """

    backbone: str
    outputs: int
    layer: str
    layout: dict[str, Any]  # Any: the fields of a Layout
    filters: int
    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    preprocess: dict[str, Any] | None = None  # Any: the fields of a Preprocess
    padded: bool = False

    @property
    def digest(self) -> str:
        """Empty: the backbone is in the file itself."""
        return ""

    @property
    def model(self) -> str:
        return self.backbone

    @classmethod
    def of(
        cls,
        model: Model,
        backbone: str,
        net: AttributeNet,
        labels: Sequence[str],
        size: tuple[int, int],
    ) -> "AttributeNetFacts":
        """What the file of this network says. backbone: its name for `load`; size: of pictures."""
        known = model.preprocess if isinstance(model.preprocess, Preprocess) else None
        if known is not None and known.size != size:
            known = Preprocess(size=size, mean=known.mean, std=known.std)
        return cls(
            backbone=backbone.partition("?")[2].partition("arch=")[2].partition("&")[0] or backbone,
            outputs=model.anatomy.n_classes,
            layer=net.layer,
            layout=asdict(net.layout),
            filters=net.heads.classes.in_features,
            labels=tuple(labels),
            attributes=tuple(net.heads.names),
            preprocess=known.to_json() if known else None,
            padded=any(isinstance(m, SamePadConv2d) for m in net.backbone.modules()),
        )


def _built(about: AttributeNetFacts, tensors: Tensors) -> ModelParts:
    """Raises: BadModel for a backbone that cannot be built."""
    counts = (about.filters, len(about.labels), len(about.attributes))
    heads = blank(lambda: Heads(*counts, about.attributes))
    layout: dict[str, Any] = dict(about.layout)
    layout["grid"] = tuple(layout["grid"]) if layout["grid"] else None
    net = blank(lambda: AttributeNet(_backbone(about), about.layer, Layout(**layout), heads))
    net.load_state_dict(dict(tensors))
    fields = about.preprocess
    return ModelParts(net.eval(), Preprocess(**fields) if fields else None, list(about.labels))


def _backbone(about: AttributeNetFacts) -> torch.nn.Module:
    prefix, _, name = about.backbone.partition(":")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, then overwritten
        if prefix == "sightline":
            return default.build(name, about.outputs)
        if prefix not in LIBRARIES:
            raise BadModel(f"the backbone {about.backbone!r} cannot be built from its name.")
        given = {} if not about.outputs else {"num_classes": about.outputs}
        built = LIBRARIES[prefix].build(name, False, given)
        if about.padded:
            pad_same(built)
        return built


NETWORKS = Artifact(
    kind="attribute network",
    section="about",
    what="a network with attribute heads",
    recipe=RECIPE,
    facts=AttributeNetFacts,
    build=_built,
)
