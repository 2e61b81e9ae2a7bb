"""The pictures that a folder of `explain` or `attack` holds: kept as they are finished, found again
by the same command, read back one by one for the page.

`pictures/cells.jsonl` is the ledger, `pictures/run.json` says what was run, and
`pictures/KEY.npz` holds one picture. Memory grows by an index of the pictures only.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ...errors import BadField, FileProblem, SightlineError
from ...files.writing import write_bytes
from ...jobs.ledger import Ledger, open_ledger
from ...pages.record import PageRecord, PictureEntry
from . import item_files, names

JSON = dict[str, Any]  # Any: whatever JSON holds
PICTURES = "pictures"
CELLS = "cells.jsonl"
REPORT = "report.html"
ATTACK = "attack.json"
PAGES = "report-pages"
SCHEMA = 1
_PAIRS = ("facts", "refused", "failed")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was run in a folder: all that its report says besides the pictures.

    settings: what the results depend on; another run may only join with the same. refused: (method,
    reason) pairs. failed: (picture, reason) pairs of sources that could not be read.
    """

    settings: Mapping[str, Any]
    model: str
    title: str
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    next_steps: Sequence[str] = ()
    caution: str = ""
    refused: Sequence[tuple[str, str]] = ()
    failed: Sequence[tuple[str, str]] = ()

    def report(self, made: str) -> PageRecord:
        """The report without its pictures. made: date and time."""
        return PageRecord(
            title=self.title,
            facts=tuple(self.facts),
            notes=tuple(self.notes),
            next_steps=tuple(self.next_steps),
            caution=self.caution,
            refused=tuple(self.refused),
            made=made,
        )


@dataclass(kw_only=True, eq=False)
class Store:
    """The finished pictures of a folder, by their places in the report."""

    folder: Path
    ledger: Ledger
    places: dict[str, int] = field(default_factory=dict)  # key -> place
    titles: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)  # lower case

    def __post_init__(self) -> None:
        for place in range(len(self.ledger)):
            self._index(place, self.record(place))

    def __len__(self) -> int:
        return len(self.places)

    def record(self, place: int) -> JSON:
        """What is known of the picture at a place, as plain data."""
        found = self.ledger.get(f"place-{place}")
        if found is None:
            raise FileProblem(
                f"{self.folder / PICTURES} lacks its picture {place + 1}; expected the ledger of"
                " one run. Choose another --out, or give --overwrite."
            )
        return found

    def find(self, key: str) -> int | None:
        """The place of a picture that is finished and whole."""
        place = self.places.get(key)
        size = None if place is None else self.record(place)["size"]
        if size is None:
            return place
        path = self._path(key)
        return place if path.is_file() and path.stat().st_size == size else None

    def names(self, title: str, path: PurePath, key: str) -> tuple[str, str]:
        """What a picture is called, and how its files begin; as before where its files were
        lost."""
        if key in self.places:
            known = self.record(self.places[key])
            return known["record"]["name"], known["stem"]
        return names.unused(title, path, self.titles), names.stem(path, self.stems)

    def add(
        self,
        key: str,
        stem: str,
        record: JSON,
        errors: Sequence[str] = (),
        item: PictureEntry | None = None,
    ) -> int:
        """Keeps a finished picture; its place. item: what a page shows of it, where there is one.
        Raises: FileProblem."""
        path = None if item is None else item_files.write(item, self._path(key))
        place = self.places.get(key, len(self.places))
        kept = {
            "cell": f"place-{place}",
            "key": key,
            "stem": stem,
            "size": None if path is None else path.stat().st_size,
            "record": record,
            "errors": list(errors),
        }
        if key not in self.places:
            self.ledger.add(kept)
            self._index(place, kept)
        return place

    def item(self, place: int, *, arrays: bool = True) -> PictureEntry:
        """The picture at a place as the report shows it. Raises: FileProblem."""
        return item_files.read(self._path(self.record(place)["key"]), arrays=arrays)

    def _path(self, key: str) -> Path:
        return self.folder / PICTURES / f"{key}.npz"

    def _index(self, place: int, record: JSON) -> None:
        self.places[record["key"]] = place
        self.titles.add(record["record"]["name"])
        self.stems.add(record["stem"].lower())


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """The finished pictures of a folder, locked while it is open; all of it is removed again where
    an error comes before anything was finished. Raises: FileProblem."""
    with open_ledger(folder / PICTURES / CELLS) as kept:
        store = Store(folder=folder, ledger=kept)
        try:
            yield store
        except SightlineError:
            if not len(store):
                shutil.rmtree(folder / PICTURES, ignore_errors=True)
            raise


