"""What an explainer returns: frozen results that carry where they came from.

Splitting, joining, saving and loading read the dataclass fields, so a new kind is a small
dataclass. A field holds what belongs to the images, in their order (a tensor with the batch first,
a list or tuple with one entry per image, another Explanation, or a mapping of names to these), or
one thing for all: a number, a text, and whatever the kind names in `whole`. `Heatmap` is here;
the other kinds are in `explanations/`.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from . import registry
from .errors import NotExplainable, ShapeError
from .explanations import rows as by_row
from .explanations.saving import Saved
from .network.labels import in_short
from .pictures.preprocess import Frame
from .pictures.reading import Picture
from .shapes import Heat, Images

_Kind = TypeVar("_Kind", bound="Explanation")  # the shape hook of the tests knows no `Self`
_SEEN = ("images", "pictures", "frames")  # of the pictures themselves, whatever was found in them


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Explanation(Saved):
    """The result of one method on a batch of pictures.

    provenance: model, weights digest, method, parameters, target, preprocessing, versions, seed,
    cost; `refused`, for each picture why it has no result, None where it has one. images: the
    model's input, (batch, channel, row, col) in [0, 1]. pictures, frames: the originals and how
    they lie in the model's frame, where known.
    """

    whole: ClassVar[tuple[str, ...]] = ()

    provenance: dict[str, Any] = field(default_factory=dict)
    images: Tensor | None = None
    pictures: Sequence[Picture] | None = None
    frames: Sequence[Frame] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def refused_if_empty(self: _Kind, method: str, model: str) -> _Kind:
        """The result as it may be shown: pictures of which it says nothing (a map of zeros, values
        that are not finite) marked, as `without` does. method, model: for messages.

        Raises: NotExplainable where no picture is left.
        """

    @classmethod
    def nothing(cls: type[_Kind], count: int, size: tuple[int, int], like: Any = None) -> _Kind:
        """A result of this kind that says nothing of `count` pictures of `size` (row, col): numbers
        are NaN, lists empty. like: one of the same kind
        whose axes and names it takes.

        Raises: NotExplainable where the kind is not known to have such a form.
        """
        if like is None:
            raise NotExplainable(f"{cls.__name__} has no empty form.")
        empty = {
            name: value if name in cls.whole else by_row.blank(value, count)
            for name, value in like._held().items()
            if name not in _SEEN
        }
        return cls(**empty)

    @property
    def refused(self) -> list[str | None]:
        """For each picture why it has no result; None where it has one."""
        return list(self.provenance.get("refused") or [None] * len(self))

    @property
    def lost(self) -> bool:
        """Whether no picture has a result."""
        return len(self) > 0 and None not in self.refused

    def without(self: _Kind, reasons: Sequence[str | None]) -> _Kind:
        """The result with the pictures that have a reason left empty and marked as refused."""
        told = {**self.provenance, "refused": list(reasons)}
        dead = [i for i, reason in enumerate(reasons) if reason is not None]
        if not dead:
            return replace(self, provenance=told)
        bare = replace(self, provenance={})
        both = type(self).join([bare, self.nothing(len(dead), (1, 1), bare)])
        rows = [len(self) + dead.index(i) if i in dead else i for i in range(len(self))]
        return replace(both.take(rows), provenance=told, **self._seen())

    def __repr__(self) -> str:
        return in_short(type(self).__name__, len(self), self.provenance)

    def figure(self, **options: Any) -> Any:  # Any keeps matplotlib out of the import
        """A matplotlib figure of the result beside its pictures."""
        return registry.fitting_view(type(self), "figure", options)(self, **options)

    def _repr_html_(self) -> str:
        return registry.view(type(self), "html")(self)

    def detached(self: _Kind) -> _Kind:
        """The result without graphs; the tensors that are fields in float32."""

        def free(value: Any) -> Any:
            return value.detach() if isinstance(value, Tensor) else value

        def plain(value: Any) -> Any:
            value = free(value)
            floating = isinstance(value, Tensor) and value.is_floating_point()
            return value.float() if floating else by_row.each(value, free)

        return replace(self, **{n: plain(v) for n, v in self._held().items()})

    def __getitem__(self: _Kind, which: Any) -> _Kind:  # Any: checked here
        """The explanation of one picture, counted from 0 (-1 is the last), or of a slice of them.

        Raises: OutOfRange (an IndexError) where there is no such picture; BadField for what is
        neither a whole number nor a slice.
        """
        if isinstance(which, slice):
            return self.take(which)
        return self.take([by_row.row_of(which, len(self))])

    def __iter__(self: _Kind) -> Iterator[_Kind]:
        """The explanations of its pictures, one by one."""
        return (self.take([i]) for i in range(len(self)))

    def take(self: _Kind, rows: Sequence[int] | slice) -> _Kind:
        """The explanation of some images of the batch, in the order of `rows`."""
        picked = list(range(len(self))[rows]) if isinstance(rows, slice) else [int(r) for r in rows]
        told = self.provenance.items()
        return replace(
            self,
            **{
                name: value if name in self.whole else by_row.taken(value, picked)
                for name, value in self._held().items()
            },
            provenance={
                k: by_row.taken(v, picked) if k in by_row.PER_IMAGE else v for k, v in told
            },
        )

    @classmethod
    def join(cls: type[_Kind], parts: Sequence[_Kind]) -> _Kind:
        """One explanation of all images of `parts`, in order. Tensors of unequal size, such as
        native maps, are left out."""
        if len(parts) == 1:
            return parts[0]
        living = next((part for part in parts if not part.lost), None)
        if living is not None:  # what has no result has no axes of its own
            parts = [part._shaped(living) if part.lost else part for part in parts]
        held = [part._held() for part in parts]
        told = [part.provenance for part in parts]
        return cls(
            **{
                name: value if name in cls.whole else by_row.joined([h[name] for h in held])
                for name, value in held[0].items()
            },
            provenance={
                k: by_row.joined([f.get(k) for f in told]) if k in by_row.PER_IMAGE else v
                for k, v in told[0].items()
            },
        )

    def _shaped(self: _Kind, like: _Kind) -> _Kind:
        """A result that says nothing, with the axes of another."""
        empty = self.nothing(len(self), (1, 1), like)
        return replace(empty, provenance=self.provenance, **self._seen())

    def _seen(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SEEN}

    def _held(self) -> dict[str, Any]:
        """What the fields hold, besides the provenance."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "provenance"}


