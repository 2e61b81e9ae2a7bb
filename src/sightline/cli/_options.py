"""Options that several verbs share, so that they are spelled and explained the same everywhere."""

from pathlib import Path
from typing import Annotated, Any

import typer


def methods(help: str, *, show_default: bool = False) -> Any:
    """The option that names methods."""
    return typer.Option("--method", "--methods", help=help, show_default=show_default)


def settings(help: str) -> Any:
    """The option that sets parameters."""
    return typer.Option("--set", metavar="FIELD=VALUE", help=help, show_default=False)


def models(help: str) -> Any:
    """The option that names networks."""
    return typer.Option("--model", "-m", help=help, show_default=False)


def target(help: str) -> Any:
    """The option that says what is explained, or aimed at."""
    return typer.Option("--target", help=help, show_default=False)


def limit(help: str, *, show_default: bool = False) -> Any:
    """The option that says how many pictures are taken at most."""
    return typer.Option("--limit", min=1, help=help, show_default=show_default)


def out(help: str) -> Any:
    """The option that names a folder for what is written."""
    return typer.Option("--out", "-o", help=help, file_okay=False, show_default=False)


Model = Annotated[
    str | None,
    models(
        "timm:resnet50, torchvision:..., hf:..., file:weights.safetensors?arch=..., or"
        " sightline:default (the default)."
    ),
]
Method = Annotated[
    str | None,
    methods(
        "Names, separated by commas; `sightline methods` lists them. all-cam (all-gradient,"
        " all-mask, all) means all of a kind."
    ),
]
Target = Annotated[
    str | None,
    target(
        "What is explained; default: top, what the model says. A class by its label or index"
        " (tabby, 281; class:binary for a label that reads like a word of this list), top:1 for the"
        " second choice, binary or binary:no for a network with one yes-or-no output, axis:0 for a"
        " measured output, contrast:tabby,lynx for one rather than the other,"
        " box:x0,y0,x1,y1:LABEL for a detection, similarity:PICTURE, token:5,7, text:WORDS (needs a"
        " text tower). A - before it asks for the evidence against: -tabby."
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(
        "--layer",
        help="The layer to read; default: the model's last spatial one.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None, settings("A parameter of a method: masks=500, or rise.masks=500.")
]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="full|data|LOW,HIGH",
        help="Which numbers of pictures of more than 8 bits are black and white: all that the type"
        " allows (full, the default), the least and the largest (data), or two, such as 0,4095.",
        show_default=False,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        "--metric",
        help="How to judge each map: names separated by commas; for `explain` also none. Default:"
        " deletion,insertion.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    out(
        "Folder for the results. Default: sightline-VERB, or sightline-VERB-2 and so on where"
        " that holds earlier results."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the earlier results in --out.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="exact (the default), or fast (the approximations that the docs quantify).",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Processes; default: one for a short run, else one per core.",
        show_default=False,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        help="Images in one pass; default: chosen by the model.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", help="The seed of methods that draw random numbers.", show_default=False
    ),
]
Limit = Annotated[int | None, limit("At most so many pictures.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the results as JSON to stdout, and nothing else.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")]
