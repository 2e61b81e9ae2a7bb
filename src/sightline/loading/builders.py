"""Networks of timm, torchvision and this package: built by name, with the preprocessing and labels
that they state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..artifact import WEIGHTS
from ..errors import BadField, BadModel, UnknownName, near
from ..nets import default
from ..pictures.preprocess import Preprocess, understand
from . import embedded
from .fetching import fetched

Fields = Mapping[str, Any]  # Any: what builders take, by keyword

_REMEDY = "Give a local file, `file:PATH?arch={}`, or take random weights with pretrained=False."
_INITIALISED_ON_REQUEST = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class ModelParts:
    """What a Model is made of.

    transform: a `Preprocess`, another library's transform, or None where tensors only are taken.
    notes: what had to be decided about the weights, in sentences.
    """

    module: nn.Module
    transform: Any = None  # Any: a transform of one of the libraries
    labels: list[str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """A library of builders.

    build: (name, pretrained, fields) -> module; name may end in `.TAG`, the weights meant.
    with_preprocessing: (name, module) -> ModelParts.
    """

    names: Callable[[], list[str]]
    build: Callable[[str, bool, Fields], nn.Module]
    with_preprocessing: Callable[[str, nn.Module], ModelParts]


def _timm_names() -> list[str]:
    import timm

    return timm.list_models()


def _build_timm(name: str, pretrained: bool, fields: Fields) -> nn.Module:
    import timm

    arch, _, tag = name.partition(".")
    _check_name("timm", arch, timm.list_models())
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{arch}.*")]
    _check_tag(f"timm:{arch}", tag, tags)
    if not pretrained:
        return _called(timm.create_model, name, {"pretrained": False, **fields})
    remedy = _REMEDY.format(f"timm:{arch}")
    if not timm.models.is_model_pretrained(arch):
        raise BadModel(f"timm:{arch} has no published weights. {remedy}")
    return fetched(lambda: timm.create_model(name, pretrained=True), f"timm:{name}", remedy)


def _timm_with_preprocessing(
    name: str, module: Any
) -> ModelParts:  # Any: timm's modules carry their configuration
    from timm.data.config import resolve_model_data_config
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
    from timm.data.transforms_factory import create_transform

    config = resolve_model_data_config(module)
    transform = create_transform(**config, is_training=False)
    transform = understand(transform) or transform
    channels = getattr(module, "in_chans", config["input_size"][0])
    if channels not in (1, 3):
        transform = None  # mean and std of such bands are nowhere: they are given, or tensors
    elif isinstance(transform, Preprocess) and channels == 1:
        transform = replace(transform, channels=1)
    labels = module.pretrained_cfg.get("label_names")
    subset = infer_imagenet_subset(module)
    if not labels and subset == "imagenet-1k":
        labels = _imagenet_labels()
    elif not labels and subset:
        labels = ImageNetInfo(subset).label_descriptions()
    return ModelParts(module, transform, list(labels) if labels else None)


def _torchvision_names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def _build_torchvision(name: str, pretrained: bool, fields: Fields) -> nn.Module:
    from torchvision import models

    arch, _, tag = name.partition(".")
    _check_name("torchvision", arch, _torchvision_names())
    enumeration = models.get_model_weights(arch)
    _check_tag(f"torchvision:{arch}", tag, [member.name for member in enumeration])
    if not pretrained:
        own = {"init_weights": True} if arch in _INITIALISED_ON_REQUEST else {}
        net = _called(models.get_model, arch, {"weights": None, **own, **fields})
        size = enumeration[tag or "DEFAULT"].transforms().crop_size[0]
        if "image_size" in fields or getattr(net, "image_size", size) == size:
            return net  # only the vision transformers are built for one size
        return _called(models.get_model, arch, {"weights": None, **fields, "image_size": size})
    return fetched(
        lambda: models.get_model(arch, weights=tag or "DEFAULT"),
        f"torchvision:{name}",
        _REMEDY.format(f"torchvision:{arch}"),
    )


def _torchvision_with_preprocessing(name: str, module: nn.Module) -> ModelParts:
    from torchvision import models

    arch, _, tag = name.partition(".")
    weights = models.get_model_weights(arch)[tag or "DEFAULT"]
    transform = weights.transforms()
    return ModelParts(module, understand(transform) or transform, list(weights.meta["categories"]))


def classic(name: str) -> str:
    """The name with the tag of its oldest weights, whose preprocessing most weight files share."""
    from torchvision import models

    arch, _, tag = name.partition(".")
    first = next(iter(models.get_model_weights(arch))).name
    return f"{arch}.{tag or first}"


def _imagenet_labels() -> list[str]:
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.DEFAULT.meta["categories"])


def _check_name(library: str, arch: str, names: list[str]) -> None:
    if arch not in names:
        raise UnknownName(
            f"{library} has no classifier named {arch!r}{near(arch, names)} Other networks are "
            "wrapped by hand: `sightline.Model(net, preprocess=...)`."
        )


def _check_tag(name: str, tag: str, tags: list[str]) -> None:
    if tag and tag not in tags:
        raise UnknownName(
            f"{name} has no weights {tag!r}{near(tag, tags)} It has {', '.join(tags) or 'none'}."
        )


def _called(build: Callable[..., nn.Module], name: str, fields: Fields) -> nn.Module:
    try:
        return build(name, **fields)
    except Exception as problem:  # the builders' own checks are asserts, TypeErrors and others
        given = {k: v for k, v in fields.items() if k not in ("pretrained", "weights")}
        raise BadField(
            f"the builder of {name} does not take {given} ({type(problem).__name__}: {problem}). "
            "Check the keys after `?`."
        ) from None


def _sightline_names() -> list[str]:
    return list(default.NAMES)


def _build_sightline(name: str, pretrained: bool, fields: Fields) -> nn.Module:
    if name not in default.NAMES:
        raise UnknownName(f"sightline ships no network {name!r}{near(name, default.NAMES)}")
    if not (WEIGHTS / f"{name}.json").is_file():
        raise BadModel(f"this installation lacks the weights of sightline:{name}. Reinstall it.")
    if set(fields) - {"num_classes"}:
        raise BadField(f"sightline:{name} takes num_classes and no other key; got {dict(fields)}.")
    if pretrained:
        return embedded.load(name)
    return default.build(name, fields.get("num_classes") or len(embedded.details(name)["labels"]))


def _sightline_with_preprocessing(name: str, module: nn.Module) -> ModelParts:
    about = embedded.details(name)
    size = about["size"]
    sides = (size, size) if isinstance(size, int) else (size[0], size[1])
    transform = Preprocess(size=sides, mean=about["mean"], std=about["std"])
    return ModelParts(module, transform, about["labels"])


TIMM = Library(_timm_names, _build_timm, _timm_with_preprocessing)
TORCHVISION = Library(_torchvision_names, _build_torchvision, _torchvision_with_preprocessing)
SIGHTLINE = Library(_sightline_names, _build_sightline, _sightline_with_preprocessing)
LIBRARIES = {"timm": TIMM, "torchvision": TORCHVISION, "sightline": SIGHTLINE}
