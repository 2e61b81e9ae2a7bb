"""`sightline demo`: the main job on drawn birds whose truth is known; no network, no arguments."""

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as options
from ._habits import habits
from .results.folders import Command

if TYPE_CHECKING:
    from ._collection import Source

METHODS = "grad-cam,hires-cam,score-cam,smooth-grad,occlusion,rise"
NEXT = (
    "your own picture: `sightline explain photo.jpg --model timm:resnet50`",
    "what the methods ask and cost: `sightline methods`",
    "what sightline finds out about a network: `sightline inspect timm:resnet50`",
)


def demo(
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="How many birds.")] = 3,
    method: options.Method = METHODS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explains the embedded network on drawn birds, judges the maps and writes a report.

    Nothing is downloaded; it takes less than a minute.
    """
    command = Command.of("demo", locals())
    with habits(quiet=quiet or json, debug=debug) as remarks:
        from .. import registry, survey
        from . import _collection, _settings

        net = _settings.model(_settings.DEFAULT, device="cpu", precision="exact")
        judges = [registry.create("metric", name) for name in ("deletion", "insertion")]
        judges.append(registry.create("metric", "pointing", tolerance=0.0))  # these birds are large
        plan = survey.plan(net, _settings.methods(net, method), metrics=judges)
        sources = _birds(pictures, net.size[0] if net.size else 128)
        place = _collection.Place(command=command, out=out, overwrite=overwrite)
        telling = _collection.Telling(
            title="Which part of the bird decides?",
            remarks=remarks,
            next_steps=NEXT,
            as_json=json,
            quiet=quiet,
            debug=debug,
        )
        _collection.explain_all(plan, sources, place, telling)


def _birds(count: int, size: int) -> "list[Source]":
    from ..images import Picture
    from ..metric import Truth
    from ..worlds import aviary
    from ._collection import Source

    sources = []
    for bird in aviary.bundle(count, size):
        masks = {part: mask for part, mask in (bird.masks or {}).items() if mask.any()}
        x0, y0, x1, y1 = map(float, bird.box)
        truth = Truth(
            labels=[bird.label],
            boxes=[[(x0, y0, x1, y1)]],
            masks=[bird.silhouette],
            parts=[masks],
            keypoints=[bird.keypoints],
        )
        picture = Picture(bird.image, f"{bird.species.replace(' ', '-')}.png")
        known = {"truth": bird.species, "parts": masks}
        sources.append(
            Source(
                name=bird.species,
                path=PurePath(picture.name),
                read=lambda p=picture: p,
                digest=lambda b=bird: hashlib.sha256(b.image.tobytes()).hexdigest(),
                truth=truth,
                known=known,
            )
        )
    return sources
