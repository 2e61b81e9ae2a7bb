"""The entrance to a report of many pictures: numbers over all of them, and the way to each page.

It is laid out from pictures without their arrays, so that memory does not grow with the maps.
"""

from dataclasses import dataclass
from typing import Any

from ...views import encode
from ...views.wording import counted, listed
from .. import shell
from ..record import PageRecord, PictureEntry
from . import page, picture_row, summary

_SIDE = 96  # pixels of a thumbnail
_WITH_ALL = 1000  # pictures up to which each has its thumbnail; above, the first of a page
_STYLES = ("page.css", "small.css", "index.css")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A picture in the index: its name, what the model says, its thumbnail and its address."""

    name: str
    label: str
    picture: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One page of the report: its address, its first and last picture, and links to them."""

    address: str
    first: int
    last: int
    links: tuple[Link, ...]


def link(item: PictureEntry, place: int, address: str) -> Link:
    """The link to a picture. place: 1 is the first picture of its page."""
    base = encode.fit_picture(picture_row.base(item), _SIDE)
    return Link(
        name=item.name,
        label=item.predicted[0] if item.predicted else item.target,
        picture=encode.picture(base, long_side=_SIDE, quality=60),
        address=f"{address}#picture-{place}",
    )


def sparse(links: list[Link], total: int) -> tuple[Link, ...]:
    """The links that are kept of a page, of a report of so many pictures."""
    return tuple(links if total <= _WITH_ALL else links[:1])


def build(report: PageRecord, sheets: list[Sheet], agreement: str) -> str:
    """The page as one HTML text. report: with all pictures, their arrays left out. agreement: a
    sentence on how far the methods agree."""
    return shell.rendered("index.html.j2", context(report, sheets, agreement), _STYLES)


def context(report: PageRecord, sheets: list[Sheet], agreement: str) -> dict[str, Any]:
    """Everything that `index.html.j2` names."""
    good = [item for item in report.items if not item.error]
    methods = page.methods(good)
    names = [method.title for method in methods]
    who = listed(names) if len(names) <= 4 else f"{len(names)} methods"
    explained = f"{counted(len(good), 'picture')}, explained by {who or 'no method'}."
    return {
        "title": report.title,
        "lead": f"{explained} {agreement}".rstrip(),
        "caution": report.caution,
        "facts": report.facts,
        "notes": report.notes,
        "next_steps": report.next_steps,
        "made": report.made,
        "sheets": sheets,
        "failures": page.failures(report),
        "methods": methods,
        "summary": summary.table(good) if len(good) > 1 else None,
    }
