"""Part words: parts that people name, hidden one by one, and a sentence of those that mattered.

Project definition: evidence is the drop of the score when the part is hidden, checked against
regions of the same size elsewhere (the family's file). For any model, without attributes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import NotExplainable, ShapeError, UnknownName, near
from ...model import Model
from ...pictures.frame import Frame
from ...registry import register
from ...shapes import Images
from ...target import Target
from . import _parts
from ._named_regions import NamedRegion, WordExplainer


@register("part-words", paper="arXiv:2009.13862")
@dataclass(frozen=True, kw_only=True)
class PartWords(WordExplainer):
    """Which of the parts that I name does the model's prediction depend on?

    named: a mapping of parts to boxes x0, y0, x1, y1 or masks (row, col), one for all pictures or a
    list with one for each (None where the part is not seen); or a file: JSON, picture -> part ->
    box or mask file, or CSV with the columns image, part, x0, y0, x1, y1. Boxes and masks are in
    pixels of the picture; of the tensor, where tensors are explained. others: regions elsewhere
    that each part is compared with. A part of more than half of the picture cannot be checked.

    Do not trust it about parts that you did not name. Read a part that fails its check as "not
    shown to matter": where the same evidence appears twice, hiding one copy changes nothing.
    """

    named: Mapping[str, Any] | tuple | str | Path | None = None  # Any: boxes and masks

    def settle(self) -> None:
        if isinstance(self.named, (str, Path)):
            object.__setattr__(self, "named", str(self.named))
        elif self.named is not None:
            object.__setattr__(self, "named", _parts.plain(self.named))

    def named_regions(
        self, model: Model, images: Images, target: Target
    ) -> list[list[NamedRegion]]:
        parts = default_places(model) if self.named is None else self.named
        shown, places = _placed(parts, model, images)
        size = (images.shape[2], images.shape[3])
        found = []
        for frame, named in zip(shown, places, strict=True):
            masks = {name: _parts.mask_of(place, size, frame) for name, place in named.items()}
            found.append(
                [NamedRegion(name, mask) for name, mask in masks.items() if mask is not None]
            )
        return found


def default_places(model: Model) -> _parts.Places:
    """What is explained where no parts are named. Raises: NotExplainable, which says how to."""
    raise NotExplainable(
        "part-words needs the parts of the pictures, and none are named. Give"
        ' `named={"crest": [x0, y0, x1, y1]}` (a box or a mask; a list for several'
        " pictures), or a file: `--set named=parts.json` or `parts.csv` (columns image, part,"
        " x0, y0, x1, y1)."
    )


def _placed(
    parts: Any, model: Model, images: Tensor
) -> tuple[list[Frame | None], list[dict[str, str]]]:
    """How each picture lies in the model's frame, and part -> place in it.

    A long batch is explained slice by slice; lists have one place for each picture of the whole.
    """
    places = _places(parts, model, images)
    size = (images.shape[2], images.shape[3])
    if all(_parts.is_mask_of(place, size) for named in places for place in named.values()):
        return list(model.frames(images) or [None] * len(images)), places
    return model.origins.placed(images), places


def _places(parts: Any, model: Model, images: Tensor) -> list[dict[str, str]]:
    if isinstance(parts, str):
        return _looked_up(Path(parts).expanduser(), model, images)
    rows, count = model.origins.rows(images)
    found: list[dict[str, str]] = [{} for _ in rows]
    for name, where in _parts.plain(parts):
        if isinstance(where, tuple) and len(where) != count:
            raise ShapeError(
                f"{len(where)} places of {name!r} for {count} images; give one for all, or a"
                " list with one per image (None where it is not seen)."
            )
        for row, places in zip(rows, found, strict=True):
            places[name] = where[row] if isinstance(where, tuple) else where
    return found


def _looked_up(path: Path, model: Model, images: Tensor) -> list[dict[str, str]]:
    known = _parts.from_file(path)
    pictures = model.origins.names(images)
    every = known.get("*", {})
    if pictures is None:
        if not every:
            raise ShapeError(
                f"{path} names pictures, but tensors came; give paths, or the name * in the file."
            )
        return [every] * len(images)
    by_name = {Path(name).name: places for name, places in known.items()}
    found = []
    for picture in pictures:
        name = Path(picture).name
        if name not in by_name and not every:
            raise UnknownName(f"{path} names no parts of {name!r}{near(name, by_name)}")
        found.append({**every, **by_name.get(name, {})})
    return found
