"""Tar shards as WebDataset writes them: the files of one sample stand together and share their name
up to the first dot.

A picture is the first file with the ending of one; `cls` is its label (a number or a word), and
`json` may hold `label` and `box`. The shards are read one after another with Python's own
`tarfile`, a sample at a time; links and folders in them are passed over, and nothing is unpacked to
disk.
"""

import glob
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadField, BadImage
from ..files.finding import existing
from ..pictures.annotations import boxes_of
from ..pictures.encoded import Encoded
from ..sample import Sample, Samples
from .openers import opener

_PICTURES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm")
_LABELS = ("cls", "label")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_BRACES = re.compile(r"\{([^{}]*)\}")


@opener("webdataset", "wds", form="webdataset:PATTERN")
def samples(pattern: str) -> Samples:
    """The samples of the shards that a pattern names: `shards/train-{000..012}.tar`, or a glob.

    Raises: BadImage where there is no such file, BadField for an address in place of a path.
    """
    files = _files(pattern)
    return Samples(
        name=f"webdataset:{pattern}",
        start=lambda: (sample for file in files for sample in _samples(file)),
    )


def _files(pattern: str) -> list[Path]:
    if "://" in pattern or pattern.startswith("pipe:"):
        raise BadField(
            f"webdataset:{pattern} is no path; shards are read from this machine's files only."
            " Download them, and name the files."
        )
    found: list[Path] = []
    for name in _expanded(str(Path(pattern).expanduser())):
        matches = [name] if Path(name).exists() else glob.glob(name, recursive=True)  # noqa: PTH207
        there = sorted(match for match in matches if Path(match).is_file())
        if matches and not there:
            existing(Path(sorted(matches)[0]))  # says what is there instead
        if not there:
            raise BadImage(
                f"webdataset:{pattern}: no such file as {name}; expected tar files, such as"
                " webdataset:shards/*.tar or shards-{000..012}.tar."
            )
        found += map(Path, there)
    return found


def _expanded(pattern: str) -> list[str]:
    """Every name that the braces stand for: `{a,b}` or `{000..012}`."""
    held = _BRACES.search(pattern)
    if held is None:
        return [pattern]
    first, dots, last = held[1].partition("..")
    words = held[1].split(",")
    if dots and first.isdecimal() and last.isdecimal():
        words = [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    start, end = pattern[: held.start()], pattern[held.end() :]
    return [name for word in words for name in _expanded(f"{start}{word}{end}")]


def _samples(file: Path) -> Iterator[Sample]:
    """The samples of a shard; where it breaks off, one that says so."""
    try:
        with tarfile.open(file, "r|*") as shard:
            for key, files in _groups(shard):
                yield _sample(f"{file.name}/{key}", files)
        _check_end(file)
    except (tarfile.TarError, OSError, EOFError) as error:
        yield Sample(
            name=file.name,
            error=f"{file} is no whole tar file ({error}); what stands before is used. Fetch it"
            " again.",
        )


def _check_end(file: Path) -> None:
    """Raises: ReadError where the empty block at the end is missing, which `tarfile` passes over;
    of a compressed file it knows the end."""
    with file.open("rb") as stream:
        if stream.read(6).startswith(_COMPRESSED):
            return
        stream.seek(-min(tarfile.BLOCKSIZE, file.stat().st_size), os.SEEK_END)
        if any(stream.read()):
            raise tarfile.ReadError("it breaks off")


def _groups(shard: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The name of each sample, and the bytes of its files by their endings."""
    key, held = "", dict[str, bytes]()
    for member in shard:
        folder, _, base = member.name.rpartition("/")
        stem, dot, ending = base.partition(".")
        stream = shard.extractfile(member) if member.isfile() and dot and stem else None
        if stream is None:
            continue
        name = f"{folder}/{stem}" if folder else stem
        if held and name != key:
            yield key, held
            held = {}
        key, data = name, stream.read()
        if len(data) != member.size:
            raise tarfile.ReadError(f"{member.name} is cut off")
        held[ending.lower()] = data
    if held:
        yield key, held


def _sample(name: str, parts: Mapping[str, bytes]) -> Sample:
    pictures = [e for e in parts if e.rpartition(".")[2] in _PICTURES]
    if not pictures:
        names = ", ".join(sorted(parts)) or "nothing"
        return Sample(name=name, error=f"{name} holds no picture, but {names}.")
    sample = Sample(name=name, source=Encoded(data=parts[pictures[0]], name=name))
    try:
        facts = json.loads(parts["json"]) if "json" in parts else {}
        facts = facts if isinstance(facts, dict) else {}
        label = next((_text(parts[e]) for e in _LABELS if e in parts), facts.get("label"))
        known = sample if label is None else replace(sample, label=str(label))
        return with_boxes(known, facts.get("box"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        return replace(sample, error=f"what {name} says of its picture cannot be read: {error}.")


def _text(data: bytes) -> str:
    return data.decode().strip()


def with_boxes(sample: Sample, box: Any) -> Sample:
    """The sample with boxes (text, four numbers, or several of them), or with what is wrong with
    them."""
    try:
        return replace(sample, boxes=None if box in (None, "", []) else boxes_of(_as_text(box)))
    except BadField as error:
        return replace(sample, error=str(error))


def _as_text(box: str | Sequence[Any]) -> str:
    if isinstance(box, str):
        return box
    several = box if isinstance(box[0], (list, tuple)) else [box]
    return ";".join(" ".join(map(str, one)) for one in several)
