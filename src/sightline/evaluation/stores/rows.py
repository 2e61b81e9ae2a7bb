"""Rows of a table that stay in their Parquet file: written as they come, read by column or one by
one, never all in memory. Equal rows give equal bytes.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ...errors import FileProblem
from ...files.finding import printable
from ...files.writing import remedy

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]  # Any: text, a number or nothing

GROUP = 512
"""Rows that are written, and read, at once."""

_IN_MEMORY = 1 << 24  # bytes of curves that are read once and kept

ROW_TYPES = {
    "index": "int64",
    "picture": "string",
    "method": "string",
    "blind": "bool",
    "metric": "string",
    "value": "float64",
    "error": "string",
    "target": "string",
    "prediction": "string",
    "label": "string",
    "note": "string",
    "curve": "list",
}
COST_TYPES = {
    "index": "int64",
    "picture": "string",
    "method": "string",
    "forward": "int64",
    "backward": "int64",
    "seconds": "float64",
}


class Rows(Sequence[Row]):
    """Which rows stand in this Parquet file? A sequence of them, read when they are asked for.

    path: of the file, which may be replaced or removed afterwards: it is held open.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self._handle = pyarrow.OSFile(os.fsencode(path), "rb")
        self._file = pyarrow.parquet.ParquetFile(self._handle)
        counts = [
            self._file.metadata.row_group(k).num_rows for k in range(self._file.num_row_groups)
        ]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._recent: tuple[int, list[Row]] = (-1, [])

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        group = int(np.searchsorted(self._starts, place, side="right")) - 1
        if self._recent[0] != group:
            self._recent = group, self._file.read_row_group(group, use_threads=False).to_pylist()
        return self._recent[1][place - int(self._starts[group])]

    def __iter__(self) -> Iterator[Row]:
        for _, part in self.parts():
            yield from part.to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Rows, list, tuple)) or len(self) != len(other):
            return NotImplemented if not isinstance(other, (Rows, list, tuple)) else False
        return all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} rows>"

    def parts(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, "pyarrow.Table"]]:
        """The rows, or these columns of them, part by part: the place of the first, and the
        part."""
        for group, start in enumerate(self._starts[:-1]):
            chosen = None if columns is None else list(columns)
            yield int(start), self._file.read_row_group(group, chosen, use_threads=False)

    def numbers(self, column: str) -> np.ndarray:
        """A column of numbers, NaN where there is none."""
        read = [numbers(part[column]) for _, part in self.parts([column])]
        return np.concatenate(read) if read else np.empty(0)

    def texts(self, column: str, every: int) -> list[str]:
        """Each so-many-th row's text."""
        found: list[str] = []
        for start, part in self.parts([column]):
            found += part[column].to_pylist()[-start % every :: every]
        return found

    def arrow(self) -> "pyarrow.Table":
        """All rows as an Arrow table."""
        return self._file.read()

    def bytes(self) -> bytes:
        """The file."""
        self._handle.seek(0)
        return self._handle.read()


