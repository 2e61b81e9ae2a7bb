"""`sightline demo`: the main job on drawn birds whose truth is known; no network, no arguments."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as options
from .console import verb_context
from .results.folders import Command

if TYPE_CHECKING:
    from ..pages.record import PictureEntry

METHODS = "grad-cam,score-cam,smooth-grad,integrated-gradients,occlusion,rise"
METRICS = "deletion,insertion,energy-pointing"
NEXT = (
    "your own picture: `sightline explain photo.jpg --model timm:resnet50`",
    "what the methods ask and cost: `sightline methods`",
    "what sightline finds out about a network: `sightline inspect timm:resnet50`",
)


def demo(
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="How many birds.")] = 4,
    method: options.Method = METHODS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explains the embedded network on drawn birds, scores the maps and writes a report.

    The birds are chosen by a stated rule from a seeded draw: three on which the methods beat the
    baselines and differ, and last one on which a method fails. Nothing is downloaded; it takes less
    than a minute.
    """
    command = Command.of("demo", locals())
    with verb_context(quiet=quiet or json, debug=debug) as remarks:
        from .. import explain_pictures
        from ..data import drawn_worlds
        from ..data.classes import match
        from ..worlds import demonstration as chosen_birds
        from . import parse
        from .pictures import answer
        from .pictures import run as picture_run

        net = parse.model(parse.DEFAULT, device="cpu", precision="exact")
        remarks.append(chosen_birds.RULE)
        methods, judges = parse.methods(net, method), parse.judges(METRICS)
        plan = explain_pictures.plan(net, methods, metrics=judges)
        side = net.size[0] if net.size else 128
        samples = [*match(drawn_worlds.demonstration(pictures, side), net)]
        destination = picture_run.Destination(command=command, out=out, overwrite=overwrite)
        presentation = answer.Presentation(
            title="Which part of the bird decides?",
            remarks=remarks,
            next_steps=NEXT,
            finished=_with_failure,
            as_json=json,
            quiet=quiet,
            debug=debug,
        )
        picture_run.explain_all(plan, samples, destination, presentation)


def _with_failure(item: "PictureEntry") -> "PictureEntry":
    """The picture with a heading that says which methods fail on it, where some do."""
    from ..pages.report import agreement, summary

    failed = summary.failure(item)
    return replace(item, headline=f"{failed} {agreement.located(item)}") if failed else item
