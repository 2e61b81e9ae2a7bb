"""From a picture to the network's input, and back: resize, crop, and the way to undo both.

Pixels are resized by Pillow in eight bits with the rounding rules of torchvision and timm, because
that is what published accuracies were measured with.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from .errors import BadField, BadImage, NotExplainable, ShapeError, SightlineWarning
from .images import Picture
from .ops.batches import column
from .ops.pictures.frame import Frame
from .ops.pictures.resampling import RESAMPLINGS, resample
from .ops.pictures.transforms import apply, hard_edges, read_transform, varies

Prepared = Float[Tensor, "channel row col"]
"""One image in the model's input frame."""

Number = float | int

Size = int | tuple[int, int] | list[int]
"""Pixels of a side, or (rows, cols)."""

Fit = Literal["cover", "contain", "stretch", "keep"]

_LARGEST_PART = 4.0  # timm's crop_pct reaches 1.14
_SAME = 4.0  # 255ths: libraries round differently, once in each of a few steps
_WHOLE = 64_000_000  # resized pixels up to which all of a picture is resized before the crop
_RESAMPLING = {way.name.lower(): way for way in Image.Resampling}


@dataclass(frozen=True, init=False)
class Preprocess:
    """How does a picture become this network's input, and where do its pixels go?

    size: (rows, cols) of the input; None lets each picture have its own. crop: "center", None, or
    a number: the part of the resized picture that is kept (timm's `crop_pct`; above 1.0 it is made
    smaller than the input, with a border of `fill`), or, a whole number above 1, the side that is
    kept of a picture whose short side was made `size`. mean, std: of natural [0, 1]
    values, one number or one per channel. resize: short side, or (rows, cols), before the crop.
    fit: how the picture meets `resize`; "cover" and "contain" keep its proportions, "keep" does
    not resize. fill: what surrounds a picture smaller than the crop. floor_offset: Hugging Face's
    rounding of half a pixel. resampling: "pillow" (in eight bits), or torch on "bytes", on "floats"
    (a bicubic overshoot stays and leaves [0, 1]) or on floats "clamped" to [0, 1]. A single number
    stands for both sides or for all channels.

        >>> Preprocess(size=224, crop=0.875, mean=0.5, std=0.5).describe()
        'short side to 256 (bilinear), centre 224 x 224, mean 0.5, std 0.5'
    """

    size: tuple[int, int] | None
    crop: Literal["center"] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | tuple[int, int] | None
    fit: Fit
    interpolation: str
    antialias: bool
    channels: int
    fill: tuple[float, ...]
    floor_offset: bool
    resampling: str

    def __init__(
        self,
        size: Size | None,
        crop: Size | Number | str | None = "center",
        mean: Number | Sequence[Number] = 0.0,
        std: Number | Sequence[Number] = 1.0,
        *,
        resize: Size | None = None,
        fit: Fit | None = None,
        interpolation: str = "bilinear",
        antialias: bool = True,
        channels: int = 3,
        fill: Number | Sequence[Number] = 0.0,
        floor_offset: bool = False,
        resampling: str = "pillow",
    ) -> None:
        if channels not in (1, 3):
            raise BadField(f"channels={channels}; pictures have 1 (grey) or 3 (colour).")
        ways = [*_RESAMPLING, "nearest-exact"]
        for name, value, known in (
            ("interpolation", interpolation, ways),
            ("resampling", resampling, RESAMPLINGS),
        ):
            if value not in known:
                raise BadField(f"{name}={value!r}; expected one of {', '.join(known)}.")
        fields: dict[str, Any] = _geometry(size, crop, resize, fit)
        for name, values in (("mean", mean), ("std", std), ("fill", fill)):
            fields[name] = _per_channel(name, values, channels)
        fields |= {"interpolation": interpolation, "antialias": antialias}
        fields |= {"channels": channels, "floor_offset": floor_offset, "resampling": resampling}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def prepare(self, picture: Picture) -> Prepared:
        """What the network sees of the picture, in [0, 1], before mean and std."""
        rows, cols, top, left = self._geometry(picture.size)
        height, width = self.size or (rows, cols)
        above, before = max(-top, 0), max(-left, 0)
        window = (max(top, 0), max(left, 0), min(top + height, rows), min(left + width, cols))
        pixels = self._resized(picture, (rows, cols), window)
        whole = column(self.fill).repeat(1, height, width)
        if self.antialias and self.resampling != "floats":
            whole = whole.mul(255).round().div(255)
        inside = slice(above, above + pixels.shape[1]), slice(before, before + pixels.shape[2])
        whole[:, *inside] = pixels
        return whole

    def frame(self, picture_size: tuple[int, int]) -> Frame:
        """The way back for a picture of (rows, cols)."""
        rows, cols, top, left = self._geometry(picture_size)
        size = self.size or (rows, cols)
        y, x = picture_size[0] / rows, picture_size[1] / cols
        box = (left * x, top * y, (left + size[1]) * x, (top + size[0]) * y)
        return Frame((picture_size[0], picture_size[1]), size, box)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them; `Preprocess(**fields)` makes it again."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}

    @property
    def beyond(self) -> float:
        """How far values may lie outside [0, 1]: bicubic weights overshoot on floating pixels."""
        overshoots = self.resampling == "floats" and self.interpolation == "bicubic"
        return 0.5 if overshoots else 0.01

    def describe(self) -> str:
        """One line for `sightline inspect`."""
        by = [] if self.resampling == "pillow" else [f"torch, {self.resampling}"]
        how = f"({', '.join([self.interpolation, *([] if self.antialias else ['aliased']), *by])})"
        if isinstance(self.resize, int):
            parts = [f"short side to {self.resize} {how}"]
        elif self.resize is None:
            parts = ["not resized"]
        else:
            verb = {"contain": "fitted into", "stretch": "stretched to"}.get(self.fit)
            parts = [f"{verb or 'made to cover'} {self.resize[0]} x {self.resize[1]} {how}"]
        if self.crop and self.size:
            parts.append(f"centre {self.size[0]} x {self.size[1]}")
        parts += ["grey"] if self.channels == 1 else []
        parts += [f"{n} {_brief(getattr(self, n))}" for n in ("mean", "std")]
        return ", ".join(parts)

    def _geometry(self, original: tuple[int, int]) -> tuple[int, int, int, int]:
        """Rows and columns after resizing, and the place (top, left) of the crop in them."""
        rows, cols = original
        if isinstance(self.resize, tuple):
            by = rows / self.resize[0], cols / self.resize[1]
            ratio = max(by) if self.fit == "contain" else min(by)
            kept = max(round(rows / ratio), 1), max(round(cols / ratio), 1)
            rows, cols = self.resize if self.fit == "stretch" else kept
        elif self.resize is not None:  # torchvision: the long side is cut to a whole number
            short, long = sorted(original)
            long = int(self.resize * long / short)
            rows, cols = (self.resize, long) if rows <= cols else (long, self.resize)
        if self.crop is None or self.size is None:
            return rows, cols, 0, 0
        return rows, cols, self._offset(rows, self.size[0]), self._offset(cols, self.size[1])

    def _offset(self, pixels: int, kept: int) -> int:
        if kept > pixels:
            return -((kept - pixels) // 2)
        return (pixels - kept) // 2 if self.floor_offset else round((pixels - kept) / 2)

    def _resized(
        self, picture: Picture, size: tuple[int, int], window: tuple[int, int, int, int]
    ) -> Prepared:
        """The window (top, left, bottom, right) of the picture resized to (rows, cols)."""
        top, left, bottom, right = window
        image = picture.pil().convert("L") if self.channels == 1 else picture.pil()
        large = size[0] * size[1] > _WHOLE
        if not self.antialias or self.resampling != "pillow":
            if large:
                raise BadImage(
                    f"{picture.name} would be resized to {size[0]} x {size[1]} pixels; at most "
                    f"{_WHOLE / 1e6:g} million without antialiasing by Pillow. Cut it first."
                )
            if self.fit == "keep":
                return _tensor(image, window)
            pixels = torch.from_numpy(np.array(image)).reshape(*picture.size, -1).permute(2, 0, 1)
            options = (self.interpolation, self.antialias, self.resampling)
            return resample(pixels.contiguous(), size, *options)[:, top:bottom, left:right]
        way = _RESAMPLING[self.interpolation.removesuffix("-exact")]
        if not large:
            resized = image if image.size == size[::-1] else image.resize((size[1], size[0]), way)
            return _tensor(resized, window)
        y, x = picture.size[0] / size[0], picture.size[1] / size[1]
        part = (left * x, top * y, right * x, bottom * y)
        return _tensor(image.resize((right - left, bottom - top), way, part))


@dataclass(frozen=True, eq=False)
class Opaque:
    """A transform of unknown geometry: its tensors are taken as normalised, with no way back.

    varies: whether it makes something else of the same picture each time; that warns.
    """

    transform: Callable[[Image.Image], Any]  # Any: what it returns is checked
    size: None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channels: int = 3
    varies: bool = field(init=False)

    def __post_init__(self) -> None:
        found = varies(self.transform, Image.fromarray(hard_edges()[0]))
        object.__setattr__(self, "varies", found)
        if found:
            name = type(self.transform).__name__
            warnings.warn(
                f"the preprocessing ({name}) makes something else of the same picture each time,"
                " as transforms for training do: scores and maps change from call to call. Give"
                " the transform that is used for evaluation.",
                SightlineWarning,
                stacklevel=4,
            )

    def prepare(self, picture: Picture) -> Prepared:
        """What the transform makes of the picture.

        **Raises:** `BadField` when it fails, `ShapeError` when it gives no (channel, row, col).
        """
        try:
            made = apply(self.transform, picture.pil())
        except Exception as problem:  # someone else's code
            why = f"{type(problem).__name__}: {problem}"
            raise BadField(
                f"preprocess failed on {picture.name} ({why}); expected a function from a Pillow "
                "image (RGB) to a tensor."
            ) from problem
        if not isinstance(made, Tensor) or made.ndim != 3 or not made.is_floating_point():
            what = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else type(made)
            raise ShapeError(
                f"preprocess gave {what}; expected a float tensor (channel, row, col). End it with "
                "`ToTensor()` or the like."
            )
        return made.float()

    def frame(self, picture_size: tuple[int, int]) -> Frame:
        """**Raises:** `NotExplainable`: nothing is known about where pixels went."""
        raise NotExplainable(
            f"the geometry of the preprocessing is unknown ({type(self.transform).__name__}), so a "
            "map cannot be put back on a picture. Pass a `sightline.Preprocess` or a transform of "
            "torchvision, timm or Hugging Face."
        )

    def to_json(self) -> dict[str, Any]:
        """What can be said about it."""
        return {"opaque": repr(self.transform), "varies": self.varies}

    def describe(self) -> str:
        """One line for `sightline inspect`."""
        random = ", random: another input each time" if self.varies else ""
        return f"unknown transform ({type(self.transform).__name__}): taken as normalised{random}"


def understand(transform: object) -> Preprocess | None:
    """Which `Preprocess` does the same as this transform of torchvision, timm or Hugging Face?

    None where a part is unknown. What was read off is tried on pictures with hard edges, in each
    way of resampling: the nearest is taken, and a transform that does anything else with them is
    unknown too.
    """
    if isinstance(transform, Preprocess):
        return transform
    try:
        fields = read_transform(transform)
        if fields is None or not callable(transform):
            return None
        known = Preprocess(**fields)
        pictures = [Picture(array, "probe") for array in hard_edges()]
        probes = [(p, _natural(apply(transform, p.pil()), known)) for p in pictures]
        if _apart(known, probes) < 0.01:
            return known
        ways = [replace(known, resampling=way) for way in RESAMPLINGS]
        apart = [_apart(way, probes) for way in ways]
        return ways[apart.index(min(apart))] if min(apart) < _SAME else None
    except Exception:  # someone else's code, or sides that we do not accept
        return None


def _natural(made: object, known: Preprocess) -> Tensor:
    if not isinstance(made, Tensor):
        raise ShapeError(f"a transform gave {type(made).__name__}; expected a tensor.")
    return made.float() * column(known.std) + column(known.mean)


def _apart(known: Preprocess, probes: Sequence[tuple[Picture, Tensor]]) -> float:
    """How far the inputs are from those of the transform, at most, in 255ths."""
    apart = 0.0
    for picture, theirs in probes:
        try:
            ours = known.prepare(picture)
        except BadField:  # torch has no such interpolation
            return math.inf
        if ours.shape != theirs.shape:
            return math.inf
        apart = max(apart, 255 * float((theirs - ours).abs().max()))
    return apart


def _geometry(
    size: object, crop: object, resize: object, fit: Fit | None
) -> dict[str, tuple[int, int] | int | str | None]:
    """`size`, `crop`, `resize` and `fit` with short forms written out."""
    sides = None if size is None else _pair(size)
    to = resize if resize is None or isinstance(resize, int) else _pair(resize)
    if isinstance(crop, bool):
        crop = "center" if crop else None
    if isinstance(crop, int | float | tuple | list) and sides is not None:
        part = _part(crop)
        if part is None:
            to, sides = to or _one(sides), _pair(crop)
        elif to is None and part > 0:
            to = _one((math.floor(sides[0] / part), math.floor(sides[1] / part)))
        else:
            raise BadField(
                f"crop={crop!r} with resize={resize}; expected a part above 0, which says how far"
                " to resize, and no `resize`. Give one of them, or the crop as a side."
            )
        crop, fit = "center", fit or "cover"
    if crop not in ("center", None) or (crop and sides is None):
        raise BadField(
            f"crop={crop!r} with size={size}; expected 'center', None, a part such as 0.875 or a "
            "side, and a size to crop to."
        )
    fit = fit or ("cover" if isinstance(to, int) or (to is None and crop) else "stretch")
    to = _one(sides) if to is None and sides is not None else to
    if to is None or fit == "keep":
        to, fit = None, "keep"
    elif fit != "cover":
        to = _pair(to)
    if crop is None and sides is not None and (fit, to) != ("stretch", sides):
        raise BadField(
            f"size={size} without a crop needs a stretch to exactly that; got resize={resize}, "
            f"fit={fit}. Set crop='center', or size=None."
        )
    return {"size": sides, "crop": crop, "resize": to, "fit": fit}


def _part(crop: object) -> float | None:
    """The part of the picture that is kept, where `crop` is one. Raises: BadField for a side with a
    point."""
    if isinstance(crop, float) and crop > _LARGEST_PART:
        raise BadField(
            f"crop={crop}: a number with a point is the part that is kept, up to {_LARGEST_PART};"
            " expected that, or a whole number of pixels. Write the side without a point."
        )
    return float(crop) if isinstance(crop, float) or (isinstance(crop, int) and crop == 1) else None


def _per_channel(name: str, given: Number | Sequence[Number], channels: int) -> tuple[float, ...]:
    values = (given,) if isinstance(given, int | float) else tuple(given)
    values = values * channels if len(values) == 1 else values
    if channels == 1 and len(values) == 3:
        values = (sum(values) / 3,)
    if len(values) != channels or not all(map(math.isfinite, values)):
        raise BadField(f"{name}={given}; expected one number or {channels}.")
    if name == "std" and not all(values):
        raise BadField(f"std={given}; expected numbers other than 0.")
    return tuple(float(v) for v in values)


def _pair(value: object) -> tuple[int, int]:
    given = value if isinstance(value, tuple | list) else (value, value)
    sides = [side for side in given if isinstance(side, int) and side > 0]
    if len(given) != 2 or len(sides) != 2:
        raise BadField(f"size {value!r}; expected a positive number of pixels or (rows, cols).")
    return sides[0], sides[1]


def _one(sides: tuple[int, int]) -> int | tuple[int, int]:
    return sides[0] if sides[0] == sides[1] else sides


def _brief(values: tuple[float, ...]) -> str:
    texts = [f"{v:.4g}" for v in values]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def _tensor(image: Image.Image, window: tuple[int, int, int, int] | None = None) -> Prepared:
    array = np.array(image) if window is None else np.asarray(image)
    if window is not None:
        top, left, bottom, right = window
        array = array[top:bottom, left:right].copy()
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div(255)
