"""What an explainer returns: frozen results that carry where they came from.

Every tensor has the batch first, so that results can be split, joined and saved without knowing
their method. This version has `Heatmap`; the other kinds (regions, concepts, matches, words,
chains) come with their methods.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from . import registry
from .errors import BadModel, FileProblem, NotExplainable, ShapeError
from .images import Picture
from .ops.files import write_bytes, write_folder
from .preprocess import Frame
from .shapes import Heat, Images

SCHEMA = 1
_Kind = TypeVar("_Kind", bound="Explanation")  # the shape hook of the tests knows no `Self`
_PER_IMAGE = ("target_index", "target_label", "score", "probability", "picture")


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation(ABC):
    """The result of one method on a batch of pictures.

    provenance: model, weights digest, method, parameters, target, preprocessing, versions, seed,
    cost. images: what the model saw, (batch, channel, row, col) in [0, 1]. pictures, frames: the
    originals and how they lie in the model's frame, where known.
    """

    provenance: dict[str, Any] = field(default_factory=dict)
    images: Tensor | None = None
    pictures: Sequence[Picture] | None = None
    frames: Sequence[Frame] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self: _Kind, rows: Sequence[int] | slice) -> _Kind:
        """The explanation of some images of the batch, in the order of `rows`."""

    def figure(
        self, **options: Any
    ) -> Any:  # a matplotlib Figure; Any keeps matplotlib out of the import
        """A matplotlib figure of the result beside its pictures."""
        return registry.view(type(self), "figure")(self, **options)

    def _repr_html_(self) -> str:
        return registry.view(type(self), "html")(self)


@dataclass(frozen=True, eq=False)
class Heatmap(Explanation):
    """Where does the evidence lie? One number per pixel.

    values (batch, row, col): float32 in the model's input frame, raw scale, clipped only where the
    paper clips. native: signed and unclipped, (batch, row, col) at the layer's resolution, or None.
    channels: (batch, channel, row, col) where each colour is attributed. details: per-image extras
    by name, read as attributes (`heat.completeness`). partner: the second picture's map of a pair
    method.

    Do not trust it more than its metrics say: a map that looks right may be wrong.

    >>> import torch
    >>> Heatmap(torch.zeros(2, 4, 5)).take([1]).values.shape
    torch.Size([1, 4, 5])
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

    def overlay(self, i: int = 0, scale: Any = "per-image") -> np.ndarray:
        """Image `i` under its map, uint8 (row, col, 3), in the model's input frame."""
        if self.images is None:
            raise NotExplainable(
                "this heatmap carries no images, so there is nothing to lay it over."
            )
        shown = (self.images[i].detach().float().clamp(0, 1) * 255).round().byte().cpu()
        array = shown.permute(1, 2, 0).numpy()
        array = array.repeat(3, 2) if array.shape[2] == 1 else array[..., :3]
        return registry.view(type(self), "overlay")(array, self.numpy()[i], scale)

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
            raise NotExplainable(
                "the original pictures are not known: the images came as tensors, or through a"
                " preprocessing whose"
                " geometry is unknown. Give paths, PIL images or arrays, and a `sl.Preprocess`."
            )
        return [f.to_original(v) for f, v in zip(self.frames, self.numpy(), strict=True)]

    def take(self, rows: Sequence[int] | slice) -> "Heatmap":
        """The explanation of some images of the batch, in the order of `rows`."""
        picked = list(range(len(self))[rows]) if isinstance(rows, slice) else [int(r) for r in rows]
        index = torch.tensor(picked, dtype=torch.long)

        def part(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value[index.to(value.device)]
            return [value[i] for i in picked] if isinstance(value, (list, tuple)) else value

        return replace(
            self,
            values=part(self.values),
            native=part(self.native),
            channels=part(self.channels),
            details={k: part(v) for k, v in self.details.items()},
            partner=self.partner.take(rows) if self.partner else None,
            provenance={k: part(v) if k in _PER_IMAGE else v for k, v in self.provenance.items()},
            images=part(self.images),
            pictures=part(self.pictures),
            frames=part(self.frames),
        )

    @classmethod
    def join(cls, parts: Sequence["Heatmap"]) -> "Heatmap":
        """One explanation of all images of `parts`, in order. Native maps of unequal size are left
        out."""
        if len(parts) == 1:
            return parts[0]

        def joined(pick: Any) -> Any:
            values = [pick(p) for p in parts]
            if any(v is None for v in values):
                return None
            if isinstance(values[0], Tensor):
                fits = len({v.shape[1:] for v in values}) == 1
                return torch.cat(values) if fits else None
            return (
                [x for v in values for x in v]
                if isinstance(values[0], (list, tuple))
                else values[0]
            )

        first = parts[0]
        return cls(
            **{
                f.name: joined(lambda p, n=f.name: getattr(p, n))
                for f in fields(first)
                if f.name not in _KEPT
            },
            details={k: joined(lambda p, k=k: p.details.get(k)) for k in first.details},
            partner=cls.join([p.partner for p in parts if p.partner]) if first.partner else None,
            provenance={
                k: joined(lambda p, k=k: p.provenance.get(k)) if k in _PER_IMAGE else v
                for k, v in first.provenance.items()
            },
        )

    def save(self, path: str | Path) -> Path:
        """Write an overlay (`.png`, `.jpg`; one image) or a folder of arrays, overlays and
        `manifest.json`.

        Raises: FileProblem when the folder exists with something in it, or the disk is full.
        """
        path = Path(path)
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            if len(self) != 1:
                raise ShapeError(
                    f"{len(self)} images do not fit into one picture; `save('folder')` keeps"
                    " them all."
                )
            return write_bytes(path, registry.view(type(self), "png")(self, 0, path.suffix.lower()))
        return write_folder(path, self._files())

    def _files(self) -> dict[str, bytes]:
        arrays = {
            k: v.detach().cpu().contiguous()
            for k, v in (
                ("values", self.values),
                ("native", self.native),
                ("channels", self.channels),
                ("images", self.images),
            )
            if v is not None
        }
        arrays |= {
            f"details.{k}": v.detach().cpu().contiguous()
            for k, v in self.details.items()
            if isinstance(v, Tensor)
        }
        manifest = {
            "schema": SCHEMA,
            "explanation": type(self).__name__,
            "provenance": self.provenance,
            "details": {k: v for k, v in self.details.items() if not isinstance(v, Tensor)},
            "frames": [f.to_json() for f in self.frames] if self.frames else None,
        }
        from safetensors.torch import save

        files = {
            "arrays.safetensors": save(arrays),
            "manifest.json": json.dumps(manifest, indent=1, ensure_ascii=False).encode(),
        }
        if self.images is not None:
            draw = registry.view(type(self), "png")
            files |= {f"overlay-{i:03d}.png": draw(self, i, ".png") for i in range(len(self))}
        return files

    @classmethod
    def load(cls, path: str | Path) -> "Heatmap":
        """What `save(folder)` wrote. Raises: FileProblem, BadModel for something else."""
        from safetensors.torch import load_file

        folder = Path(path)
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            arrays = load_file(folder / "arrays.safetensors")
        except (OSError, ValueError) as error:
            raise FileProblem(f"{folder} holds no saved explanation: {error}") from None
        if manifest.get("schema") != SCHEMA or manifest.get("explanation") != cls.__name__:
            raise BadModel(
                f"{folder} is a {manifest.get('explanation')} of schema {manifest.get('schema')}."
            )
        frames = manifest["frames"]
        details = {
            k.removeprefix("details."): v for k, v in arrays.items() if k.startswith("details.")
        }
        return cls(
            arrays["values"],
            arrays.get("native"),
            arrays.get("channels"),
            {**manifest["details"], **details},
            provenance=manifest["provenance"],
            images=arrays.get("images"),
            frames=[Frame.from_json(f) for f in frames] if frames else None,
        )


_KEPT = ("details", "partner", "provenance")