@dataclass(frozen=True, eq=False, repr=False)
class Heatmap(Explanation):
    """Where does the evidence lie? A heatmap holds one number per pixel.

    values (batch, row, col): float32 in the model's input frame, raw scale, clipped only where the
    paper clips. native: signed and unclipped, (batch, row, col) at the layer's resolution, or None.
    channels: (batch, channel, row, col) where each colour is attributed. details: per-image extras
    by name, read as attributes (`heat.completeness`); `remark`: what an image's map misleads
    without. partner: the second picture's map of a pair method.

    Do not trust it more than its metrics say: a map that looks right may be wrong.

    >>> import torch
    >>> heat = Heatmap(torch.zeros(2, 4, 5))
    >>> heat[-1].values.shape, len(heat), [len(one) for one in heat]
    (torch.Size([1, 4, 5]), 2, [1, 1])
    """

    values: Heat
    native: Tensor | None = None
    channels: Images | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    partner: "Heatmap | None" = None

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ShapeError(f"a heatmap is (batch, row, col); got {tuple(self.values.shape)}.")

    def __len__(self) -> int:
        return len(self.values)

    def __getattr__(self, name: str) -> Any:
        details = self.__dict__.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(
            f"this Heatmap has no {name!r}; its details: {', '.join(details) or 'none'}"
        )

    def numpy(self) -> np.ndarray:
        """A copy of the values as a float32 array (batch, row, col)."""
        return self.values.detach().cpu().numpy().copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def bands(self, i: int = 0) -> tuple[int, int, int] | None:
        """The channels of image `i` that stand for red, green and blue; None where all are seen."""
        if self.images is None or self.images.shape[1] < 4:
            return None
        picture = self.pictures[i] if self.pictures is not None else None
        return (picture.shown if picture else None) or (0, 1, 2)

    def overlay(self, i: int = 0, scale: Any = "evidence") -> np.ndarray:
        """Image `i` under its map, uint8 (row, col, 3), in the model's input frame; one without a
        map is dimmed, with the reason written over it."""
        if self.images is None:
            raise NotExplainable(
                "this heatmap has no images, so there is no picture to draw it on."
            )
        array = self.images[i].detach().float().permute(1, 2, 0).cpu().numpy()
        if (order := self.bands(i)) is not None:
            array = array[..., list(order)]
        reason = self.refused[i]
        note = "" if reason is None else f"No map: {reason}"
        return registry.view(type(self), "overlay")(array, self.numpy()[i], scale, note=note)

    def pil(self, i: int = 0, size: tuple[int, int] | None = None) -> Any:  # a PIL image
        """The overlay of image `i` as a PIL image, resized to `size` (row, col) if given."""
        from PIL import Image

        picture = Image.fromarray(self.overlay(i))
        return picture.resize((size[1], size[0])) if size else picture

    def on_original(self) -> list[np.ndarray]:
        """Each map in its original picture's frame, float32 (rows, columns), NaN where the crop
        removed the picture.

        Raises: NotExplainable where the geometry is not known (tensors, or an unknown transform).
        """
        if self.frames is None:
            raise NotExplainable(by_row.NO_FRAMES)
        return [f.to_original(v) for f, v in zip(self.frames, self.numpy(), strict=True)]

    @classmethod
    def nothing(cls, count: int, size: tuple[int, int], like: Any = None) -> "Heatmap":
        """Maps of NaN, with `empty` in their details."""
        device = None if like is None else like.values.device
        gone = {"empty": torch.ones(count, dtype=torch.bool, device=device)}
        if like is None:
            return cls(
                torch.full((count, *size), float("nan"), dtype=torch.float32, device="cpu"),
                details=gone,
            )
        empty = super().nothing(count, size, like)
        return replace(empty, details={**empty.details, **gone})

    def refused_if_empty(self, method: str, model: str) -> "Heatmap":
        """The maps, with `empty` (batch,) in their details: where clipping left nothing, and where
        there is no map. Maps of zeros, before clipping, and those that are not finite are refused.

        Raises: NotExplainable where no map is left.
        """
        signed = (self.values if self.native is None else self.native).flatten(1)
        finite = torch.isfinite(signed).all(1) & torch.isfinite(self.values).flatten(1).all(1)
        dead = (signed == 0).all(1)
        who, near = f"{method} on {model}", self.provenance.get("saturated") or [False] * len(self)
        reasons: list[str | None] = [
            None if ok and not zero else by_row.why_empty(who, not ok, near[i])
            for i, (ok, zero) in enumerate(zip(finite.tolist(), dead.tolist(), strict=True))
        ]
        if reasons and None not in reasons:
            raise NotExplainable(reasons[0])
        clipped = (self.values == 0).flatten(1).all(1) & ~dead
        by_row.warn_of_maps(method, clipped, self.details.get("remark", ()))
        return replace(self, details={**self.details, "empty": clipped}).without(reasons)
