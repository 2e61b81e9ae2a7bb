"""From a picture to the network's input, and back: resize, crop, and how both are undone.

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

from ..errors import BadField, BadImage, NotExplainable, ShapeError, SightlineWarning
from ..files.display import display_text
from ..ops.batches import column
from .bands import WHOLE, resize_bands
from .fields import Fit, Number, channel_count, geometry, per_channel, three_bands
from .formats.levels import GivenRange, Range, check_range
from .frame import Frame
from .reading import Picture, read
from .resampling import RESAMPLINGS, resample
from .transforms import apply, hard_edges, read_transform, varies

Prepared = Float[Tensor, "channel row col"]
"""One image in the model's input frame."""

Size = int | tuple[int, int] | list[int]
"""Pixels of a side, or (rows, cols)."""

_SAME = 4.0  # 255ths: libraries round differently, once in each of a few steps
_RESAMPLING = {way.name.lower(): way for way in Image.Resampling}


@dataclass(frozen=True, init=False)
class Preprocess:
    """How a picture becomes the network's input, and how places of the input are mapped back.

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
    channels: as many as mean and std have numbers, else 3. range: the values of black and white in
    a file of more than eight bits: "full" (all that its type allows; the default), "data" (the
    least and the largest), or two numbers. shown: the three bands, counted from 0, that are shown
    of pictures that have more; the first ones by default.

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
    range: Range | None
    shown: tuple[int, int, int] | None

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
        channels: int | None = None,
        fill: Number | Sequence[Number] = 0.0,
        floor_offset: bool = False,
        resampling: str = "pillow",
        range: GivenRange | None = None,
        shown: Sequence[int] | None = None,
    ) -> None:
        channels = channel_count(channels, mean, std, fill)
        ways = [*_RESAMPLING, "nearest-exact"]
        for name, value, known in (
            ("interpolation", interpolation, ways),
            ("resampling", resampling, RESAMPLINGS),
        ):
            if value not in known:
                raise BadField(f"{name}={value!r}; expected one of {', '.join(known)}.")
        fields: dict[str, Any] = geometry(size, crop, resize, fit)
        for name, values in (("mean", mean), ("std", std), ("fill", fill)):
            fields[name] = per_channel(name, values, channels)
        fields |= {"interpolation": interpolation, "antialias": antialias}
        fields |= {"channels": channels, "floor_offset": floor_offset, "resampling": resampling}
        fields |= {"range": check_range(range), "shown": three_bands(shown)}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def read(self, source: object) -> Picture:
        """The picture, in the range and with the bands shown that the fields say.

        **Raises:** `BadImage`, as `sightline.pictures.reading.read`.
        """
        picture = source if isinstance(source, Picture) else read(source, range=self.range)
        return picture.ranged(self.range, self.shown)

    def prepare(self, picture: Picture) -> Prepared:
        """What the network sees of the picture, in [0, 1], before mean and std.

        **Raises:** `BadImage` for a picture of another number of bands.
        """
        picture = picture.ranged(self.range, self.shown)
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
        fields = {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}
        unset = [n for n in ("range", "shown") if fields[n] is None]
        return {n: v for n, v in fields.items() if n not in unset}

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
        parts += {1: ["grey"], 3: []}.get(self.channels, [f"{self.channels} channels"])
        if self.range is not None:
            known = isinstance(self.range, str)
            parts.append(f"range {self.range if known else '{:g} to {:g}'.format(*self.range)}")
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
        values = picture.bands(self.channels)
        by_pillow = self.antialias and self.resampling == "pillow"
        if values.dtype != np.uint8 or (by_pillow and self.channels not in (1, 3)):
            way = self.interpolation
            return resize_bands(values, size, window, way, antialias=self.antialias)
        large = size[0] * size[1] > WHOLE
        if not by_pillow:
            if large:
                raise BadImage(
                    f"{picture.name} would be resized to {size[0]} x {size[1]} pixels; at most "
                    f"{WHOLE / 1e6:g} million without antialiasing by Pillow. Cut it first."
                )
            if self.fit == "keep":
                return resize_bands(values, size, window, "nearest")
            pixels = torch.from_numpy(np.array(values)).permute(2, 0, 1)
            options = (self.interpolation, self.antialias, self.resampling)
            return resample(pixels.contiguous(), size, *options)[:, top:bottom, left:right]
        image = Image.fromarray(values[..., 0] if self.channels == 1 else values)
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

    varies: whether it gives a different result for the same picture each time, which causes a
    warning.
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
                f"the preprocessing ({name}) gives a different result for the same picture each"
                " time, as training transforms do: scores and maps change from call to call."
                " Pass the transform that is used for evaluation.",
                SightlineWarning,
                stacklevel=5,
            )

    def read(self, source: object) -> Picture:
        """The picture. **Raises:** `BadImage`, as `sightline.pictures.reading.read`."""
        return source if isinstance(source, Picture) else read(source)

    def prepare(self, picture: Picture) -> Prepared:
        """What the transform makes of the picture.

        **Raises:** `BadField` when it fails, `ShapeError` when it gives no (channel, row, col).
        """
        picture.bands(3)  # an unknown transform is given colours, never some of the bands
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
        return {"opaque": display_text(self.transform), "varies": self.varies}

    def describe(self) -> str:
        """One line for `sightline inspect`."""
        random = ", random: another input each time" if self.varies else ""
        return f"unknown transform ({type(self.transform).__name__}): taken as normalised{random}"


def no_preprocessing(name: str) -> BadImage:
    """Why a model without a preprocessing takes no paths, Pillow images or arrays."""
    return BadImage(
        f"pictures came (paths, Pillow images or arrays), and {name} takes tensors only: a bare"
        " module has no preprocessing. Wrap it in `sl.Model(net, preprocess=...)`, such as"
        " `sl.Preprocess(size=224, mean=0.5, std=0.5)` or the transform of its training's"
        " evaluation; or load the network by name."
    )


def as_preprocess(given: Any) -> Preprocess | Opaque | None:  # Any: a transform of any library
    """What a model does with pictures: a transform that is understood, one that is not, or none."""
    return understand(given) or (None if given is None else Opaque(given))


def understand(transform: object) -> Preprocess | None:
    """The `Preprocess` that does the same as this transform of torchvision, timm or Hugging Face;
    None where a part is unknown. What was read is tested on pictures with hard edges, in each
    way of resampling: the nearest is taken, and a transform that does anything else with them is
    unknown too.
    """
    if isinstance(transform, Preprocess):
        return transform
    try:
        fields = read_transform(transform)
        if fields is None or not callable(transform):
            return None
        known = Preprocess(**{"channels": 3, **fields})
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
