"""The ledger of finished cells: an append-only file that a kill, a crash or a full disk cannot
spoil.

Each line is a checksum and one JSON record. A line that does not match its checksum was cut off
while it was written; it counts for nothing, and its cell is computed again. A lock keeps two runs
out of one folder. Records stay on disk: memory holds where each one stands, and which metrics it
has.
"""

import errno
import json
import os
import time
import weakref
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import FileProblem
from ..files.finding import printable
from ..files.writing import remedy

Record = dict[str, Any]  # Any: whatever JSON holds

_SYNC = 1.0  # seconds between two waits for the disk; a kill loses nothing without them
_KINDS = 20  # bits for what a record holds, beside its place
_PIECE = 1 << 14  # bytes of a line that are read at once
_COPIED = 1 << 20  # bytes that are copied at once
_BINARY = getattr(os, "O_BINARY", 0)  # Windows


class Ledger:
    """Which cells are finished, and with what result?

    A record names its cell in `cell`; records of one cell add up: each brings what the earlier ones
    lack. Use `opened`. restored: whether the file was removed by somebody, and written again.
    """

    def __init__(self, path: Path, stream: IO[bytes] | None = None) -> None:
        self.path, self._stream, self.restored = path, stream, False
        self._places: dict[bytes, int | tuple[int, ...]] = {}
        self._kinds: dict[tuple[bool, frozenset[str]], int] = {}
        self._meant: list[tuple[bool, frozenset[str]]] = []
        self._synced = time.monotonic()
        self._look()
        self._end = self._read()

    def _look(self) -> None:
        """Opens the file for reading, for as long as this object lives."""
        self._reader = os.open(self.path, os.O_RDONLY | _BINARY)
        self._closing = weakref.finalize(self, os.close, self._reader)

    def get(self, cell: str | bytes) -> Record | None:
        """What is known of a cell (its key, or that in `short` form), read from the disk."""
        found: Record | None = None
        for place in self._of(cell):
            record = self._at(place >> _KINDS)
            if found is None:
                found = record
            elif record is not None:
                found["metrics"] = {**record["metrics"], **found["metrics"]}
                found["error"] = found["error"] or record["error"]
        return found

    def lacking(self, cell: str, metrics: Iterable[str]) -> list[str] | None:
        """Which of these metrics a cell lacks, None for a cell that is not there; one that failed
        as a whole lacks nothing."""
        places = self._of(cell)
        if not places:
            return None
        kinds = [self._meant[place & ((1 << _KINDS) - 1)] for place in places]
        if any(error for error, _ in kinds):
            return []
        return [metric for metric in metrics if not any(metric in held for _, held in kinds)]

    def _of(self, cell: str | bytes) -> tuple[int, ...]:
        places = self._places.get(short(cell), ())
        return (places,) if isinstance(places, int) else places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, record: Record) -> None:
        """Keeps a record for good. Raises: FileProblem where the disk refuses it; what was kept
        before stays."""
        text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        stream = self._writing()
        try:
            stream.seek(self._end)
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if time.monotonic() - self._synced > _SYNC:
                os.fsync(stream.fileno())
                self.check()
                self._synced = time.monotonic()
        except OSError as error:
            self._cut()
            raise error if isinstance(error, FileProblem) else _refused(self.path, error) from None
        start, self._end = self._end, self._end + len(line)
        self._take(record, start)

    def check(self) -> bool:
        """Writes the file again where somebody removed it, which is True; what was finished is
        still held open.

        Raises: FileProblem where it cannot be written, or another run has taken its place.
        """
        stream = self._writing()
        try:
            there, held = self.path.stat(), os.fstat(stream.fileno())
            if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
                return False
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _refused(self.path, error) from None
        self._restore(stream)
        return True

    def _restore(self, stream: IO[bytes]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            other = _opened_for_writing(self.path, os.O_EXCL)
        except FileExistsError:
            raise FileProblem(
                f"{printable(self.path)} was replaced while this run was writing it; choose another"
                " folder."
            ) from None
        except OSError as error:
            raise _refused(self.path, error) from None
        _lock(other, self.path.parent)
        stream.seek(0)
        try:
            while piece := stream.read(_COPIED):
                if other.write(piece) != len(piece):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _refused(self.path, error) from None
        self._stream, self.restored = other, True
        stream.close()
        self._closing()
        self._look()

    def _writing(self) -> IO[bytes]:
        assert self._stream is not None, "this ledger was opened for reading"
        return self._stream

    def _take(self, record: Record, start: int) -> None:
        kind = bool(record["error"]), frozenset(record["metrics"])
        if kind not in self._kinds:
            self._kinds[kind] = len(self._meant)
            self._meant.append(kind)
        place, cell = start << _KINDS | self._kinds[kind], short(record["cell"])
        known = self._of(record["cell"])
        self._places[cell] = (*known, place) if known else place

    def _read(self) -> int:
        """Takes in all whole lines; where the next one belongs."""
        end = 0
        with self.path.open("rb") as stream:
            for line in stream:
                record = _decoded(line)
                if record is not None and line.endswith(b"\n"):
                    self._take(record, end)
                if line.endswith(b"\n"):
                    end += len(line)
        self._end = end
        self._cut()
        return end

    def _at(self, start: int) -> Record | None:
        """The record of the line that begins there."""
        os.lseek(self._reader, start, os.SEEK_SET)
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._reader, _PIECE)
            if not piece:
                return None
            head, newline, _ = piece.partition(b"\n")
            line += head + newline
        return _decoded(line)

    def _cut(self) -> None:
        """Removes what was written of a line that did not fit."""
        if self._stream is not None:
            with suppress(OSError):
                os.ftruncate(self._stream.fileno(), self._end)

    def close(self) -> None:
        """Waits until the disk has everything; the records can still be read."""
        if self._stream is not None:
            with suppress(OSError):
                self.check()
                os.fsync(self._stream.fileno())
            self._stream.close()


