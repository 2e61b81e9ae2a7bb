"""Options that several verbs share, so that they are spelled and explained the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="timm:resnet50, torchvision:..., hf:..., file:weights.safetensors?arch=..., or"
        " sightline:default (the default).",
        show_default=False,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        "--methods",
        help="Names, separated by commas; `sightline methods` lists them. all-cam (all-gradient,"
        " all-mask, all) means all of a kind.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="What is explained; default: top, what the model says. A class by its label or index"
        " (tabby, 281; class:binary for a label that reads like a word of this list), top:1 for the"
        " second choice, binary or binary:no for a network with one yes-or-no output, axis:0 for a"
        " measured output, contrast:tabby,lynx for one rather than the other,"
        " box:x0,y0,x1,y1:LABEL for a detection, similarity:PICTURE, token:5,7, text:WORDS (needs a"
        " text tower). A - before it asks for the evidence against: -tabby.",
        show_default=False,
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
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A parameter of a method: masks=500, or rise.masks=500.",
        show_default=False,
    ),
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
    str,
    typer.Option(
        "--metrics",
        "--metric",
        help="How to judge each map: names separated by commas, or none.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder for the results. Default: sightline-VERB, or sightline-VERB-2 and so on where"
        " that holds earlier results.",
        file_okay=False,
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the earlier results in --out.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[
    str,
    typer.Option("--precision", help="exact, or fast (the approximations that the docs quantify)."),
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
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most so many pictures.", show_default=False)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the results as JSON to stdout, and nothing else.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")]
