"""What a transform of torchvision, timm or Hugging Face does, read from its parts.

Nothing is imported from these libraries: whoever has such an object has imported them already. Both
readers give the fields of a `Preprocess`, or None where a part is unknown.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

Fields = dict[str, Any]  # Any: values of many types, by field name

_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def read_transform(transform: object) -> Fields | None:
    """The fields of the `Preprocess` that should do the same, or None."""
    if _package(transform) == "transformers":
        return _hugging_face(transform)
    if type(transform).__name__ == "ImageClassification" and _package(transform) == "torchvision":
        return _preset(transform)
    return _steps(list(_flat(transform)))


def apply(transform: Callable[..., Any], image: Image.Image) -> object:
    """What a transform of torchvision, timm or Hugging Face makes of one Pillow image."""
    made = transform(image)
    if isinstance(made, Mapping):
        made = made["pixel_values"]
    if isinstance(made, list) and len(made) == 1:
        made = made[0]
    made = torch.as_tensor(made, device="cpu") if isinstance(made, np.ndarray) else made
    return made[0] if isinstance(made, Tensor) and made.ndim == 4 and len(made) == 1 else made


def hard_edges() -> list[UInt8[np.ndarray, "row col 3"]]:
    """Noise beside black and white bars: pictures of several shapes, one a panorama, one small."""
    found = []
    for rows, cols in ((203, 318), (318, 203), (60, 400), (21, 32), (640, 480)):
        array = np.random.default_rng(rows).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
        row, col = np.mgrid[:rows, :cols]
        bars = ((row // 5 + col // 7) % 2 * 255).astype(np.uint8)
        array[row > rows // 2] = bars[row > rows // 2][:, None]
        array[rows // 8 : rows // 4] = np.array([0, 255], np.uint8)[col[0] * 4 // cols % 2][:, None]
        found.append(array)
    return found


def varies(transform: Callable[..., Any], image: Image.Image) -> bool:
    """Whether a transform makes something else of the same image each time; False where it fails.

    Random states are left as they were. One that draws from them is asked more often, since it may
    draw and do nothing.
    """
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        first, seen = apply(transform, image), (random.getstate(), torch.get_rng_state())
        drew = seen[0] != kept[0] or not torch.equal(seen[1], kept[2])
        drew |= not np.array_equal(np.random.get_state()[1], kept[1][1])  # type: ignore[index]
        drew |= np.random.get_state()[2] != kept[1][2]  # type: ignore[index]
        return any(not _same(first, apply(transform, image)) for _ in range(24 if drew else 3))
    except Exception:  # someone else's code: it says what is wrong when it prepares a picture
        return False
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])


def _same(one: object, other: object) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return True
    return one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())


def _package(part: object) -> str:
    return type(part).__module__.partition(".")[0]


def _flat(transform: object) -> Iterator[object]:
    """The steps of a composition, however nested."""
    if isinstance(transform, nn.Sequential):
        steps = list(transform)
    elif type(transform).__name__ == "Compose" and _package(transform) == "torchvision":
        steps = getattr(transform, "transforms")  # noqa: B009 (v1 and v2 share only the name)
    else:
        yield transform
        return
    for step in steps:
        yield from _flat(step)


def _preset(preset: Any) -> Fields:  # Any: torchvision's class is private
    return {
        "resize": _side(preset.resize_size),
        "size": _sides(preset.crop_size),
        "crop": "center",
        "mean": _numbers(preset.mean),
        "std": _numbers(preset.std),
        "interpolation": _way(preset.interpolation),
    }


class _Reader:
    """The steps of a transform, read one after the other; `white` is the value of white so far."""

    def __init__(self) -> None:
        self.fields: Fields = {"size": None, "crop": None, "fit": "keep"}
        self.white = 255.0
        self.is_tensor = self.is_float = self.is_normal = False

    def read(self, step: Any) -> bool:  # Any: a class of torchvision or timm
        """Whether the step is known and stands where it may."""
        name = type(step).__name__
        early = not self.is_normal and self.fields["crop"] is None
        if _package(step) not in ("torchvision", "timm"):
            return False
        if name in ("Resize", "ResizeKeepRatio"):
            return early and self.fields["fit"] == "keep" and self._resize(step, name)
        if name in ("CenterCrop", "CenterCropOrPad"):
            self.fields |= {"size": _sides(step.size), "crop": "center"}
            if name == "CenterCropOrPad":
                self.fields["fill"] = tuple(v / 255 for v in _numbers(step.fill))
            return early
        if name == "Grayscale":
            self.fields["channels"] = step.num_output_channels
            return step.num_output_channels == 1 and not self.is_normal
        if name == "Normalize":
            mean, std = _numbers(step.mean), _numbers(step.std)
            self.fields["mean"] = tuple(v / self.white for v in mean)
            self.fields["std"] = tuple(v / self.white for v in std)
            once, self.is_normal = not self.is_normal, True
            return once and self.is_float
        return self._convert(step, name)

    def _resize(self, step: Any, name: str) -> bool:
        if name == "ResizeKeepRatio":
            self.fields["fit"] = {0.0: "cover", 1.0: "contain"}.get(step.longest)
            self.fields["resize"] = _sides(step.size)
            steady = not (step.random_scale_prob or step.random_aspect_prob)
            known = self.fields["fit"] is not None and steady
        else:
            if step.size is None:  # only its `max_size` counts
                return False
            side = _side(step.size)
            self.fields |= {"resize": side, "fit": "cover" if isinstance(side, int) else "stretch"}
            self.fields["antialias"] = not self.is_tensor or step.antialias is not False
            known = step.max_size is None
        self.fields["interpolation"] = _way(step.interpolation)
        return known

    def _convert(self, step: Any, name: str) -> bool:
        if name in ("ToTensor", "MaybeToTensor"):
            known = not self.is_tensor
            self.white, self.is_float, self.is_tensor = 1.0, True, True
            return known
        if name in ("PILToTensor", "MaybePILToTensor", "ToImage"):
            self.is_tensor = True
            return True
        if name in ("ConvertImageDtype", "ToDtype") and self.is_tensor:
            scaled = name == "ConvertImageDtype" or step.scale
            if scaled and not self.is_float:
                self.white = 1.0
            self.is_float = isinstance(step.dtype, torch.dtype) and step.dtype.is_floating_point
            return self.is_float
        return name in ("ToPureTensor", "Identity")

    def finish(self) -> Fields | None:
        if not self.is_float:
            return None
        if self.fields["fit"] == "stretch" and self.fields["crop"] is None:
            self.fields["size"] = self.fields["resize"]
        self.fields.setdefault("mean", 0.0)
        self.fields.setdefault("std", 1 / self.white)
        return self.fields


def _steps(steps: list[object]) -> Fields | None:
    reader = _Reader()
    known = all(reader.read(step) for step in steps)
    return reader.finish() if known else None


def _hugging_face(processor: Any) -> Fields | None:  # Any: a class of an optional library
    facts: Mapping[str, Any] = processor.to_dict()
    if type(processor).__name__.startswith("TimmWrapper"):
        return read_transform(processor.val_transforms)
    fields = _hugging_face_geometry(facts, type(processor).__name__)
    if fields is None or facts.get("do_flip_channel_order"):
        return None
    scale = 255 * (facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 1)
    shift = 1 if facts.get("rescale_offset") else 0
    normal = facts.get("do_normalize", True)
    mean = _numbers(facts["image_mean"] if normal else 0)
    std = _numbers(facts["image_std"] if normal else 1)
    again = std if facts.get("include_top") else tuple(1.0 for _ in std)
    fields["mean"] = tuple((m + shift) / scale for m in mean)
    fields["std"] = tuple(s * a / scale for s, a in zip(std, again, strict=True))
    fields["interpolation"] = _way(facts.get("resample") or 2)
    return fields


def _hugging_face_geometry(facts: Mapping[str, Any], name: str) -> Fields | None:
    size, crop = facts.get("size") or {}, facts.get("crop_size") or {}
    resize: int | tuple[int, int] | None
    if "shortest_edge" in size and "longest_edge" not in size:
        resize = size["shortest_edge"]
    elif "height" in size:
        resize = size["height"], size["width"]
    else:
        return None
    if name.startswith("ConvNext") and isinstance(resize, int):
        if resize >= 384:
            return {"size": _sides(resize), "crop": None}
        crop, resize = {"height": resize, "width": resize}, int(resize / facts["crop_pct"])
    elif name.startswith("PoolFormer") and facts.get("crop_pct"):
        resize = int(_sides(resize)[0] / facts["crop_pct"])
    elif name.startswith("Levit") and isinstance(resize, int):
        resize = int(256 / 224 * resize)
    elif not facts.get("do_center_crop"):
        crop = {}
    fit = "cover" if isinstance(resize, int) else "stretch"
    if not facts.get("do_resize", True):
        fit, resize = "keep", None
    fields: Fields = {"resize": resize, "fit": fit, "floor_offset": True}
    if crop:
        return fields | {"size": (crop["height"], crop["width"]), "crop": "center"}
    return fields | {"size": resize if fit == "stretch" else None, "crop": None}


def _way(interpolation: Any) -> str:  # Any: an enumeration of one of the libraries, or its number
    value = getattr(interpolation, "value", interpolation)
    return _RESAMPLING[value] if isinstance(value, int) else str(value)


def _numbers(value: Any) -> tuple[float, ...]:  # Any: a number, a sequence or a tensor
    return tuple(float(v) for v in np.atleast_1d(np.asarray(value, float)))


def _side(size: Any) -> int | tuple[int, int]:
    """One number where a transform keeps the proportions, two where it does not."""
    sides = [int(v) for v in np.atleast_1d(size)]
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _sides(size: Any) -> tuple[int, int]:
    side = _side(size)
    return (side, side) if isinstance(side, int) else side
