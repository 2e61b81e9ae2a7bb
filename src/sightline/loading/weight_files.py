"""A network from a file of weights: `PATH?arch=timm:NAME&key=value`.

`mean`, `std`, `size`, `crop`, `labels` and `pad_type` are ours, and so is `key`, the part of the
file that is meant where it holds several networks (`key=model_ema`); other keys go to the builder
as Python literals.
"""

import ast
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from torch import nn

from ..errors import BadField, BadModel, UnknownName, near
from ..pictures.preprocess import Preprocess
from .builders import LIBRARIES, TIMM, TORCHVISION, Library, ModelParts, classic
from .checkpoint import read_state_dicts
from .class_names import read_class_names
from .matching import fields_in, fit
from .same_padding import pad_same

_log = logging.getLogger(__name__)
_OURS = ("mean", "std", "size", "crop", "labels", "pad_type", "key")
_NEVER = ("weights", "pretrained", "checkpoint_path", "cache_dir", "pretrained_cfg")


@dataclass(frozen=True)
class FileSpec:
    """What stands behind `file:`, taken apart.

    path: opened; file: as it was given. arch: as it was given; name: for the library. fields: for
    the builder.
    """

    path: Path
    file: str
    library: Library
    arch: str
    name: str
    ours: dict[str, str]
    fields: dict[str, Any]  # Any: Python literals

    @property
    def sides(self) -> tuple[int, int] | None:
        """The network's input, where `size` or `crop` names it."""
        crop = _crop(self.ours)
        if isinstance(crop, int | tuple) and crop != 1:
            return _pair(crop)
        return _pair(_value("size", self.ours["size"])) if "size" in self.ours else None


def read_weight_file(specification: str) -> ModelParts:
    """The network, its weights, preprocessing and labels.

    **Raises:** `BadModel`, `UnknownName` or `BadField` with what does not fit.
    """
    spec = _parsed(specification)
    found = read_state_dicts(spec.path, spec.file)
    fields = dict(spec.fields)
    module = _built(spec, fields)
    key = spec.ours.get("key", "")
    held = fields_in(module, found, key)
    if spec.library is not TIMM:  # only timm's builders know the word
        held = {} if "in_chans" in held else held
    notes = [f"{n}={v}, read from the weights' shapes" for n, v in held.items() if n not in fields]
    if notes:
        fields = {**held, **fields}
        module = _built(spec, fields)
    notes += fit(module, found, spec.file, spec.arch, key)
    for note in notes:
        _log.info("%s: %s", spec.file, note)
    parts = spec.library.with_preprocessing(spec.name, module)
    labels = None if "num_classes" in fields else parts.labels
    if "labels" in spec.ours:
        given = spec.ours["labels"]
        labels = read_class_names(Path(given).expanduser(), given)
        _check_labels(labels, module, spec)
    return ModelParts(
        module, _preprocess(parts.transform, spec, fields.get("in_chans")), labels, tuple(notes)
    )


def _parsed(text: str) -> FileSpec:
    file, keys = _taken_apart(text)
    path = Path(file).expanduser()
    arch = keys.pop("arch", "")
    prefix, _, name = arch.partition(":")
    if not arch:
        read_state_dicts(path, file)  # a missing or broken file is the first thing to say
        raise BadModel(
            f"{file} does not name the network that its weights belong to. Add the builder:"
            f" `file:{file}?arch=timm:NAME` or `?arch=torchvision:NAME`."
        )
    if prefix not in LIBRARIES or not name:
        known = [f"{p}:{n}" for p, library in LIBRARIES.items() for n in library.names()]
        hint = near(f"timm:{name or arch}", known)
        raise UnknownName(
            f"arch={arch}; expected timm:NAME, torchvision:NAME or sightline:NAME{hint}"
        )
    if wrong := sorted(set(keys) & set(_NEVER)):
        raise BadField(f"file: does not take {', '.join(wrong)}: the weights are the file's own.")
    fields = {key: _literal(value) for key, value in keys.items() if key not in _OURS}
    ours = {key: value for key, value in keys.items() if key in _OURS}
    for key in ("img_size", "image_size"):
        if key in fields:
            ours.setdefault("size", keys[key])
    if ours.get("pad_type", "same") != "same":
        raise BadField(f"pad_type={ours['pad_type']}; expected same. Leave it out otherwise.")
    if prefix == "torchvision" and name.partition(".")[0] in TORCHVISION.names():
        name = classic(name)
    return FileSpec(path, file, LIBRARIES[prefix], arch, name, ours, fields)


