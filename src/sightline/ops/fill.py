"""What hidden pixels become: a named value, in the picture's natural units.

`Fill("mean")` is the model's own mean colour: in normalised units it is zero, so multiplying a
normalised picture by a mask and blending with this fill are the same numbers.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import BadField
from ..shapes import Images
from .blur import gaussian_blur
from .noise import generator

NAMES = ("mean", "blur", "noise", "black", "white", "grey", "image-mean")
_COLOURS = {"black": 0.0, "white": 1.0, "grey": 0.5}


@runtime_checkable
class HasMean(Protocol):
    """A model, seen from here: the mean colour that it subtracts, (1, channel, 1, 1), and whether
    pictures come in natural units, so that it is known what black is."""

    @property
    def mean(self) -> Float[Tensor, "#image channel 1 1"]: ...
    @property
    def natural(self) -> bool: ...


@dataclass(frozen=True)
class Fill:
    """The colour of a hidden pixel.

    name: `mean` (the model's mean colour), `image-mean` (each picture's own), `blur` (an 11 pixel
    Gaussian blur, sigma 5, as RISE's insertion uses), `noise` (uniform, seeded; over each channel's
    own range in each picture where units are unknown), `black`, `white`, `grey`, or a number, in
    the units of the pictures, written as text or float.
    """

    name: str | float = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name in NAMES:
            return
        try:
            value = float(self.name)
        except ValueError:
            raise BadField(
                f"no fill {self.name!r}; use one of {', '.join(NAMES)} or a number."
            ) from None
        object.__setattr__(self, "name", value)

    def like(self, images: Images, model: HasMean) -> Images:
        """Pictures of the shape of `images` that hold nothing but the fill.

        Raises: BadField for a colour where tensors come as the network expects them: its value
        there is unknown, and 0 would be the mean.
        """
        if self.name == "mean":
            return model.mean.to(images).expand_as(images)
        if self.name == "image-mean":
            return images.mean((2, 3), keepdim=True).expand_as(images)
        if self.name == "blur":
            return gaussian_blur(images, 11, 5.0)
        if self.name == "noise":
            drawn = torch.rand(
                images.shape[1:],
                generator=generator(self.seed, "fill"),
                dtype=torch.float32,
                device="cpu",
            )
            drawn = drawn.to(images).expand_as(images)
            if model.natural:
                return drawn
            low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
            return low + (high - low) * drawn
        if self.name in _COLOURS and not model.natural:
            raise BadField(
                f"the fill {self.name!r} is a colour, and its value is not known in tensors that"
                ' come as the network expects them (mostly normalised). Use "mean", a number'
                " in the units of the tensor, or a model that normalises: `sl.Model(net,"
                " preprocess=sl.Preprocess(size, mean=..., std=...))`."
            )
        return torch.full_like(images, float(_COLOURS.get(str(self.name), self.name)))
