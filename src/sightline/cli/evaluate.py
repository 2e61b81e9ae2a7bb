"""`sightline evaluate`: methods judged on a collection; a table, plots and a verdict out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as options
from .console import (
    INTERRUPTED,
    WITH_ERRORS,
    json_to_stdout,
    resume_hint,
    to_stderr,
    to_stdout,
    verb_context,
)
from .results import folders
from .results.folders import Command
from .results.names import short
from .waiting.bar import shown
from .waiting.meter import Meter

if TYPE_CHECKING:
    from ..evaluation.run_file import RunFile
    from ..evaluation.table import Table
    from ..explain_pictures import PicturePlan

SHOWN = 20  # errors that are listed one by one

Settings = Annotated[
    list[str] | None,
    options.settings(
        "A parameter of a method (masks=500, or rise.masks=500), or METRIC.FIELD=VALUE:"
        " pointing.tolerance=0."
    ),
]


def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder (class folders optional), a CSV (path,label[,box][,domain]), a glob,"
            " hf:NAME[:SPLIT], webdataset:PATTERN, an address (s3://...), imagenet-v2:DIR,"
            " cifar10.1:DIR, cub:DIR, aviary[:planted], or the run.toml of an earlier run, which"
            " says everything that is not given.",
        ),
    ],
    model: options.Model = None,
    methods: options.Method = None,
    metrics: options.Metrics = None,
    target: options.Target = None,
    layer: options.Layer = None,
    settings: Settings = None,
    out: options.Out = None,
    engine: Annotated[
        str, typer.Option("--engine", help="local, or ray (the machines of a Ray cluster).")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="The head of the Ray cluster; default: the one that is there, else a new one.",
            show_default=False,
        ),
    ] = None,
    workers: options.Workers = None,
    cell_timeout: Annotated[
        float | None,
        typer.Option(
            "--cell-timeout",
            metavar="SECONDS",
            help="Give up one method on one picture after this time; a rerun tries it again."
            " Default: 1800, in worker processes.",
            show_default=False,
        ),
    ] = None,
    range: options.Range = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability/--no-stability",
            help="Measure some pictures with other fills and coarser maps too.",
        ),
    ] = True,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache",
            help="Take the numbers of baselines from earlier runs, and keep them for later ones.",
        ),
    ] = True,
    batch: options.Batch = None,
    seed: options.Seed = None,
    limit: options.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Which method can be trusted on these pictures?

    Writes table.parquet, table.json, run.toml and report.html. A run that was stopped goes on when
    the same command is given again; what is finished is not computed twice. Give its run.toml in
    place of DATA to do the same run in another folder.

    Example: sightline evaluate photos/ --model timm:resnet50 --methods grad-cam,rise --limit 50
    """
    command = Command.of("evaluate", locals())
    with verb_context(quiet=quiet or json, debug=debug):
        from .. import run
        from ..explain_pictures import PicturePlan
        from ..targets import notation
        from . import parse

        again = _run_file(data)
        net = parse.model(
            again.model_name if again and model is None else model,
            device=device,
            precision=precision or (again.precision if again else "exact"),
            batch=batch,
            range=range,
        )
        made = judges = None  # those of the run file
        own, rest = parse.of_metrics(settings or ())
        if again is None or methods or rest or layer or seed is not None:
            made = parse.methods(net, methods, settings=rest, layer=layer, seed=seed)
        if metrics is not None or own:
            usual = again.metrics() if again else None
            judges = parse.judges(metrics or usual, own)
        aim = None if target is None else notation.target(net, target)
        if made and not quiet and engine == "local":
            asked = judges or parse.judges(None)
            told = _estimated(
                PicturePlan(model=net, explainers=made, metrics=asked), data, limit, workers
            )
            if told:
                to_stderr(told)
        folder = folders.chosen(out, command)
        try:
            with folders.running(folder, command), _watched(quiet) as watch:
                table = run.evaluate(
                    net,
                    None if again else data,
                    made,
                    judges,
                    folder,
                    run=again.path if again else None,
                    target=aim,
                    limit=limit,
                    batch=batch,
                    stability=None if again and stability else stability,
                    engine=engine,
                    address=address,
                    workers=workers,
                    cell_timeout=cell_timeout,
                    cache=cache,
                    progress=watch,
                )
        except KeyboardInterrupt:
            to_stderr(resume_hint(folder))
            raise typer.Exit(INTERRUPTED) from None
        conclude(table, folder, as_json=json)


def _run_file(data: str) -> "RunFile | None":
    """The run that DATA names, where it is a run file."""
    from ..evaluation import run_file

    return run_file.read(Path(data)) if data.endswith(".toml") else None


@contextmanager
def _watched(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows how many cells are judged; gives what is told of them."""
    meter = Meter("judging", 0)

    def watch(done: int, total: int) -> None:
        meter.total = total
        meter.reach(done)

    with shown(meter, quiet=quiet):
        yield watch


def _estimated(plan: "PicturePlan", data: str, limit: int | None, workers: int | None) -> str:
    """How long a folder will take; empty where that is under a minute, or not known."""
    from ..data.opening import open_samples
    from ..evaluation.plan import BLIND
    from ..jobs.capacity import cores
    from .waiting import estimate

    count = open_samples(data, limit).count if Path(data).is_dir() else None
    processes = workers or (cores() if plan.model.device.type == "cpu" else 1)
    return estimate.sentence(plan, count or 0, baselines=len(BLIND), workers=processes)


def conclude(table: "Table", out: Path, *, as_json: bool, page: Path | None = None) -> None:
    """Says what a run in a folder found; page: the folder of its report, where that is another.
    Raises: typer.Exit with 1 where something could not be scored."""
    from ..files.finding import printable

    report = printable((page or out) / "report.html")
    if as_json:
        json_to_stdout(
            {
                "report": report,
                "table": printable(out / "table.parquet"),
                "model": table.plan.model.display_name,
                "pictures": len(table.pictures),
                "verdict": table.verdict,
                "summary": table.summary,
                "errors": table.errors,
            }
        )
    else:
        for line in _lines(table):
            to_stdout(line)
        to_stdout(f"\n{table.verdict}\nReport: {report}")
        for error in table.gathered[:SHOWN]:
            to_stderr(f"not measured: {error}")
        if len(table.gathered) > SHOWN:
            to_stderr(f"... and {len(table.gathered) - SHOWN} more; table.parquet lists all")
    if table.errors or not table.pictures:
        raise typer.Exit(WITH_ERRORS)


def _lines(table: "Table") -> list[str]:
    """The means as text, one line a method, the null maps last."""
    if not table.pictures:
        return []
    names = [*table.methods, *table.nulls]
    called = {name: short(name) for name in names}
    wide = max(map(len, called.values())) + 2
    found = {(s["method"], s["metric"]): s for s in table.summary}
    widths = [max(len(metric), 22) for metric in table.metrics]
    heads = "  ".join(f"{m:>{w}}" for m, w in zip(table.metrics, widths, strict=True))
    lines = [f"{'':<{wide}}{heads}"]
    for name in names:
        cells = [_cell(found[name, metric]) for metric in table.metrics]
        shown = "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))
        lines.append(f"{called[name]:<{wide}}{shown}")
    if any(level["low"] is not None for level in found.values()):
        lines.append("In brackets: the 95 % interval of the mean over the pictures.")
    return lines


def _cell(level: dict) -> str:
    if level["value"] is None:
        return "-"
    if level["low"] is None:
        return f"{level['value']:.3f}"
    return f"{level['value']:.3f} ({level['low']:.3f}, {level['high']:.3f})"
