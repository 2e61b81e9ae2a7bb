"""Resizing pictures of any number of bands, bytes or floats, band by band, as Pillow does it."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor
from torch.nn import functional

Window = tuple[int, int, int, int]
"""Top, left, bottom, right."""

WHOLE = 64_000_000
"""Resized pixels up to which all of a picture is resized before the crop."""


def resize_bands(
    values: Shaped[np.ndarray, "row col band"],
    size: tuple[int, int],
    window: Window,
    way: str,
    *,
    antialias: bool = True,
) -> Float[Tensor, "band rows cols"]:
    """The window of the picture resized to `size`, in [0, 1].

    values: bytes, which are rounded to bytes as Pillow does, or float32 in [0, 1]. way: as
    `Preprocess.interpolation` has it.
    """
    if not antialias:
        return _aliased(values, size, way)[:, window[0] : window[2], window[1] : window[3]]
    resampling = Image.Resampling[way.removesuffix("-exact").upper()]
    top, left, bottom, right = window
    y, x = values.shape[0] / size[0], values.shape[1] / size[1]
    part = (left * x, top * y, right * x, bottom * y)
    made = []
    for k in range(values.shape[2]):
        image = Image.fromarray(np.ascontiguousarray(values[..., k]))  # mode L, or F for float32
        if size[0] * size[1] > WHOLE:
            made.append(np.array(image.resize((right - left, bottom - top), resampling, part)))
            continue
        same = image.size == size[::-1]
        whole = image if same else image.resize((size[1], size[0]), resampling)
        made.append(np.asarray(whole)[top:bottom, left:right])
    stacked = torch.from_numpy(np.stack(made))
    natural = stacked.float() / 255 if stacked.dtype == torch.uint8 else stacked
    return natural.clamp(0, 1)  # bicubic and Lanczos overshoot in floats


def _aliased(
    values: Shaped[np.ndarray, "row col band"], size: tuple[int, int], way: str
) -> Float[Tensor, "band rows cols"]:
    scale = 255 if values.dtype == np.uint8 else 1
    natural = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1).float() / scale
    corners = False if way in ("bilinear", "bicubic") else None
    made = functional.interpolate(natural[None], size, mode=way, align_corners=corners)
    return made[0].clamp(0, 1)
