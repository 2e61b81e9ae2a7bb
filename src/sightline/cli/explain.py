"""`sightline explain`: pictures in; maps, overlays and one report out."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from . import _options as options
from ._habits import habits


def explain(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Files, folders or globs.")
    ],
    model: options.Model = None,
    method: options.Method = None,
    target: options.Target = None,
    layer: options.Layer = None,
    settings: options.Settings = None,
    metrics: options.Metrics = "deletion,insertion",
    out: options.Out = Path("sightline-explain"),
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
    report.html that opens anywhere.

    Example: sightline explain dog.jpg --model timm:resnet50 --method grad-cam,score-cam
    """
    with habits(quiet=quiet or json, debug=debug) as remarks:
        from .. import survey
        from ..images import printable, read
        from ..targets import written
        from . import _collection, _settings

        net = _settings.model(model, device=device, precision=precision, batch=batch, range=range)
        made = _settings.methods(net, method, settings=settings or (), layer=layer, seed=seed)
        plan = survey.plan(
            net, made, metrics=_settings.judges(metrics), target=written.target(net, target)
        )
        files, absent = _settings.paths(images, limit)
        known = getattr(net.preprocess, "range", None)
        sources = [
            _collection.Source(name=printable(f.name), read=partial(read, f, range=known))
            for f in files
        ]
        done = _collection.collect(plan, sources, out, quiet=quiet or json, debug=debug)
        _collection.missing(done, absent)
        page = survey.page("Where the model looks", plan, done.items, notes=tuple(remarks))
        _collection.conclude(done, page, out, model=net.name, as_json=json)
