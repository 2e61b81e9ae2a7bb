"""A setup as bytes, so that another process can compute its cells."""

import pickle
from typing import Any

from ...errors import NotExplainable
from ...model import Model
from ..plan import Setup

_KEPT = ("calling", "batch", "side")


def pack(setup: Setup) -> bytes:
    """The setup as bytes. Raises: NotExplainable where a part cannot leave this process, such as a
    model around a local function."""
    model = setup.model
    pieces: dict[str, Any] = {
        "make": {
            "module": model.module,
            "preprocess": model.preprocess,
            "labels": model.labels,
            "multilabel": model.multilabel,
            "size": model.size,
            "name": model.name,
            "precision": model.precision,
        },
        "then": {name: getattr(model, name) for name in _KEPT},
        "columns": setup.columns,
        "judges": setup.judges,
        "target": setup.target,
        "batch": setup.batch,
        "probes": setup.probes,
        "probed": setup.probed,
    }
    try:
        return pickle.dumps(pieces)
    except Exception as error:  # pickling runs code of every part, which raises what it likes
        raise NotExplainable(
            f"{model.name} or a method cannot be sent to another process ({error})."
        ) from None


def unpack(data: bytes) -> Setup:
    """The setup that `pack` wrote, with a model of its own."""
    pieces = pickle.loads(data)
    model = Model(**pieces["make"])
    model.__setstate__(pieces["then"])
    return Setup(
        model=model,
        columns=pieces["columns"],
        judges=pieces["judges"],
        target=pieces["target"],
        batch=pieces["batch"],
        probes=pieces["probes"],
        probed=pieces["probed"],
    )
