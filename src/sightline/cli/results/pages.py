"""The report of a folder: one self-contained file, or an index and pages where it would be large.

Pictures are read back one page at a time, so that memory does not grow with their number.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from ...files.writing import write_bytes
from ...pages.record import PageRange, PageRecord, PictureEntry
from ...pages.report import agreement, index, page
from ...pages.report.evidence import measure
from .store import PAGES, REPORT, Run, Store

PER_PAGE = 25  # pictures
LARGEST = 10_000_000  # bytes of a file


def write(store: Store, run: Run, advance: Callable[[str], None] = lambda _: None) -> Path:
    """Writes the report of all finished pictures; its entrance. advance: called for each picture.
    Raises: FileProblem."""
    report = run.report(datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"))
    failed = tuple(PictureEntry(name=name, error=reason) for name, reason in run.failed)
    path, folder = store.folder / REPORT, store.folder / PAGES
    if len(store) <= PER_PAGE:
        items = [store.item(place) for place in range(len(store))]
        text = page.build(replace(report, items=(*items, *failed))).encode()
        if len(text) <= LARGEST or len(store) < 2:
            write_bytes(path, text)
            shutil.rmtree(folder, ignore_errors=True)
            return path
    splitting = _Splitting(store, report, advance)
    written = {sheet.address for sheet in splitting.write()}
    agreed = agreement.agreements(_overlaps(store))
    light = (store.item(place, arrays=False) for place in range(len(store)))
    whole = replace(report, items=(*light, *failed))
    write_bytes(path, index.build(whole, splitting.sheets, agreed).encode())
    for old in folder.glob("*.html"):
        if f"{PAGES}/{old.name}" not in written:
            with suppress(OSError):
                old.unlink()
    return path


def _overlaps(store: Store) -> Iterator[float | None]:
    """How far the maps of each picture agree; measured where an earlier version wrote no numbers,
    else nothing of their size is read."""
    for place in range(len(store)):
        item = store.item(place, arrays=False)
        known = all(entry.error or entry.evidence for entry in item.maps)
        yield (item if known else measure(store.item(place))).overlap


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Pictures of one page: the place of the first, and how many."""

    start: int
    count: int


@dataclass(eq=False)
class _Splitting:
    """Pages written one after another, each as long as its size allows."""

    store: Store
    report: PageRecord
    advance: Callable[[str], None]
    sheets: list[index.Sheet] = field(default_factory=list)

    def write(self) -> list[index.Sheet]:
        """Writes all pages; each with what the index shows of it."""
        start = 0
        while start < len(self.store):
            start += self._page(_Group(start=start, count=min(PER_PAGE, len(self.store) - start)))
        return self.sheets

    def _page(self, group: _Group) -> int:
        """Writes a page of a group, or of its first part where it is too large; how many."""
        items = [self.store.item(group.start + k) for k in range(group.count)]
        text = page.build(self._part(items, group.start)).encode()
        if len(text) > LARGEST and group.count > 1:
            return self._page(replace(group, count=math.ceil(group.count / 2)))
        name = _name(group.start)
        write_bytes(self.store.folder / PAGES / name, text)
        address = f"{PAGES}/{name}"
        shown = [item for item in items if not item.error]
        links = [index.link(item, k + 1, address) for k, item in enumerate(shown)]
        self.sheets.append(
            index.Sheet(
                address=address,
                first=group.start + 1,
                last=group.start + group.count,
                links=index.sparse(links, len(self.store)),
            )
        )
        for item in items:
            self.advance(item.name)
        return group.count

    def _part(self, items: list[PictureEntry], start: int) -> PageRecord:
        end, total = start + len(items), len(self.store)
        part = PageRange(
            first=start + 1,
            last=end,
            total=total,
            index=f"../{REPORT}",
            previous=self.sheets[-1].address.rpartition("/")[2] if self.sheets else "",
            next=_name(end) if end < total else "",
        )
        title = f"{self.report.title}: pictures {start + 1} to {end} of {total}"
        return replace(self.report, title=title, items=tuple(items), part=part, next_steps=())


def _name(start: int) -> str:
    return f"{start + 1:05d}.html"
