"""Where the records of each key stand: 24 bytes a record, so that a ledger may hold millions."""

import hashlib
import struct

import numpy as np

_RECENT = 1 << 14  # records that wait in a dictionary until they are sorted in
_BYTES = 16  # of a key


def compact(key: str | bytes) -> bytes:
    """A key as 16 bytes: those that 32 hexadecimal digits spell, else a hash."""
    if isinstance(key, bytes):
        return key
    try:
        spelled = bytes.fromhex(key)
        if len(spelled) == _BYTES and spelled.hex() == key:
            return spelled
    except ValueError:
        pass
    return hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=_BYTES).digest()


class KeyIndex:
    """Numbers by compact keys, several for a key where it came several times.

    Three sorted columns (the two halves of a key, and the number) hold all but the most recent.
    """

    def __init__(self) -> None:
        self._first, self._second, self._places = (np.empty(0, np.uint64) for _ in range(3))
        self._recent: dict[bytes, tuple[int, ...]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count + self._new()

    def __contains__(self, key: bytes) -> bool:
        return key in self._recent or bool(self._sorted(key))

    def get(self, key: bytes) -> tuple[int, ...]:
        """The numbers of a key, in the order in which they came."""
        return (*self._sorted(key), *self._recent.get(key, ()))

    def add(self, key: bytes, place: int) -> None:
        """One more number of a key, below 2**64."""
        self._recent[key] = (*self._recent.get(key, ()), place)
        if len(self._recent) >= _RECENT:
            self._sort()

    def _sorted(self, key: bytes) -> tuple[int, ...]:
        if not len(self._first):
            return ()
        first, second = (np.uint64(half) for half in struct.unpack("<QQ", key))
        start = int(self._first.searchsorted(first))
        end = start
        while end < len(self._first) and self._first[end] == first:
            end += 1
        return tuple(int(self._places[k]) for k in range(start, end) if self._second[k] == second)

    def _new(self) -> int:
        """How many of the recent keys are not among the sorted ones."""
        if not len(self._first) or not self._recent:
            return len(self._recent)
        firsts = np.frombuffer(b"".join(self._recent), "<u8")[::2].astype(np.uint64)
        at = np.minimum(self._first.searchsorted(firsts), len(self._first) - 1)
        alike = self._first[at] == firsts  # half of a key is nearly always all of it
        pairs = zip(self._recent, alike.tolist(), strict=True)
        return sum(not (half and self._sorted(key)) for key, half in pairs)

    def _sort(self) -> None:
        """Sorts in the recent ones; those of one key stay in order."""
        self._count += self._new()
        keys = b"".join(key * len(places) for key, places in self._recent.items())
        halves = np.frombuffer(keys, "<u8").reshape(-1, 2).astype(np.uint64)
        places = np.array([p for places in self._recent.values() for p in places], np.uint64)
        order = np.argsort(halves[:, 0], kind="stable")
        rows = halves[order, 0], halves[order, 1], places[order]
        where = self._first.searchsorted(rows[0], side="right")
        columns = self._first, self._second, self._places
        self._first, self._second, self._places = (
            np.insert(column, where, row) for column, row in zip(columns, rows, strict=True)
        )
        self._recent = {}
