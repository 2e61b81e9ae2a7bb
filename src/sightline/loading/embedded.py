"""The embedded networks as they were trained, and their training logs."""

import json
from typing import Any

from safetensors.torch import load_file
from torch import nn

from ..artifact import WEIGHTS
from ..nets.default import build, check_name


def details(name: str) -> dict[str, Any]:
    """The training log: labels, size, mean, std, accuracy, seeds, one entry per epoch."""
    check_name(name)
    return json.loads((WEIGHTS / f"{name}.json").read_text())


def load(name: str) -> nn.Module:
    """The named network as it was trained, in evaluation mode.

    It takes images normalised by the mean and std of `details(name)`.
    """
    module = build(name, len(details(name)["labels"]))
    module.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return module.eval()