def _taken_apart(text: str) -> tuple[str, dict[str, str]]:
    """The path and the keys; `?` may be part of a file's name."""
    marks = [at for at, letter in enumerate(text) if letter == "?"] + [len(text)]
    cut = next((at for at in marks if Path(text[:at]).expanduser().is_file()), marks[0])
    path, query = text[:cut], text[cut + 1 :]
    keys: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or key in keys:
            raise BadField(f"{part!r} in file:{text}; expected each key once, as key=value.")
        keys[key.strip()] = unquote(value.strip())
    return path, keys


def _literal(value: str) -> Any:  # Any: whatever Python literal it is
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _built(spec: FileSpec, fields: dict[str, Any]) -> nn.Module:
    """The network, padded as `pad_type` says: by its builder where that knows the word."""
    same = "pad_type" in spec.ours
    if spec.library is TIMM:
        from timm.models import get_pretrained_cfg

        cfg = get_pretrained_cfg(spec.name) if spec.name.partition(".")[0] in TIMM.names() else None
        if spec.sides and cfg is not None and cfg.fixed_input_size:
            fields = {"img_size": spec.sides, **fields}
        if same:
            try:
                module = TIMM.build(spec.name, False, {**fields, "pad_type": "same"})
                pad_same(module)
                return module
            except BadField:
                _log.debug("the builder of %s does not know pad_type", spec.arch)
    module = spec.library.build(spec.name, False, fields)
    if same:
        _log.info("%s: SAME padding put on %s", spec.file, ", ".join(pad_same(module)))
    return module


def _check_labels(labels: list[str], module: nn.Module, spec: FileSpec) -> None:
    heads = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    last = [m.out_features if isinstance(m, nn.Linear) else m.out_channels for m in heads[-1:]]
    classes = getattr(module, "num_classes", *last or [None])  # timm's modules know it
    if classes not in (None, len(labels)):
        raise BadModel(
            f"labels={spec.ours['labels']} has {len(labels)} labels, but {spec.file} has"
            f" {classes} classes; expected one label for each class."
        )


def _preprocess(base: Any, spec: FileSpec, channels: int | None) -> Any:  # Any: another library's
    """The builder's preprocessing with `mean`, `std`, `size` and `crop` as given."""
    ours = spec.ours
    changes = {key: _value(key, ours[key]) for key in ("mean", "std") if key in ours}
    if not isinstance(base, Preprocess):
        if not ours.keys() & {"mean", "std", "size", "crop"}:
            return base
        if spec.sides is None:
            raise BadField(f"the preprocessing of {spec.arch} is not known; add `size=`.")
        base = Preprocess(size=spec.sides, channels=channels, **changes)
    crop = _crop(ours)
    sides = spec.sides or base.size
    if "crop" in ours:
        whole = _pair(_value("size", ours["size"])) if "size" in ours else None
        changes |= {"size": whole or sides, "crop": crop, "resize": None, "fit": None}
        if isinstance(crop, int | tuple) and crop != 1:
            kept = _pair(crop)
            if whole and (kept[0] > whole[0] or kept[1] > whole[1]):
                raise BadField(f"crop={ours['crop']} is larger than size={ours['size']}.")
            changes |= {} if whole else {"size": kept, "resize": base.resize, "crop": "center"}
    elif "size" in ours and sides and base.size:
        changes |= {"size": sides, "resize": None, "fit": None}
        if isinstance(base.resize, int) and base.crop:
            part = base.size[0] / base.resize
            changes["resize"] = math.floor(min(sides) / part)
    return replace(base, **changes)


def _crop(ours: dict[str, str]) -> Any:  # Any: None, a word, a part or a side
    if "crop" not in ours:
        return None
    value = _value("crop", ours["crop"])
    return None if value in ("none", "None") else value


def _value(key: str, text: str) -> Any:  # Any: a number, several, or a word
    value = _literal(text)
    if isinstance(value, str) and key == "size" and "x" in value:
        value = _literal(value.replace("x", ","))
    numbers = value if isinstance(value, tuple | list) else (value,)
    if key != "crop" and not all(isinstance(n, int | float) for n in numbers):
        raise BadField(f"{key}={text}; expected a number, or several between commas.")
    return tuple(value) if isinstance(value, list) else value


def _pair(value: Any) -> tuple[int, int]:  # Any: checked here
    given = value if isinstance(value, tuple) else (value, value)
    if len(given) != 2 or not all(isinstance(side, int) and side > 0 for side in given):
        raise BadField(f"size {value}; expected a number of pixels, or rows,cols.")
    return given
