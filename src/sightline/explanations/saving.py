"""How an explanation is written to files and read again."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from inspect import isabstract
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import registry
from ..errors import BadField, BadModel, FileProblem, ShapeError, UnknownName
from ..files.writing import write_bytes, write_folder
from ..pictures.preprocess import Frame

SCHEMA = 1
_Kind = TypeVar("_Kind", bound="Saved")  # the shape hook of the tests knows no `Self`
_BESIDE = ("provenance", "pictures", "frames")  # not saved as the other fields are
_PICTURES = (".png", ".jpg", ".jpeg")


class Saved(ABC):
    """What has fields, provenance and frames, and can be kept in files."""

    provenance: dict[str, Any]
    images: Tensor | None
    frames: Sequence[Frame] | None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _held(self) -> dict[str, Any]:
        """What the fields hold, besides the provenance."""

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write one image's picture (`.png`, `.jpg`, and `.svg` where the kind has one), the result
        as plain data (`.json`) or as a page (`.html`), or a folder of arrays, pictures and
        `manifest.json`.

        options: of the picture of a map; `caption=False` and `scale=False` leave out what stands
        below it, `scale="per-image"` colours raw values, `style=dict(colormap=, opacity=,
        contours=)` changes the colours.

        Raises: FileProblem when the folder exists with something in it, or the disk is full;
        UnknownName for a form that this kind does not have; BadField for an option that the form
        does not take.
        """
        path = Path(path)
        form = path.suffix.lower()
        if options and form not in _PICTURES:
            raise BadField(
                f"{', '.join(options)} came with {path.name}, and only pictures (.png, .jpg) take"
                " options. Leave them out."
            )
        if form == ".json":
            text = json.dumps(self.to_json(), indent=1, ensure_ascii=False)
            return write_bytes(path, text.encode())
        if form == ".html":
            return write_bytes(path, registry.view(type(self), "html")(self).encode())
        if form not in (*_PICTURES, ".svg"):
            return write_folder(path, self._files())
        if len(self) != 1:
            raise ShapeError(
                f"{len(self)} pictures do not fit into one file. `heat[0].save(...)` writes one of"
                " them, `save('folder')` keeps them all."
            )
        return write_bytes(path, self._drawer(form, options)(0))

    def to_json(self) -> dict[str, Any]:
        """The result as plain data, tensors as nested lists, None for NaN; without the pictures."""
        told = {k: _listed(v) for k, v in self._held().items() if k not in ("images", *_BESIDE)}
        return {**self._named(), **told, "provenance": self.provenance}

    @classmethod
    def load(cls: type[_Kind], path: str | Path) -> _Kind:
        """What `save(folder)` wrote, of this kind. Raises: FileProblem, BadModel for another."""
        from safetensors.torch import load_file

        folder = Path(path)
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            arrays = load_file(folder / "arrays.safetensors")
        except (OSError, ValueError) as error:
            raise FileProblem(f"{folder} holds no saved explanation: {error}") from None
        name = manifest.get("explanation")
        kind: Any = _kind(str(name)) if isabstract(cls) else cls
        if manifest.get("schema") != SCHEMA or name != kind.__name__:
            raise BadModel(
                f"{folder} is a {name} of schema {manifest.get('schema')}; expected a"
                f" {kind.__name__} of {SCHEMA}. `sightline.Explanation.load` takes every kind."
            )
        return kind._from(manifest, arrays)

    def _named(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "explanation": type(self).__name__}

    def _drawer(
        self, form: str, options: Mapping[str, Any] | None = None
    ) -> Callable[[int], bytes]:
        """What draws one image in a form such as `.png`, as the bytes of a file."""
        if form == ".svg":
            draw = registry.view(type(self), "svg")
            return lambda i: draw(self, i).encode()
        draw = registry.fitting_view(type(self), "png", options or {})
        return lambda i: draw(self, i, form, **options or {})

    def _files(self) -> dict[str, bytes]:
        from safetensors.torch import save

        arrays: dict[str, Tensor] = {}
        manifest = self._manifest(arrays)
        files = {
            "arrays.safetensors": save(arrays),
            "manifest.json": json.dumps(manifest, indent=1, ensure_ascii=False).encode(),
        }
        for form, name in ((".png", "overlay"), (".svg", "picture")):
            if self.images is not None:
                with suppress(UnknownName):  # not every kind is drawn in every form
                    draw = self._drawer(form)
                    files |= {f"{name}-{i:03d}{form}": draw(i) for i in range(len(self))}
        return files

    def _manifest(self, arrays: dict[str, Tensor], before: str = "") -> dict[str, Any]:
        """All but the pictures as JSON; tensors go into `arrays` and leave their name behind."""
        held = {k: v for k, v in self._held().items() if k not in _BESIDE}
        told = {name: _stored(f"{before}{name}", value, arrays) for name, value in held.items()}
        frames = [f.to_json() for f in self.frames] if self.frames else None
        return {**self._named(), "provenance": self.provenance, "frames": frames, **told}

    @classmethod
    def _from(cls: type[_Kind], manifest: dict[str, Any], arrays: dict[str, Tensor]) -> _Kind:
        made: Any = cls  # every kind is a dataclass
        names = [f.name for f in fields(made) if f.name not in _BESIDE]
        frames = manifest.get("frames")
        return made(
            **{n: _restored(manifest[n], arrays) for n in names if n in manifest},
            provenance=manifest["provenance"],
            frames=[Frame.from_json(f) for f in frames] if frames else None,
        )


def _stored(name: str, value: Any, arrays: dict[str, Tensor]) -> Any:
    """A value as JSON; a tensor becomes `{"array": its name in arrays}`."""
    if isinstance(value, Tensor):
        arrays[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"array": name}
    if isinstance(value, Saved):
        return {"nested": value._manifest(arrays, f"{name}."), "kind": type(value).__name__}
    if isinstance(value, Mapping):
        return {k: _stored(f"{name}.{k}", v, arrays) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stored(f"{name}.{i}", v, arrays) for i, v in enumerate(value)]
    return value


def _restored(value: Any, arrays: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return arrays[value["array"]]
        if set(value) == {"nested", "kind"}:
            return _kind(value["kind"])._from(value["nested"], arrays)
        return {k: _restored(v, arrays) for k, v in value.items()}
    return [_restored(v, arrays) for v in value] if isinstance(value, list) else value


def _kind(name: str) -> type[Saved]:
    """The class of a saved explanation. Raises: BadModel for one that is not known here."""
    registry.discover_kinds()
    known, waiting = {}, [Saved]
    while waiting:
        found = waiting.pop().__subclasses__()
        known |= {each.__name__: each for each in found}
        waiting += found
    if name not in known:
        raise BadModel(
            f"no kind of explanation is named {name}; import the module that defines it first."
        )
    return known[name]


def _listed(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _listed(value.detach().cpu().tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no NaN
    if isinstance(value, Saved):
        return value.to_json()
    if isinstance(value, Mapping):
        return {k: _listed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(v) for v in value]
    return value
