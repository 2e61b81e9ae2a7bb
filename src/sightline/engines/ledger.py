"""The ledger of finished cells: an append-only file that a kill, a crash or a full disk cannot
spoil.

Each line is a checksum and one JSON record. A line that does not match its checksum was cut off
while it was written; it counts for nothing, and its cell is computed again. A lock keeps two runs
out of one folder.
"""

import errno
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import FileProblem

Record = dict[str, Any]  # Any: whatever JSON holds

_SYNC = 1.0  # seconds between two waits for the disk; a kill loses nothing without them


class Ledger:
    """Which cells are finished, and with what result?

    A record names its cell in `cell`; records of one cell add up: each brings what the earlier ones
    lack. Use `opened`.
    """

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self._stream = path, stream
        self._cells: dict[str, Record] = {}
        self._synced = time.monotonic()
        self._end = self._read()

    def get(self, cell: str) -> Record | None:
        """What is known of a cell."""
        return self._cells.get(cell)

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, record: Record) -> None:
        """Keeps a record for good. Raises: FileProblem where the disk refuses it; what was kept
        before stays."""
        text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        try:
            self._stream.seek(self._end)
            if self._stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if time.monotonic() - self._synced > _SYNC:
                os.fsync(self._stream.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            self._cut()
            raise _refused(self.path, error) from None
        self._end += len(line)
        self._take(record)

    def _take(self, record: Record) -> None:
        known = self._cells.get(record["cell"])
        if known is None:
            self._cells[record["cell"]] = record
        else:
            known["metrics"] = {**record["metrics"], **known["metrics"]}

    def _read(self) -> int:
        """Takes in all whole lines; where the next one belongs."""
        end = 0
        with self.path.open("rb") as stream:
            for line in stream:
                record = _decoded(line)
                if record is not None and line.endswith(b"\n"):
                    self._take(record)
                if line.endswith(b"\n"):
                    end += len(line)
        self._end = end
        self._cut()
        return end

    def _cut(self) -> None:
        """Removes what was written of a line that did not fit."""
        with suppress(OSError):
            os.ftruncate(self._stream.fileno(), self._end)

    def close(self) -> None:
        """Waits until the disk has everything."""
        with suppress(OSError):
            os.fsync(self._stream.fileno())


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """The ledger of a folder, which is made where it is missing; locked while it is open.

    Raises: FileProblem where it cannot be written, or another run has it.
    """
    path = folder / "cells.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # No buffer: what `add` wrote is the system's, and survives the end of this process.
        stream = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)  # noqa: PTH123
    except OSError as error:
        raise _refused(path, error) from None
    with stream:
        _lock(stream, folder)
        ledger = Ledger(path, stream)
        try:
            yield ledger
        finally:
            ledger.close()


def _lock(stream: IO[bytes], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder are the user's care
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise FileProblem(
            f"another run is writing {folder}; wait for it, or choose another folder."
        ) from None


def _decoded(line: bytes) -> Record | None:
    check, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        return json.loads(text) if int(check, 16) == zlib.crc32(text) else None
    except ValueError:
        return None


def _refused(path: Path, error: OSError) -> FileProblem:
    return FileProblem(
        f"{path} could not be written: {error.strerror or error}. Everything finished is kept; free"
        " some space or choose another folder, and start the same run again."
    )
