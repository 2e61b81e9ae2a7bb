"""The ledger of finished work: an append-only file that a kill, a crash or a full disk cannot
spoil.

Each line is a checksum and one JSON record. A line that does not match its checksum was cut off
while it was written; it counts for nothing, and its part is computed again. A lock keeps two runs
out of one file. Records stay on disk: memory holds where each one stands (24 bytes a record), and
what its owner's rule says of it.
"""

import errno
import json
import os
import time
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import FileProblem
from ..files.finding import printable
from ..files.writing import remedy
from .key_index import KeyIndex, compact

Record = dict[str, Any]  # Any: whatever JSON holds

_SYNC = 1.0  # seconds between two waits for the disk; a kill loses nothing without them
_FACTS = 20  # bits for the number of a record's facts, beside its place
_PIECE = 1 << 14  # bytes of a line that are read at once
_COPIED = 1 << 20  # bytes that are copied at once
_BINARY = getattr(os, "O_BINARY", 0)  # Windows


class RecordRule(ABC):
    """What an owner of records knows of them."""

    @abstractmethod
    def facts(self, record: Record) -> Hashable:
        """What memory holds of a record; all records together have few different ones."""

    @abstractmethod
    def merge(self, first: Record, second: Record) -> Record:
        """What two records of one key say together; the second came later."""


class LatestRecord(RecordRule):
    """The rule that a later record replaces an earlier one; nothing is held of either."""

    def facts(self, record: Record) -> Hashable:
        """None."""

    def merge(self, first: Record, second: Record) -> Record:
        """The second."""
        return second


LATEST = LatestRecord()


class Ledger:
    """Which work is finished, and with what result?

    A record is found by its key, in `cell`; one that covers a shard by several, in `cells`. Use
    `open_ledger`. rule: what several records of one key say together. restored: whether the file
    was removed by somebody, and written again.
    """

    def __init__(
        self, path: Path, stream: IO[bytes] | None = None, rule: RecordRule = LATEST
    ) -> None:
        self.path, self._stream, self.rule, self.restored = path, stream, rule, False
        self._index = KeyIndex()
        self._numbers: dict[Hashable, int] = {}
        self._facts: list[Any] = []  # Any: what the rule says
        self._synced = time.monotonic()
        self._look()
        self._end = self._read()

    def _look(self) -> None:
        """Opens the file for reading, for as long as this object lives."""
        self._reader = os.open(self.path, os.O_RDONLY | _BINARY)
        self._closing = weakref.finalize(self, os.close, self._reader)

    def get(self, key: str | bytes) -> Record | None:
        """What is known of a key (or of its compact form), read from the disk."""
        known: Record | None = None
        for place in self._index.get(compact(key)):
            record = self._at(place >> _FACTS)
            if record is not None:
                known = record if known is None else self.rule.merge(known, record)
        return known

    def facts(self, key: str | bytes) -> list[Any]:  # Any: what the rule says
        """What the rule says of each record of a key; the disk is not read."""
        places = self._index.get(compact(key))
        return [self._facts[place & ((1 << _FACTS) - 1)] for place in places]

    def __contains__(self, key: str | bytes) -> bool:
        return compact(key) in self._index

    def __len__(self) -> int:
        return len(self._index)

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
            there, ours = self.path.stat(), os.fstat(stream.fileno())
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
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
        facts = self.rule.facts(record)
        if facts not in self._numbers:
            self._numbers[facts] = len(self._facts)
            self._facts.append(facts)
        place = start << _FACTS | self._numbers[facts]
        for key in keys_of(record):
            self._index.add(compact(key), place)

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
    """The keys by which a record is found: `cells`, or the one in `cell`."""
    keys = record.get("cells", record.get("cell", ()))
    return (keys,) if isinstance(keys, str) else tuple(keys)


@contextmanager
def open_ledger(
    path: Path, rule: RecordRule = LATEST, *, reading: bool = False
) -> Iterator[Ledger]:
    """The ledger in that file, which is made with its folder where it is missing; locked while it
    is open. reading: only what is there, which needs no permission to write.

    Raises: FileProblem where it cannot be written (or read), or another run has it.
    """
    if reading:
        yield _for_reading(path, rule)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = _opened_for_writing(path)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        _lock(stream, path.parent)
        ledger = Ledger(path, stream, rule)
    except BaseException:
        stream.close()
        raise
    try:
        yield ledger
    finally:
        ledger.close()


def _for_reading(path: Path, rule: RecordRule) -> Ledger:
    try:
        return Ledger(path, rule=rule)
    except FileNotFoundError:
        raise FileProblem(
            f"{printable(path.parent)} holds no {path.name}, so nothing is finished; name the"
            " folder of an earlier run."
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
        record = json.loads(text) if int(check, 16) == zlib.crc32(text) else None
        return record if isinstance(record, dict) else None
    except ValueError:
        return None


def _refused(path: Path, error: OSError) -> FileProblem:
    return FileProblem(
        f"{printable(path)} could not be written: {error.strerror or error}. {remedy(error)}"
        " Everything finished is kept: start the same run again."
    )
