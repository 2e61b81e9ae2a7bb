"""Data sets of Hugging Face, `hf:NAME[:SPLIT]`: from the hub or a folder on disk, streamed.

The picture is the first column of pictures; its bytes are passed on as they are. The label is the
first column of class labels, which stand for their names, else one that is called `label`. A column
`box` holds x0, y0, x1, y1 in pixels. Code that comes with a data set is never run.
"""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadField, BadImage, MissingExtra, near
from ..pictures.encoded import Encoded
from ..sample import TOP, Sample, Samples
from .openers import opener
from .shards import with_boxes

log = logging.getLogger("sightline")

_ORDER = ("test", "validation", "train")  # what is judged on, where no split is named
_LABELS = ("label", "labels", "class")
_BOXES = ("box", "boxes")


@opener("hf", form="hf:NAME[:SPLIT]")
def samples(name: str) -> Samples:
    """The pictures of a data set's split; without a split its test part, or what is nearest to one.

    Raises: MissingExtra without the library, BadImage where there is no such data set, BadField for
    a split that it does not have or for one without pictures.
    """
    if importlib.util.find_spec("datasets") is None:
        raise MissingExtra(
            f"hf:{name} needs the library datasets, which is not installed: `pip install datasets`;"
            " a folder, a CSV or tar shards need nothing more."
        )
    place, wanted = _named(name)
    with _quiet():
        splits = _opened(place, name)
        split = wanted or next((s for s in _ORDER if s in splits), next(iter(splits)))
        if split not in splits:
            raise BadField(
                f"hf:{place} has no split {split!r}{near(split, splits)} Splits:"
                f" {', '.join(splits)}."
            )
        data, columns = _columns(splits[split], place)
    notes = () if wanted or len(splits) == 1 else (f"hf:{place}: the split {split} is used.",)
    return Samples(
        name=f"hf:{name}",
        count=columns.count,
        start=lambda: _rows(data, columns, place),
        notes=(*notes, *columns.notes),
    )


def _named(name: str) -> tuple[str, str | None]:
    """The data set and its split: what follows the last colon, where that is a word."""
    place, colon, split = name.rpartition(":")
    return (place, split) if colon and split.isidentifier() else (name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no remarks of the library's own."""
    import datasets

    level, shown = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    hub.setLevel(logging.ERROR)
    datasets.logging.set_verbosity(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        hub.setLevel(before)
        datasets.logging.set_verbosity(level)
        if not shown:
            datasets.enable_progress_bars()


def _opened(place: str, name: str) -> dict[str, Any]:
    import datasets

    path = Path(place).expanduser()
    if not path.is_dir():
        log.info("asking the hub of Hugging Face for %s", place)
    try:
        found = datasets.load_dataset(str(path) if path.is_dir() else place, streaming=True)
    except Exception as error:  # the network, the hub, or the files: each raises its own
        raise BadImage(
            f"hf:{name} cannot be opened ({_first_line(error)}); expected a data set of pictures on"
            " the hub, or a folder with Parquet files or class folders. Where there is no network,"
            " name a folder."
        ) from None
    splits: dict[str, Any] = {str(name): part for name, part in found.items()}
    if not splits:
        raise BadImage(f"hf:{name} has no split, so there is no picture in it.")
    return splits


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(" .")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """Which column is what. names: of the classes that the label's numbers count through."""

    picture: str
    label: str | None
    box: str | None
    names: tuple[str, ...]
    count: int | None
    notes: tuple[str, ...] = ()

    def label_of(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a row says of its label, as a sample's fields."""
        value = row[self.label] if self.label else None
        if value in (None, "") or (self.names and value < 0):  # -1: the hub's word for none
            return {}
        if not self.names:
            return {"label": str(value)}
        text = self.names[value] if value < len(self.names) else str(value)
        return {"label": text, "number": value, "names": self.names}


def _columns(data: Any, place: str) -> tuple[Any, _Columns]:
    import datasets

    features = data.features or data._resolve_features().features or {}
    pictures = [n for n, f in features.items() if isinstance(f, datasets.Image)]
    if not pictures:
        raise BadField(
            f"hf:{place} has no column of pictures; its columns are"
            f" {', '.join(features) or 'not known'}."
        )
    classes = [n for n, f in features.items() if isinstance(f, datasets.ClassLabel)]
    label = next(iter([*classes, *(n for n in _LABELS if n in features)]), None)
    names = features[label].names if label in classes else None
    info = data.info.splits or {}
    known = info.get(data.split) if data.split else None
    return data.cast_column(pictures[0], datasets.Image(decode=False)), _Columns(
        picture=pictures[0],
        label=label,
        box=next((n for n in _BOXES if n in features), None),
        names=tuple(names or ()),
        count=(known.num_examples or None) if known else None,
        notes=() if label else (f"The pictures have no labels: the target is {TOP}",),
    )


def _rows(data: Any, columns: _Columns, place: str) -> Iterator[Sample]:
    rows, k = iter(data), 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # the network or a broken file: nothing comes after it
            why = f"hf:{place} breaks off here ({_first_line(error)}). Start the same run again."
            yield Sample(name=f"{k:06d}", error=why)
            return
        yield _sample(row, columns, f"{k:06d}")
        k += 1


def _sample(row: dict[str, Any], columns: _Columns, number: str) -> Sample:
    cell = row[columns.picture] or {}
    data, path = cell.get("bytes"), cell.get("path")
    name = f"{number} {Path(path).name}" if path else number
    if data is None and path is None:
        return Sample(name=name, error=f"row {number} has no picture.")
    picture = Encoded(data=data, name=name) if data is not None else Path(str(path))
    sample = Sample(name=name, source=picture, **columns.label_of(row))
    return with_boxes(sample, row[columns.box] if columns.box else None)
