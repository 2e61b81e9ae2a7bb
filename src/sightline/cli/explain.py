"""`sightline explain`: pictures in; maps, overlays and one report out."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as options
from .console import to_stderr, verb_context
from .results.folders import Command

if TYPE_CHECKING:
    from ..model import Model

log = logging.getLogger("sightline")

MANY = 200  # pictures above which `evaluate` is the verb
DRAWN = "sightline:"  # how the names of networks begin that have seen drawn birds only


def explain(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Files, folders, globs or other DATA.")
    ],
    model: options.Model = None,
    method: options.Method = None,
    target: options.Target = None,
    layer: options.Layer = None,
    settings: options.Settings = None,
    metrics: options.Metrics = "deletion,insertion",
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    range: options.Range = None,
    device: options.Device = "auto",
    precision: options.Precision = "exact",
    batch: options.Batch = None,
    seed: options.Seed = None,
    limit: options.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Where does the model look in these pictures, and how far can each map be believed?

    Writes for each picture and method an overlay (NAME--METHOD.png) and arrays (NAME--METHOD.npz),
    or, where the method gives no map, a drawing and the result as NAME--METHOD.json; and one
    report.html that opens anywhere. A run that was stopped goes on when the same command is given
    again; with the same model and settings, new pictures are added to an --out that holds results.

    Example: sightline explain dog.jpg --model timm:resnet50 --method grad-cam,score-cam
    """
    command = Command.of("explain", locals())
    with verb_context(quiet=quiet or json, debug=debug) as remarks:
        from .. import explain_pictures
        from ..targets import notation
        from . import parse
        from .pictures import answer
        from .pictures import run as picture_run

        net = parse.model(model, device=device, precision=precision, batch=batch, range=range)
        made = parse.methods(net, method, settings=settings or (), layer=layer, seed=seed)
        plan = explain_pictures.plan(
            net, made, metrics=parse.judges(metrics), target=notation.target(net, target)
        )
        caution = _caution(net)
        if caution and not (quiet or json):
            to_stderr(caution)
        samples, absent = parse.pictures(net, images, limit)
        if len(samples) > MANY:
            log.info(
                "%d pictures: `sightline evaluate` is the verb for collections; its report sums up"
                " what `explain` shows one by one",
                len(samples),
            )
        destination = picture_run.Destination(command=command, out=out, overwrite=overwrite)
        presentation = answer.Presentation(
            title="Where the model looks",
            remarks=remarks,
            caution=caution,
            absent=absent,
            as_json=json,
            quiet=quiet,
            debug=debug,
        )
        picture_run.explain_all(plan, samples, destination, presentation)


def _caution(model: "Model") -> str:
    """What a report says where somebody's own pictures meet a network of drawn birds."""
    if not model.name.startswith(DRAWN):
        return ""
    count = len(model.labels or ())
    return (
        f"{model.name} knows {count} drawn birds only: its predictions for photographs have no"
        " meaning. Name a network of your own with `--model`."
    )
