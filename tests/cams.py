"""Every registered class activation map."""

from sightline.registry import group

CAMS = group("explainer", "all-cam")
