"""Every registered class activation map."""

from sightline import available
from sightline.registry import entry

CAMS = [
    name
    for name in available("explainer")
    if entry("explainer", name).cls.__module__.startswith("sightline.explainers.cam.")
]
