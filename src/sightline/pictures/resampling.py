"""Resizing as torch does it, on eight-bit or floating pixels: what Pillow's resizing is not.

Bicubic weights overshoot at hard edges. Torch on floats keeps that (values leave [0, 1]), torch on
bytes cuts it after each of its two passes, columns first; Pillow chooses the order by cost.
"""

from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from ..errors import BadField

RESAMPLINGS = ("pillow", "bytes", "clamped", "floats")


def resample(
    pixels: UInt8[Tensor, "channel row col"],
    size: tuple[int, int],
    interpolation: str,
    antialias: bool,
    resampling: str,
) -> Float[Tensor, "channel rows cols"]:
    """The picture at another size, in [0, 1]; "floats" may leave it where weights are negative.

    Raises: BadField for an interpolation that torch does not have.
    """
    smooth = interpolation in ("bilinear", "bicubic")
    if not smooth and interpolation not in ("nearest", "nearest-exact"):
        way = "antialias=True" if not antialias else "resampling='pillow'"
        raise BadField(f"interpolation={interpolation!r} always antialiases; set {way}.")
    whole = resampling == "bytes" and smooth
    values = pixels[None] if whole else pixels[None].float().div(255)
    made = functional.interpolate(
        values,
        size,
        mode=interpolation,
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )[0]
    made = made.float().div(255) if whole else made
    return made if resampling == "floats" else made.clamp(0, 1)
