"""Labels from a text file: one a line, or CSV."""

import csv
from pathlib import Path

from ..errors import BadModel

_COLUMNS = ("label", "name", "simple_label", "class", "words")


def read_class_names(path: Path, name: str = "") -> list[str]:
    """The labels in the order of their indices.

    One a line, or CSV `index,label`. A CSV may have a header with other columns; then `index` and
    the first of label, name, simple_label, class, words are read. name: of the file, for messages.

    **Raises:** `BadModel` when it cannot be read, an index is missing or comes twice.
    """
    name = name or str(path)
    try:
        lines = path.expanduser().read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise BadModel(f"labels {name} cannot be read ({why}). Check the path.") from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise BadModel(f"labels {name} is empty; expected one label a line, or CSV index,label.")
    rows = list(csv.reader(lines, skipinitialspace=True))
    header = [cell.strip().lower() for cell in rows[0]]
    if len(header) > 1 and "index" in header:
        return _by_index(rows[1:], header, name)
    if len(header) > 1 and all(row and row[0].strip().isdecimal() for row in rows):
        return _by_index(rows, ["index", "label"], name)
    return [line.strip() for line in lines]


def _by_index(rows: list[list[str]], header: list[str], name: str) -> list[str]:
    column = next((header.index(name) for name in _COLUMNS if name in header), None)
    if column is None:
        raise BadModel(
            f"labels {name}: none of its {len(header)} columns is called {' or '.join(_COLUMNS)}; "
            "expected index and one of these."
        )
    at = header.index("index")
    found: dict[int, str] = {}
    for number, row in enumerate(rows, 1):
        if len(row) <= max(at, column) or not row[at].strip().isdecimal():
            raise BadModel(f"labels {name}: entry {number} has no index or no label.")
        if (index := int(row[at])) in found:
            raise BadModel(
                f"labels {name}: index {index} appears twice; expected each index"
                " once. Remove one of the lines."
            )
        found[index] = row[column].strip()
    gap = next((i for i in range(len(found)) if i not in found), None)
    if gap is not None:
        raise BadModel(f"labels {name}: index {gap} is missing; expected 0 to {max(found)}.")
    return [found[i] for i in range(len(found))]
