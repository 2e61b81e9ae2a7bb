"""sightline: what an image model looks at and why, and how far to believe it.

The root only names things; each is imported on first use, so that `sightline --help` never loads
torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Model": "model",
    "Preprocess": "pictures.preprocess",
    "Top": "target",
    "Class": "target",
    "Contrast": "target",
    "Binary": "target",
    "Axis": "target",
    "Similarity": "targets.structured",
    "Token": "targets.structured",
    "Box": "targets.structured",
    "Region": "targets.structured",
    "Unit": "targets.structured",
    "Target": "target",
    "Explanation": "explanation",
    "Heatmap": "explanation",
    "Chain": "explanations.chain",
    "Concepts": "explanations.concepts",
    "Regions": "explanations.regions",
    "Words": "explanations.words",
    "Explainer": "explainer",
    "Metric": "metric",
    "Case": "metric",
    "Sample": "sample",
    "Samples": "sample",
    "Truth": "sample",
    "Attack": "attack",
    "Recipe": "recipe",
    "Outside": "explainers.outside.function",
    "Fan": "network.trace",
    "Fill": "ops.fill",
    "load": "zoo",
    "explain": "run",
    "evaluate": "run",
    "figure": "views.overlay.sheet",
    "Style": "views.overlay.style",
    "quantus_form": "metrics._quantus",
    "available": "registry",
    "create": "registry",
    "register": "registry",
}

__all__ = ["__version__", "errors", *sorted(_WHERE)]


def __getattr__(name: str) -> Any:  # Any: whatever the name stands for
    if name == "errors":
        return import_module(".errors", __name__)
    if name not in _WHERE:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