def key_of(name: str, digest: str, again: int) -> str:
    """What a picture is found again by: its file name, its content, and how often both came."""
    return hashlib.sha256(f"{name}\n{digest}\n{again}".encode("utf-8", "replace")).hexdigest()[:24]


def save_run(folder: Path, run: Run) -> None:
    """Writes what was run. Raises: FileProblem."""
    text = json.dumps({"schema": SCHEMA, **asdict(run)}, indent=1, ensure_ascii=False)
    write_bytes(folder / PICTURES / "run.json", text.encode("utf-8", "backslashreplace"))


def read_run(folder: Path) -> Run | None:
    """What was run in a folder, None where nothing was. Raises: BadField for another version."""
    path = folder / PICTURES / "run.json"
    try:
        told = json.loads(path.read_text("utf-8"))
        schema = told.pop("schema")
        if schema == SCHEMA:
            pairs = {name: tuple(map(_pair, told[name])) for name in _PAIRS}
            return Run(**{**told, **pairs})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        schema = error
    raise BadField(
        f"{path} was not written by this version ({schema}); expected schema {SCHEMA}. Explain the"
        " pictures again into another folder."
    )


def check(folder: Path, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Makes sure that a run with these settings may write into a folder; `overwrite` removes what
    an earlier one wrote, other files stay.

    Raises: FileProblem where the folder holds results of other settings.
    """
    if overwrite:
        return remove(folder)
    try:
        run = read_run(folder)
    except BadField as error:
        raise FileProblem(f"{error} `--overwrite` replaces it.") from None
    if run is None:
        if (folder / REPORT).exists() or (folder / ATTACK).exists():
            raise FileProblem(
                f"{folder} holds results of an earlier version, to which nothing can be added;"
                " choose another --out, or give --overwrite to replace it."
            )
        return None
    mine = json.loads(json.dumps(settings))
    other = [name for name in mine if mine[name] != run.settings.get(name)]
    if other:
        raise FileProblem(
            f"{folder} holds results with {' and '.join(_differences(run.settings, mine, other))};"
            " pictures are added with the same model and settings only. Choose another --out, or"
            " give --overwrite to replace what is there."
        )
    return None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], other: Sequence[str]) -> list[str]:
    return [f"other {name} ({_short(old.get(name))}; now {_short(new[name])})" for name in other]


def _short(value: Any) -> str:
    """A setting in a few words: methods and metrics by their names."""
    if isinstance(value, list):
        words = [str(v["name"]) if isinstance(v, dict) and "name" in v else str(v) for v in value]
        value = ", ".join(words) or "none"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def remove(folder: Path) -> None:
    """Removes the results of an earlier run: the files of its pictures, its pages, its ledger."""
    stems = set()
    if (folder / PICTURES / CELLS).is_file():
        with opened(folder) as store:
            stems = {store.record(place)["stem"] for place in range(len(store))}
    elif (folder / REPORT).exists() or (folder / ATTACK).exists():  # of an earlier version
        ours = [*folder.glob("*--*.npz"), *folder.glob("*--before.png")]
        stems = {path.name.rpartition("--")[0] for path in ours}
    with suppress(OSError):
        for path in list(folder.glob("*--*.*")):
            words = path.name.split("--")
            if stems & {"--".join(words[:k]) for k in range(1, len(words))}:
                path.unlink()
        shutil.rmtree(folder / PICTURES, ignore_errors=True)
        shutil.rmtree(folder / PAGES, ignore_errors=True)
        for name in (REPORT, ATTACK):
            (folder / name).unlink(missing_ok=True)


def _pair(values: Sequence[str]) -> tuple[str, str]:
    first, second = values
    return first, second