def keys_of(record: Record) -> tuple[str, ...]:
    """The keys by which a record is found."""
    return (record["cell"],)


def short(cell: str | bytes) -> bytes:
    """A cell's key as few bytes."""
    if isinstance(cell, bytes):
        return cell
    try:
        return bytes.fromhex(cell)
    except ValueError:
        return cell.encode("utf-8", "backslashreplace")


@contextmanager
def opened(folder: Path, *, reading: bool = False) -> Iterator[Ledger]:
    """The ledger of a folder, which is made where it is missing; locked while it is open. reading:
    only what is there, which needs no permission to write.

    Raises: FileProblem where it cannot be written (or read), or another run has it.
    """
    path = folder / "cells.jsonl"
    if reading:
        yield _for_reading(path)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = _opened_for_writing(path)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        _lock(stream, folder)
        ledger = Ledger(path, stream)
    except BaseException:
        stream.close()
        raise
    try:
        yield ledger
    finally:
        ledger.close()


def _for_reading(path: Path) -> Ledger:
    try:
        return Ledger(path)
    except FileNotFoundError:
        raise FileProblem(
            f"{printable(path.parent)} holds no {path.name}, so nothing is finished; name a folder"
            " that `sightline evaluate` wrote."
        ) from None
    except OSError as error:
        raise FileProblem(
            f"{printable(path)} could not be read: {error.strerror or error}. Check its"
            " permissions."
        ) from None


def _opened_for_writing(path: Path, flag: int = 0) -> IO[bytes]:
    # No buffer: what `add` wrote is the system's, and survives the end of this process.
    flags = os.O_RDWR | os.O_CREAT | flag | _BINARY
    return open(os.open(path, flags, 0o644), "r+b", buffering=0)  # noqa: PTH123


def _lock(stream: IO[bytes], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder are the user's care
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise FileProblem(
            f"another run is writing {printable(folder)}; wait for it, or choose another folder."
        ) from None


def _decoded(line: bytes) -> Record | None:
    check, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        return json.loads(text) if int(check, 16) == zlib.crc32(text) else None
    except ValueError:
        return None


def _refused(path: Path, error: OSError) -> FileProblem:
    return FileProblem(
        f"{printable(path)} could not be written: {error.strerror or error}. {remedy(error)}"
        " Everything finished is kept: start the same run again."
    )
