"""Data sets of Hugging Face, `hf:NAME[:SPLIT]`: from the hub or a folder on disk, streamed.

The picture is the first column of pictures; its bytes are passed on as they are. The label is the
first column of class labels, else one that is called `label`: its name where the model knows it,
else its number where there are as many classes as the model has. A column `box` holds x0, y0, x1,
y1 in pixels. Code that comes with a data set is never run.
"""

import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BadField, BadImage, MissingExtra, UnknownName, near
from ...model import Model
from .item import Collection, Encoded, Item, label_of
from .shards import with_truth

log = logging.getLogger("sightline")

_ORDER = ("test", "validation", "train")  # what is judged on, where no split is named
_LABELS = ("label", "labels", "class")
_BOXES = ("box", "boxes")


def stream(name: str, model: Model) -> Collection:
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
        data, columns = _columns(splits[split], place, model)
    notes = () if wanted or len(splits) == 1 else (f"hf:{place}: the split {split} is used.",)
    return Collection(
        name=f"hf:{name}",
        count=columns.count,
        items=lambda: _items(data, columns, place, model),
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
    """Which column is what. meaning: from what the label's column holds to a word or a number."""

    picture: str
    label: str | None
    box: str | None
    meaning: Callable[[Any], Any]
    count: int | None
    notes: tuple[str, ...] = ()


def _columns(data: Any, place: str, model: Model) -> tuple[Any, _Columns]:
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
    meaning, notes = _meaning(names, label, model)
    info = data.info.splits or {}
    known = info.get(data.split) if data.split else None
    return data.cast_column(pictures[0], datasets.Image(decode=False)), _Columns(
        picture=pictures[0],
        label=label,
        box=next((n for n in _BOXES if n in features), None),
        meaning=meaning,
        count=(known.num_examples or None) if known else None,
        notes=notes,
    )


def _meaning(
    names: Sequence[str] | None, label: str | None, model: Model
) -> tuple[Callable[[Any], Any], tuple[str, ...]]:
    top = "the target is the model's top class."
    if label is None:
        return lambda _: None, (f"The pictures have no labels: {top}",)
    if not names:
        return lambda held: held, ()
    found = [_known(model, name) for name in names]
    if all(k is not None for k in found):
        return lambda held: None if held is None or held < 0 else found[held], ()
    if model.labels and len(names) == len(model.labels):
        note = f"The data's classes are taken by their number: {model.name} names them otherwise."
        return lambda held: None if held is None or held < 0 else held, (note,)
    strange = [n for n, k in zip(names, found, strict=True) if k is None]
    shown = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if strange[3:] else "")
    note = f"No class of {model.name} is called {shown}. For their pictures {top}"
    return lambda held: None if held is None or held < 0 else found[held], (note,)


def _known(model: Model, name: str) -> int | None:
    try:
        return label_of(model, name)
    except UnknownName:
        return None


def _items(data: Any, columns: _Columns, place: str, model: Model) -> Iterator[Item]:
    rows, k = iter(data), 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # the network or a broken file: nothing comes after it
            why = f"hf:{place} breaks off here ({_first_line(error)}). Start the same run again."
            yield Item(name=f"{k:06d}", error=why)
            return
        yield _item(row, columns, f"{k:06d}", model)
        k += 1


def _item(row: dict[str, Any], columns: _Columns, number: str, model: Model) -> Item:
    held = row[columns.picture] or {}
    data, path = held.get("bytes"), held.get("path")
    name = f"{number} {Path(path).name}" if path else number
    if data is None and path is None:
        return Item(name=name, error=f"row {number} has no picture.")
    picture = Encoded(data=data, name=name) if data is not None else Path(str(path))
    label = columns.meaning(row[columns.label]) if columns.label else None
    item = Item(name=name, picture=picture)
    return with_truth(item, label, row[columns.box] if columns.box else None, model)
