"""A table of pictures: `path,label[,box][,domain]`, with commas, semicolons or tabs between."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from ..errors import BadField, BadImage
from ..pictures.annotations import boxes_of
from ..pictures.encoded import Readable
from ..sample import TOP, Sample, Samples

ENDINGS = (".csv", ".tsv")


def samples(path: Path) -> Samples:
    """The pictures of a table. Raises: BadField for other columns, BadImage for what is no text in
    UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadImage(f"{path} cannot be read as a table: {error}.") from None
    return table(str(path), data, lambda name: path.parent / Path(name).expanduser())


def table(name: str, data: bytes, place: Callable[[str], Path | Readable]) -> Samples:
    """The pictures of a table's bytes, the boxes of one label of a picture together. place: what a
    path in it stands for. Raises: BadField for other columns, BadImage for what is no text in
    UTF-8."""
    found: dict[object, Sample] = {}
    rows = _cells(name, data)
    header = [word.strip().lower() for word in rows[0]] if rows else []
    named = "path" in header
    if not named and {"label", "box", "domain"} & set(header):
        raise BadField(
            f"{name} has the columns {', '.join(header)}; expected path, and label and box where"
            " they are known."
        )
    order = header if named else ["path", "label", "box"]
    for number, row in enumerate(rows[1:] if named else rows):
        sample = _row(row, order, place)
        # The boxes of one class belong together; another class of the same picture is asked by
        # itself.
        key = number if sample.error else (PurePath(sample.name), sample.label)
        if known := found.get(key):
            boxes = (*(known.boxes or ()), *(sample.boxes or ())) or None
            sample = replace(known, boxes=boxes)
        found[key] = sample
    listed = list(found.values())
    bare = sum(not sample.label and not sample.error for sample in listed)
    notes = [f"{name} names no picture."] if not listed else []
    if bare:
        notes.append(f"Pictures without a label: {bare}; their target is {TOP}")
    return Samples.counted(name, len(listed), listed.__getitem__, notes=tuple(notes), listed=True)


def _cells(name: str, data: bytes) -> list[list[str]]:
    """The rows of a table that are not empty. Raises: BadImage for what is no text in UTF-8."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadImage(f"{name} cannot be read as a table: {error}. Save it as UTF-8.") from None
    first = lines[0] if lines else ""
    comma = ";" if ";" in first and "," not in first else ","
    delimiter = "\t" if name.lower().endswith(".tsv") else comma
    return [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]


def _row(
    row: Sequence[str], order: Sequence[str], place: Callable[[str], Path | Readable]
) -> Sample:
    if len(row) == len(order) + 3 and order[-1] == "box":  # x0,y0,x1,y1 without quotes
        row = [*row[: len(order) - 1], ",".join(row[len(order) - 1 :])]
    cells = {name: cell.strip() for name, cell in zip(order, row, strict=False)}
    name = cells.get("path", "")
    sample = Sample(
        name=name,
        source=place(name),
        label=cells.get("label", ""),
        domain=cells.get("domain", ""),
    )
    try:
        return replace(sample, boxes=boxes_of(cells["box"]) if cells.get("box") else None)
    except BadField as error:
        return replace(sample, error=str(error))