class Curves:
    """The curves of one metric, (column, picture, step), NaN where there is none; a column is read
    from the rows when it is asked for. first: the place of the metric's first row; a picture has
    `width` rows, a column `stride`.
    """

    def __init__(
        self, rows: Rows, first: int, stride: int, width: int, shape: tuple[int, int, int]
    ) -> None:
        self.rows, self.first, self.stride, self.width = rows, first, stride, width
        self.shape = shape

    @cached_property
    def _whole(self) -> np.ndarray | None:
        small = 8 * np.prod(self.shape, dtype=np.int64) <= _IN_MEMORY
        return self._read(range(self.shape[0])) if small else None

    def __getitem__(self, column: int) -> np.ndarray:
        column = range(self.shape[0])[column]
        return self._read([column])[0] if self._whole is None else self._whole[column]

    def _read(self, columns: Sequence[int]) -> np.ndarray:
        steps = np.arange(self.shape[2])
        found = np.full((len(columns), *self.shape[1:]), np.nan)
        for start, part in self.rows.parts(["curve"]):
            places = start + np.arange(len(part))
            starts, lengths, values = _lists(part["curve"])
            for k, column in enumerate(columns):
                own = places % self.width == self.first + column * self.stride
                own &= lengths == len(steps)
                found[k, places[own] // self.width] = values[starts[own][:, None] + steps]
        return found


def lengths(rows: Rows, count: int) -> list[set[int]]:
    """Which lengths the curves of each of `count` metrics have; their rows alternate."""
    found: list[set[int]] = [set() for _ in range(count)]
    for start, part in rows.parts(["curve"]):
        _, sizes, _ = _lists(part["curve"])
        for k, known in enumerate(found):
            known |= set(np.unique(sizes[(k - start) % count :: count]).tolist()) - {0}
    return found


def _lists(column: "pyarrow.ChunkedArray") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each list of a column starts, its length (0 for none), and all their values."""
    held = column.combine_chunks()
    offsets = _plain(held.offsets)
    return offsets[:-1], np.where(_there(held), np.diff(offsets), 0), _filled(held.values)


def numbers(column: "pyarrow.ChunkedArray") -> np.ndarray:
    """A column of numbers, NaN where there is none."""
    return _filled(column.combine_chunks())


# Arrow's own `to_numpy` loads pandas, as `pyarrow.array` of a list does: tens of megabytes.


def _filled(array: "pyarrow.Array") -> np.ndarray:
    values = _plain(array)
    return np.where(_there(array), values, np.nan) if array.null_count else values


def _plain(array: "pyarrow.Array") -> np.ndarray:
    values = np.frombuffer(array.buffers()[1] or b"", array.type.to_pandas_dtype())
    return values[array.offset : array.offset + len(array)]


def _there(array: "pyarrow.Array") -> np.ndarray:
    bits = array.buffers()[0]
    if bits is None:
        return np.ones(len(array), dtype=bool)
    told = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return told[array.offset : array.offset + len(array)].astype(bool)


def written(rows: Iterable[Row], types: dict[str, str], path: Path | None = None) -> Rows:
    """The rows in a file at `path`, which is there whole or not at all; None is a file that goes
    with the rows.

    Raises: FileProblem where the disk refuses it.
    """
    if path is None:
        handle, name = tempfile.mkstemp(suffix=".parquet")
        os.close(handle)
        made = _put(rows, types, Path(name), Rows)
        with suppress(OSError):  # Windows keeps what is open
            Path(name).unlink()
        return made
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")

    def placed(partial: Path) -> Rows:
        partial.replace(path)
        return Rows(path)

    return _put(rows, types, partial, placed, path)


def _put(
    rows: Iterable[Row],
    types: dict[str, str],
    partial: Path,
    then: Callable[[Path], Rows],
    named: Path | None = None,
) -> Rows:
    shown = printable(named or partial)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        _fill(partial, iter(rows), types)
        return then(partial)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, FileProblem):
            raise
        raise FileProblem(
            f"{shown} could not be written: {error.strerror or error}. {remedy(error)}"
        ) from None
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _fill(path: Path, rows: Iterator[Row], types: dict[str, str]) -> None:
    import pyarrow
    import pyarrow.parquet

    made = {"list": pyarrow.list_(pyarrow.float64())}
    schema = pyarrow.schema(
        [(n, made[t] if t in made else pyarrow.type_for_alias(t)) for n, t in types.items()]
    )
    with (
        path.open("wb") as stream,
        pyarrow.parquet.ParquetWriter(stream, schema) as writer,
    ):
        while part := list(islice(rows, GROUP)):
            columns = [_array([row[f.name] for row in part], f.type) for f in schema]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def _array(values: list[Any], kind: "pyarrow.DataType") -> "pyarrow.Array":
    """The values as an Arrow array, from buffers."""
    import pyarrow
    from pyarrow import types

    there = np.array([value is not None for value in values], dtype=bool)
    valid = None if there.all() else pyarrow.py_buffer(np.packbits(there, bitorder="little"))
    missing = int((~there).sum())
    if types.is_string(kind):
        texts = [(value or "").encode() for value in values]
        buffers = [valid, _offsets(map(len, texts)), pyarrow.py_buffer(b"".join(texts))]
        return pyarrow.Array.from_buffers(kind, len(values), buffers, missing)
    if types.is_list(kind):
        lists = [value or () for value in values]
        inner = _array([each for one in lists for each in one], kind.value_type)
        buffers = [valid, _offsets(map(len, lists))]
        return pyarrow.Array.from_buffers(kind, len(values), buffers, missing, children=[inner])
    if types.is_boolean(kind):
        data = np.packbits(np.array(values, dtype=bool), bitorder="little")
    else:
        data = np.array([0 if value is None else value for value in values], kind.to_pandas_dtype())
    return pyarrow.Array.from_buffers(kind, len(values), [valid, pyarrow.py_buffer(data)], missing)


def _offsets(sizes: Iterable[int]) -> "pyarrow.Buffer":
    import pyarrow

    return pyarrow.py_buffer(np.concatenate([[0], np.cumsum([*sizes])]).astype(np.int32))
