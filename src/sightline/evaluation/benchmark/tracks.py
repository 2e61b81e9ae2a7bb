"""Where methods are measured: a network, pictures of which something is known, and the metrics that
read it.

Known truth: birds that are drawn, whose parts can be drawn away, so that their effect is measured;
birds with a planted mark, for the network that learned to read it; and one planted pattern, which
is all that its network looks at. Real: any photographs, best with boxes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Literal

from ... import registry, zoo
from ...data import drawn_worlds
from ...data.classes import match
from ...data.opening import open_samples
from ...errors import BadField
from ...files.display import display_name
from ...metric import Metric
from ...model import Model
from ...sample import Samples

TrackKind = Literal["known", "real"]

STEPS = 12
"""Steps of the deletion and insertion curves; few, so that expensive methods can take part."""

TRUTH = ("part-importance", "false-credit", "part-iou")
FAITHFUL = ("insertion", "deletion")
BOXES = ("pointing", "energy-pointing", "pxap")

_USUAL = {
    "sightline:default": "aviary",
    "sightline:default-vit": "aviary",
    "sightline:clever-hans": "aviary:planted",
}
PLANTED = "planted"
"""The network of nine weights that looks for one pattern, with pictures of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkTrack:
    """One contest. key: for folders and files. title, about: for people. source: where the pictures
    come from, which tells contests apart. model: made when its turn comes. metrics: those that
    rank, the ones shown first in `shown`. sanity: measured beside them, on methods that are cheap;
    it ranks nothing. caution: to be said before it starts. trained:
    whether the network learned, as those that people use. layer: for methods that read one, where
    the network's last spatial layer is not to be found. part: the part that is the object, for the
    baseline of the objects' average location; empty is the whole object.
    """

    key: str
    track: TrackKind
    title: str
    about: str
    source: str
    model: Callable[[], Model]
    pictures: Callable[[Model], Samples]
    metrics: Sequence[Metric]
    shown: Sequence[str]
    sanity: Sequence[Metric] = ()
    layer: str | None = None
    part: str = ""
    caution: str = ""
    trained: bool = True


def known(limit: int, models: Sequence[str] = ()) -> list[BenchmarkTrack]:
    """The tracks whose truth is known, all or those of our own networks that are named."""
    tracks = {name: _birds(world, name, limit) for name, world in _USUAL.items()}
    tracks[PLANTED] = _planted(limit)
    return [track for name, track in tracks.items() if not models or name in models]


def given(data: str, limit: int, models: Sequence[str] = ()) -> list[BenchmarkTrack]:
    """The tracks of DATA, one for each network: `aviary` or `aviary:planted` (drawn birds), or the
    photographs of a folder, a CSV, a glob or a data set.

    Raises: BadField where no network is named.
    """
    if data in drawn_worlds.SEEDS:
        usual = [name for name, world in _USUAL.items() if world == data]
        return [_birds(data, name, limit) for name in models or usual]
    if not models:
        raise BadField(
            f"no network is named for the pictures of {data}; give --model, such as"
            " timm:resnet50, or several with commas."
        )
    return [_photographs(data, name, limit) for name in models]


def short_name(model: str) -> str:
    """A model string for folders and titles: without the folders in which its files lie, a weight
    file by its stem and architecture.

    >>> short_name("file:/home/me/net.safetensors?arch=timm:resnet18&labels=/home/me/names.txt")
    'net, timm:resnet18'
    """
    shown = display_name(model)
    prefix, colon, rest = shown.partition(":")
    if not colon or prefix.lower() != "file":
        return shown
    path, _, query = rest.partition("?")
    arch = [pair[5:] for pair in query.split("&") if pair.startswith("arch=")]
    return ", ".join([PurePath(path).stem, *arch])


def _key(*words: str) -> str:
    """Words as the name of a folder on any system."""
    return "-".join(filter(None, (re.sub(r"[^\w.+]+", "-", word).strip("-.") for word in words)))


