"""`sightline inspect`: what was measured about a network."""

from typing import Annotated, Any

import typer

from . import _options as options
from .console import json_to_stdout, to_stdout, verb_context


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="timm:resnet50, file:..., sightline:default, ...")
    ],
    pretrained: Annotated[
        bool,
        typer.Option("--pretrained/--random", help="--random needs no weights and no network."),
    ] = True,
    layers: Annotated[
        bool, typer.Option("--layers", help="List every layer with a spatial layout.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what a network is made of: the facts that the explainers use.

    Example: sightline inspect timm:vit_tiny_patch16_224 --random
    """
    with verb_context(quiet=quiet or json, debug=debug):
        from .. import zoo

        facts = _facts(zoo.load(model, pretrained=pretrained))
        if json:
            json_to_stdout(facts)
            return
        width = max(len(name) for name in facts)
        for name, value in facts.items():
            if name == "layouts":
                continue
            for i, line in enumerate(_lines(value)):
                to_stdout(f"{name if i == 0 else '':<{width}}  {line}")
        if layers:
            to_stdout("\nlayers with a spatial layout:")
            for name, layout in facts["layouts"].items():
                to_stdout(f"  {name:<40} {_layout(layout)}")


def _facts(model: Any) -> dict[str, Any]:  # Any: torch stays out of this file's imports; JSON out
    anatomy = model.anatomy.to_json()
    default = anatomy["layouts"].get(anatomy["spatial"]) if anatomy["spatial"] else None
    return {
        "model": model.display_name,
        "weights": model.digest,
        "parameters": sum(p.numel() for p in model.module.parameters()),
        "classes": anatomy["n_classes"],
        "outputs": model.gives,
        "how it is called": list(model.calling.conduct.notes),
        "labels": [*model.labels[:3], "..."] if model.labels else None,
        "preprocessing": model.preprocess.describe() if model.preprocess else None,
        "input size": anatomy["input_size"],
        "spatial layer": anatomy["spatial"],
        "layout": default,
        "why no layer was found": anatomy["reason"] or None,
        "earlier layers": anatomy["candidates"][:5],
        "head": anatomy["head"],
        "attention": anatomy["attention"],
        "fused attention": anatomy["fused_attention"],
        "modules that did not run": anatomy["silent"],
        **_exactness(model, anatomy),
        "notes": [*model.notes, *anatomy["notes"]],
        "layouts": anatomy["layouts"],
    }


def _exactness(model: Any, anatomy: dict[str, Any]) -> dict[str, Any]:
    """After which layer batched copies of one image are exact, and what runs in place of the
    network."""
    import torch

    from ..errors import NotExplainable
    from ..network.trace import first_exact_fan

    dice = torch.Generator().manual_seed(0)
    probe = torch.rand(
        1,
        anatomy["channels"],
        *anatomy["input_size"],
        generator=dice,
        dtype=torch.float32,
        device="cpu",
    )
    try:
        copies = None
        if anatomy["spatial"]:
            layers = (anatomy["spatial"], *model.anatomy.candidates)
            copies = first_exact_fan(lambda edit: model.trace(probe, edit=edit), layers)
    except NotExplainable:
        copies = None
    return {
        "batched copies are exact after": copies or "no layer; full forward passes are used",
        "execution copy": model.runner.engine.says(model.module, probe),
    }


def _lines(value: Any) -> list[str]:
    if value is None or value == []:
        return ["-"]
    if isinstance(value, dict):
        return [_layout(value)]
    if isinstance(value, list):
        if all(isinstance(v, int) for v in value):
            return [" x ".join(map(str, value))]
        more = [f"... {len(value) - 6} more"] if len(value) > 6 else []
        return [*map(str, value[:6]), *more]
    return [f"{value:,}" if isinstance(value, int) else str(value)]


def _layout(layout: dict[str, Any]) -> str:
    grid = " x ".join(map(str, layout["grid"])) if layout.get("grid") else "no grid"
    count = layout.get("prefix") or 0
    prefix = f", {count} prefix token{'s' * (count != 1)}" if count else ""
    return f"{layout['style']}, {grid}{prefix}"
