"""What baselines score, kept over runs: maps that ignore the network get the same number from a
metric whichever method is judged beside them.

The store is one SQLite file in `$SIGHTLINE_CACHE` (an empty variable turns it off). Several
processes may write it; it keeps what is newest within `LARGEST` bytes; and where it cannot be read
or written, everything is measured as if it were not there.
"""

import hashlib
import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...metric import Case, Metric
from ..plan import facts_of, method_record, now

log = logging.getLogger("sightline")

LARGEST = 256 * 2**20
"""Bytes of the file; about 300,000 numbers with their curves."""

_KEPT = 0.8  # of the file where it was too large
_LOOKS = 500  # additions between two looks at its size
_PATIENCE = 5.0  # seconds for another process to finish its writing
_FILE = "baselines-1.sqlite"

Found = Mapping[str, tuple[float, list[float]]]
"""A baseline's number and the curve behind it, by its name."""


class Baselines:
    """What is known of cells whose maps ignore the network. folder: None is no store."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / _FILE
        self._base: sqlite3.Connection | None = None
        self._added = 0
        if self.path is not None:
            self._try(self._open)

    def _open(self) -> None:
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        self._base = base
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=OFF")  # a cache: what a crash loses is measured again
        base.execute(
            "CREATE TABLE IF NOT EXISTS known (cell TEXT, metric TEXT, found BLOB,"
            " UNIQUE (cell, metric))"
        )

    def get(self, cell: str, metrics: Iterable[str]) -> dict[str, Any] | None:
        """The record of a cell with those of the metrics that are known, None for none of them."""
        wanted = list(metrics)
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT metric, found FROM known WHERE cell = ? AND metric IN ({marks})"
        rows = self._try(lambda: self._asked(query, (cell, *wanted)).fetchall())
        record: dict[str, Any] | None = None
        for metric, packed in rows or ():
            facts, value = _unpacked(packed)
            if facts is not None:
                record = record or {**facts, "metrics": {}}
                record["metrics"][metric] = value
        return record

    def add(self, record: Mapping[str, Any]) -> None:
        """Keeps a finished cell, each of its metrics by itself."""
        facts = {key: value for key, value in record.items() if key != "metrics"}
        rows = [
            (record["cell"], metric, _packed([facts, value]))
            for metric, value in record["metrics"].items()
        ]
        for row in rows:
            self._try(
                lambda row=row: self._asked("INSERT OR IGNORE INTO known VALUES (?,?,?)", row)
            )
        self._added += len(rows)
        if self._added >= _LOOKS:
            self._added = 0
            self._try(self._shrink)

    def close(self) -> None:
        """Lets the file go."""
        if self._base is not None:
            self._try(self._shrink)
        if self._base is not None:
            with suppress(sqlite3.Error):
                self._base.close()
            self._base = None

    def _asked(self, query: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        assert self._base is not None
        return self._base.execute(query, tuple(values))

    def _shrink(self) -> None:
        """Removes the oldest entries where the file is too large; their room is used again."""
        pages, free, size = (
            self._asked(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_count", "freelist_count", "page_size")
        )
        held = (pages - free) * size
        if held <= LARGEST:
            return
        (count,) = self._asked("SELECT count(*) FROM known").fetchone()
        gone = int(count * (1 - _KEPT * LARGEST / held))
        self._asked(
            "DELETE FROM known WHERE rowid IN (SELECT rowid FROM known ORDER BY rowid LIMIT ?)",
            (gone,),
        )

    def _try(self, do: Callable[[], Any]) -> Any:
        """What `do` returns; None, and no store any more, where the file is not usable."""
        if self.path is None or (self._base is None and do != self._open):
            return None
        try:
            return do()
        except sqlite3.OperationalError as error:  # locked, no room, no permission: another time
            log.debug("the store of baselines %s is not usable: %s", self.path, error)
        except (sqlite3.Error, OSError) as error:
            log.debug("the store of baselines %s is not usable: %s", self.path, error)
            if isinstance(error, sqlite3.DatabaseError):  # broken: the next one starts anew
                with suppress(OSError):
                    self.path.unlink()
        if self._base is not None:
            with suppress(sqlite3.Error):
                self._base.close()
        self._base = None
        return None


def opened(*, cache: bool = True) -> Baselines:
    """The store of this user; one that holds nothing where it is turned off."""
    folder = os.environ.get("SIGHTLINE_CACHE", str(Path("~/.cache/sightline").expanduser()))
    return Baselines(Path(folder) if cache and folder else None)


def levels(metric: Metric, case: Case, measure: Callable[[], Found]) -> Found:
    """What `measure` gives for the baselines of a case with one image; from the store where that
    was measured before."""
    cell = None if case.truth is not None else _cell(case)
    if cell is None:
        return measure()
    key, store = _hashed(method_record(metric)), opened()
    try:
        known = store.get(cell, [key])
        if known is not None:
            return {name: (value, curve) for name, (value, curve) in known["metrics"][key].items()}
        found = measure()
        store.add({"cell": cell, "metrics": {key: found}})
        return found
    finally:
        store.close()


def _cell(case: Case) -> str | None:
    """What the numbers of a case depend on; None where that cannot be told."""
    model, target = case.model, case.target
    if model.side or not all(_is_plain(value) for value in vars(target).values()):
        return None
    images = case.images.detach().cpu().contiguous()
    facts = [
        "levels",
        now(),
        *facts_of(model),
        model.calling.stated,
        repr(target),
        str(images.dtype),
        list(images.shape),
        hashlib.sha256(images.numpy().tobytes()).hexdigest(),
    ]
    return _hashed(facts)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float))


def _hashed(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _packed(facts: Any) -> bytes:
    return zlib.compress(json.dumps(facts, separators=(",", ":")).encode(), 1)


def _unpacked(data: bytes) -> tuple[Any, Any]:
    """The facts and the value; None twice for an entry that is broken."""
    try:
        facts, value = json.loads(zlib.decompress(data))
        return facts, value
    except (zlib.error, ValueError, TypeError):
        return None, None