def _birds(world: str, name: str, limit: int) -> BenchmarkTrack:
    """Drawn birds under a network."""
    planted = world == "aviary:planted"
    metrics: list[Metric] = [*_made(TRUTH), _exact_pointing(), *_curves()]
    shown = ["part-importance", "false-credit", "part-iou", "insertion"]
    about = (
        "Drawn birds that the network was not trained on. Each part is drawn away with all else"
        " equal, so what it does to the score is measured, not guessed."
    )
    if planted:
        # The badge decides, so a map that covers the bird is wrong here.
        metrics[2] = registry.create("metric", "part-iou", part="mark")
        metrics = [m for m in metrics if m.registered_name != "pointing"]
        about = (
            "Drawn birds with a badge in a corner that tells the species. `sightline:clever-hans`"
            " learned to read the badge: its right answer is the badge, and `part-iou` is measured"
            " on it."
        )
    short, usual = short_name(name), _USUAL.get(name) == world
    words = [name.removeprefix("sightline:")] if usual else [short, world]
    return BenchmarkTrack(
        key=_key("known", *words),
        track="known",
        title=f"Drawn birds{' with a badge' if planted and not usual else ''}, {short}",
        about=about,
        source=f"{world} {drawn_worlds.SEEDS[world]}",
        model=lambda: zoo.load(name),
        pictures=partial(match, drawn_worlds.aviary(world, limit)),
        metrics=metrics,
        shown=shown,
        sanity=_sanity(),
        part="mark" if planted else "",
    )


def _planted(limit: int) -> BenchmarkTrack:
    def model() -> Model:
        made = drawn_worlds.pattern_world(1).model
        made.name = "planted pattern"
        return made

    return BenchmarkTrack(
        key="known-planted",
        track="known",
        source="planted patterns",
        title="A planted pattern, a network of nine weights",
        about="Faint noise with one pattern of 3 x 3 pixels, which is all that the network answers"
        " to: a right map marks these nine pixels and nothing else.",
        model=model,
        pictures=partial(match, drawn_worlds.patterns(limit)),
        metrics=[*_made(("part-iou",)), _exact_pointing(), *_made(("pxap",)), *_curves()],
        shown=["part-iou", "pointing", "pxap", "insertion"],
        layer="maps",
        trained=False,
    )


def _photographs(data: str, name: str, limit: int) -> BenchmarkTrack:
    path, short = Path(data).expanduser(), short_name(name)
    place = path.resolve() if path.exists() else data
    shown = path.name if path.exists() else data
    drawn = name.startswith("sightline:")
    caution = f"{short} was trained on drawn birds: its maps of photographs say little of others."
    return BenchmarkTrack(
        key=_key("real", path.stem if path.is_file() else shown, short),
        track="real",
        title=f"Photographs ({shown}), {short}",
        about="Photographs with boxes around what their label names. No one knows which pixels the"
        " network should use; a box says where the object is, and the curves say what the score"
        " rests on." + (f" {caution}" if drawn else ""),
        source=str(place),
        model=lambda: zoo.load(name),
        pictures=lambda model: replace(match(open_samples(data, limit), model), name=shown),
        metrics=[*_made(BOXES), *_curves()],
        shown=["pointing", "energy-pointing", "insertion", "deletion"],
        sanity=_sanity(),
        caution=caution if drawn else "",
    )


def fitting(track: BenchmarkTrack, pictures: Samples) -> BenchmarkTrack:
    """The track with the metrics that its pictures allow: without boxes and masks, those that read
    the network alone."""
    if track.track == "known" or any(i.boxes or i.mask is not None for i in pictures):
        return track
    about = "Photographs without boxes: the curves say what the score rests on."
    return replace(
        track,
        about=f"{about} {track.caution}".strip(),
        metrics=_curves(),
        shown=FAITHFUL,
    )


def _made(names: Sequence[str]) -> list[Metric]:
    return [registry.create("metric", name) for name in names]


def _exact_pointing() -> Metric:
    """Without the usual 15 pixels of grace, which are half of a small picture."""
    return registry.create("metric", "pointing", tolerance=0.0)


def _sanity() -> list[Metric]:
    """The maps of the trained network and of one in which every layer was randomised. One draw is
    enough here, because each picture draws a network of its own."""
    return [registry.create("metric", "model-randomisation", steps=2, draws=1)]


def _curves() -> list[Metric]:
    return [registry.create("metric", name, steps=STEPS) for name in FAITHFUL]
