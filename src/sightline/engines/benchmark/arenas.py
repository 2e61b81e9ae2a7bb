"""Where methods are measured: a network, pictures of which something is known, and the metrics that
read it.

Known truth: birds that are drawn, whose parts can be drawn away, so that their effect is measured;
birds with a planted mark, for the network that learned to read it; and one planted pattern, which
is all that its network looks at. Real: photographs with boxes.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from ... import registry, zoo
from ...errors import BadField, BadImage
from ...metric import Metric
from ...model import Model
from ...worlds import analytic
from ...worlds.aviary import Aviary, Shortcut
from ..collection import collection
from ..sources.item import Collection, Item

Track = Literal["known", "real"]

STEPS = 12
"""Steps of the deletion and insertion curves; few, so that dear methods can take part."""

TRUTH = ("part-importance", "false-credit", "part-iou")
FAITHFUL = ("insertion", "deletion")
BOXES = ("pointing", "energy-pointing", "pxap")

_BIRDS: tuple[tuple[str, int, Shortcut | None], ...] = (
    ("default", 1001, None),  # pictures that no network was trained on
    ("default-vit", 1001, None),
    ("clever-hans", 1002, "planted"),
)
_PACK = {
    "mobilenet_v2_imagenet": "arch=torchvision:mobilenet_v2&pad_type=same&mean=0.5&std=0.5",
    "squeezenet1_1_imagenet": "arch=torchvision:squeezenet1_1&mean=0.485,0.456,0.406"
    "&std=0.229,0.224,0.225",
    "deit_tiny_patch16_224_imagenet": "arch=timm:deit_tiny_patch16_224&size=224&crop=0.875"
    "&mean=0.485,0.456,0.406&std=0.229,0.224,0.225",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Arena:
    """One contest. key: for folders and files. title, about: for people. model: made when its turn
    comes. metrics: those that rank, the ones shown first in `shown`. sanity: measured beside them,
    on the methods that are not dear; it ranks nothing. layer: for methods that read one, where the
    network's last spatial layer is not to be found. part: the part that is the object, for the
    baseline of the objects' average location; empty is the whole object.
    """

    key: str
    track: Track
    title: str
    about: str
    model: Callable[[], Model]
    pictures: Callable[[Model], Collection]
    metrics: Sequence[Metric]
    shown: Sequence[str]
    sanity: Sequence[Metric] = ()
    layer: str | None = None
    part: str = ""


def known(limit: int, models: Sequence[str] = ()) -> list[Arena]:
    """The arenas whose truth is known, all or those of the networks named."""
    arenas = [_aviary(*bird, limit) for bird in _BIRDS]
    arenas.append(_planted(limit))
    if not models:
        return arenas
    wanted = [name.removeprefix("sightline:") for name in models]
    return [arena for arena in arenas if arena.key.removeprefix("known-") in wanted]


def real(data: str, limit: int, models: Sequence[str] = ()) -> list[Arena]:
    """The arenas of a folder, a CSV or a glob, one for each network; a folder that holds
    `imagenet/manifest.csv` and `weights` brings its own networks.

    Raises: BadField where no network is named and the folder has none, BadImage for what is not
    there.
    """
    root = Path(data).expanduser()
    manifest = root / "imagenet" / "manifest.csv"
    packed = manifest.is_file()
    names = list(models)
    if not names and packed:
        names = [name for name in _PACK if (root / "weights" / f"{name}.safetensors").is_file()]
    if not names:
        raise BadField(
            f"no network is named for the pictures of {data}; give --model, such as"
            " timm:resnet50, or several with commas."
        )
    return [_photographs(root, data, name, limit, packed) for name in names]


def _aviary(name: str, seed: int, shortcut: Shortcut | None, limit: int) -> Arena:
    birds = Aviary(seed=seed, count=limit, shortcut=shortcut, masks=True)
    metrics: list[Metric] = [*_made(TRUTH), _exact_pointing(), *_curves()]
    shown = ["part-importance", "false-credit", "part-iou", "insertion"]
    about = (
        "Drawn birds that the network was not trained on. Each part is drawn away with all else"
        " equal, so what it does to the score is measured, not guessed."
    )
    if shortcut is not None:
        # The badge decides, so a map that covers the bird is wrong here.
        metrics[2] = registry.create("metric", "part-iou", part="mark")
        metrics = [m for m in metrics if m.registered_name != "pointing"]
        about = (
            "Drawn birds with a badge in a corner that tells the species. This network learned to"
            " read the badge: the right answer is the badge, and `part-iou` is measured on it."
        )
    return Arena(
        key=f"known-{name}",
        track="known",
        title=f"Drawn birds, sightline:{name}",
        about=about,
        model=lambda: zoo.load(f"sightline:{name}"),
        pictures=lambda model: replace(
            collection(birds, model), name=f"{limit} birds of the aviary, seed {seed}"
        ),
        metrics=metrics,
        shown=shown,
        sanity=_sanity(),
        part="" if shortcut is None else "mark",
    )


def _planted(limit: int) -> Arena:
    def model() -> Model:
        made = _world(1).model
        made.name = "planted pattern"
        return made

    def pictures(model: Model) -> Collection:
        images, right = _world(limit).images, _world(limit).expected
        assert right is not None

        def items() -> Iterator[Item]:
            for k in range(limit):
                mask = (right[k] > 0.5).numpy()
                yield Item(name=f"pattern {k}", picture=images[k : k + 1], label=0, mask=mask)

        return Collection(name=f"{limit} planted patterns", count=limit, items=items, handed=True)

    return Arena(
        key="known-planted",
        track="known",
        title="A planted pattern, a network of nine weights",
        about="Faint noise with one pattern of 3 x 3 pixels, which is all that the network answers"
        " to: a right map marks these nine pixels and nothing else.",
        model=model,
        pictures=pictures,
        metrics=[*_made(("part-iou",)), _exact_pointing(), *_made(("pxap",)), *_curves()],
        shown=["part-iou", "pointing", "pxap", "insertion"],
        layer="maps",
    )


def _world(count: int) -> analytic.Known:
    return analytic.planted_patch(batch=count)


def _photographs(root: Path, data: str, name: str, limit: int, packed: bool) -> Arena:
    def model() -> Model:
        if packed and name in _PACK:
            made = zoo.load(f"file:{root / 'weights' / name}.safetensors?{_PACK[name]}")
            made.name = name
            return made
        return zoo.load(name)

    def pictures(model: Model) -> Collection:
        return _manifest(root, limit) if packed else collection(data, model, limit)

    short = name.rpartition("/")[2].replace(":", "-").partition("?")[0]
    return Arena(
        key=f"real-{short}",
        track="real",
        title=f"Photographs, {short}",
        about="Photographs with boxes around what their label names. No one knows which pixels the"
        " network should use; a box says where the object is, and the curves say what the score"
        " rests on.",
        model=model,
        pictures=pictures,
        metrics=[*_made(BOXES), *_curves()],
        shown=["pointing", "energy-pointing", "insertion", "deletion"],
        sanity=_sanity(),
    )


def _manifest(root: Path, limit: int) -> Collection:
    """The photographs that have boxes, those that networks were not trained on first."""
    path = root / "imagenet" / "manifest.csv"
    try:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadImage(f"{path} cannot be read as a table: {error}.") from None
    boxed = [row for row in rows if row.get("boxes")]
    boxed.sort(key=lambda row: row.get("ilsvrc_split") != "val")
    fresh = sum(row.get("ilsvrc_split") == "val" for row in boxed[:limit])
    items = [
        Item(
            name=Path(row["file"]).stem,
            picture=path.parent / row["file"],
            label=int(row["index"]),
            boxes=tuple(_box(part) for part in row["boxes"].split(";")),
        )
        for row in islice(boxed, limit)
    ]
    return Collection(
        name=f"{len(items)} photographs with boxes, {fresh} of them from the validation set",
        count=len(items),
        items=lambda: iter(items),
        handed=True,
    )


def _box(text: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(number) for number in text.split())
    return x0, y0, x1, y1


def _made(names: Sequence[str]) -> list[Metric]:
    return [registry.create("metric", name) for name in names]


def _exact_pointing() -> Metric:
    """Without the usual 15 pixels of grace, which are half of a small picture."""
    return registry.create("metric", "pointing", tolerance=0.0)


def _sanity() -> list[Metric]:
    """The maps of the trained network and of one in which every layer was drawn anew. One draw is
    enough here, because each picture draws a network of its own."""
    return [registry.create("metric", "model-randomisation", steps=2, draws=1)]


def _curves() -> list[Metric]:
    return [registry.create("metric", name, steps=STEPS) for name in FAITHFUL]
