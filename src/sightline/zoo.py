"""Loading a network by name, with its preprocessing and its labels.

`timm:NAME`, `torchvision:NAME`, `hf:REPOSITORY`, `file:PATH?arch=...`, `attributes:PATH` (what the
recipe `attributes` trained) and `sightline:NAME`. Random weights come from a fixed seed, and
the random state of the caller stays as it was.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .errors import BadField, BadModel, MissingExtra, UnknownName, near
from .loading.attribute_files import NETWORKS
from .loading.builders import LIBRARIES, SIGHTLINE, TIMM, TORCHVISION, ModelParts
from .loading.fetching import fetched
from .loading.weight_files import read_weight_file
from .model import Model
from .nets import default
from .network.devices import usable_device
from .pictures.preprocess import understand

_SEED = 0


def load(
    name: str,
    pretrained: bool = True,
    precision: str = "exact",
    *,
    device: str | torch.device | None = None,
) -> Model:
    """Which network has this name?

    name: `timm:NAME`, `torchvision:NAME`, `hf:REPOSITORY`, `sightline:NAME`, `attributes:PATH` or
    `file:PATH?arch=timm:NAME&key=value`. pretrained: False gives random weights from a fixed seed,
    and says so in the model's name. device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; None is the
    processor.

    **Raises:** `UnknownName` with near names, `BadModel` for weights that cannot be had or used,
    `BadField` for a key that makes no sense or a device that is not there, `MissingExtra` for `hf:`
    without transformers.

        >>> load("timm:resnet18", pretrained=False).label(1)
        'goldfish'
    """
    prefix, _, rest = name.strip().partition(":")
    if prefix.lower() not in _LOADERS or not rest:
        raise UnknownName(_advice(name.strip()))
    where = None if device is None else usable_device(device)  # before any work
    with _own_randomness():
        parts = _LOADERS[prefix.lower()](rest, pretrained)
    title = name if pretrained else f"{name} (random weights, seed {_SEED})"
    module = parts.module.float().eval()
    model = Model(module, parts.transform, parts.labels, name=title, precision=precision)
    model.notes = parts.notes
    return model if where is None else model.to(where)


@contextmanager
def _own_randomness() -> Iterator[None]:
    kept, dtype = torch.get_rng_state(), torch.get_default_dtype()
    torch.default_generator.manual_seed(_SEED)  # the processor's alone: other devices stay
    try:
        torch.set_default_dtype(torch.float32)  # the same weights from the seed in every program
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(kept)


def _advice(name: str) -> str:
    """What someone probably meant whose prefix is none of ours."""
    known = [f"{prefix}:{n}" for prefix, library in LIBRARIES.items() for n in library.names()]
    known += [f"sightline:{n}" for n in default.NAMES]
    word = (name.partition(":")[2] or name).partition(".")[0].lower()
    same = [full for full in known if full.partition(":")[2] == word]
    path = Path(name.partition("?")[0])
    if path.suffix and path.is_file():
        hint = f"; did you mean 'file:{path}?arch=timm:NAME'?"
    elif same:
        hint = f"; did you mean {' or '.join(map(repr, same))}?"
    else:
        hint = near(f"timm:{word}", known)
    return (
        f"no model is named {name!r}{hint} Expected timm:NAME, torchvision:NAME, hf:REPOSITORY, "
        "sightline:NAME, or file:PATH?arch=timm:NAME."
    )


def _timm(name: str, pretrained: bool) -> ModelParts:
    return TIMM.with_preprocessing(name, TIMM.build(name, pretrained, {}))


def _torchvision(name: str, pretrained: bool) -> ModelParts:
    return TORCHVISION.with_preprocessing(name, TORCHVISION.build(name, pretrained, {}))


def _sightline(name: str, pretrained: bool) -> ModelParts:
    return SIGHTLINE.with_preprocessing(name, SIGHTLINE.build(name, pretrained, {}))


def _hugging_face(repository: str, pretrained: bool) -> ModelParts:
    remedy = "Name a folder that holds it, `hf:FOLDER`, or a file, `file:PATH?arch=timm:NAME`."
    if repository.startswith("timm/"):
        import timm

        full = f"hf-hub:{repository}"
        make = lambda: timm.create_model(full, pretrained=pretrained)  # noqa: E731
        return TIMM.with_preprocessing(full, fetched(make, f"hf:{repository}", remedy))
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra(
            f"hf:{repository} needs transformers, which is not installed; expected the extra "
            "`text`. Run `pip install 'sightline[text]'`."
        )
    return fetched(lambda: _transformers(repository, pretrained), f"hf:{repository}", remedy)


def _transformers(repository: str, pretrained: bool) -> ModelParts:
    import transformers

    place = str(Path(repository).expanduser())
    config: Any = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
    classifier = transformers.AutoModelForImageClassification
    if pretrained:
        module, told = classifier.from_pretrained(
            place, trust_remote_code=False, output_loading_info=True
        )
        if told["missing_keys"] or told["mismatched_keys"]:
            lacking = sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]]))
            raise BadModel(
                f"hf:{repository} holds no trained classifier: it lacks {', '.join(lacking[:3])}. "
                "Name a repository with one."
            )
    else:
        module = classifier.from_config(config)
    processor = transformers.AutoImageProcessor.from_pretrained(place, trust_remote_code=False)
    labels = [str(config.id2label[i]) for i in range(config.num_labels)]
    return ModelParts(module, understand(processor) or processor, labels)


def _file(specification: str, pretrained: bool) -> ModelParts:
    if not pretrained:
        raise BadField("file: names weights, so pretrained=False contradicts it. Leave one out.")
    return read_weight_file(specification)


_LOADERS: dict[str, Callable[[str, bool], ModelParts]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": _hugging_face,
    "file": _file,
    "sightline": _sightline,
    "attributes": lambda path, pretrained: NETWORKS.load(Path(path).expanduser()),
}
