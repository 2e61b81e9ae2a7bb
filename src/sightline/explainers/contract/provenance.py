"""Where a result came from: the method, the model, the target and the versions that made it."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor

from ... import registry
from ...files.display import display_text, displayed
from ...model import Model
from ...shapes import Scores
from ...target import Target
from ...targets.given import PerImage
from .explainer_form import ExplainerForm
from .refusals import saturated
from .requirements import layers_of


@cache
def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {}
    for package in ("sightline", "torch", "torchvision", "timm", "numpy", "Pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def method_facts(method: ExplainerForm, model: Model) -> dict[str, Any]:
    """What a result of a method on a model says of both."""
    spec = (
        registry.to_json(method)
        if method.registered_name
        else {"name": type(method).__name__, "fields": {}}
    )
    layers = layers_of(method, model)
    return {
        "schema": 1,
        "method": spec["name"],
        "parameters": displayed(spec["fields"]),
        "layer": layers[0] if layers else None,
        "partial": not all(map(model.anatomy.carries, layers)) if layers else False,
        "model": model.display_name,
        "weights_digest": model.digest,
        "preprocessing": display_text(model.preprocess)
        if model.preprocess
        else "none (tensors as the network expects them)",
        "precision": model.precision,
        "gives": model.gives,
        "called": list(model.calling.conduct.notes),
        "seed": spec["fields"].get("seed"),
        "versions": versions(),
        "device": str(model.device),
    }


def target_facts(model: Model, target: Target, output: Any, score: Scores) -> dict[str, Any]:
    """What a result says of its targets: their classes, scores and probabilities, an entry for
    each picture. output: of the clean pass, scores or a detector's list."""
    n = len(score)
    indices = target.indices(n)
    probability: list[float | None] = [None] * n
    rows = isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] > 1
    if rows and model.gives != "features":
        shares = model.calling.probabilities(output.detach())
        probability = [
            None if i is None else shares[row, i].item() for row, i in enumerate(indices)
        ]
    kind = display_text(target) if not isinstance(target, PerImage) else "one target per image"
    return {
        "target": kind,
        "target_index": indices,
        "target_label": [None if i is None else model.label(i) for i in indices],
        "score": score.float().tolist(),
        "probability": probability,
        "saturated": saturated(target, score),
    }
