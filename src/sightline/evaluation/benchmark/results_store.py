"""Outcomes as files, so that contests held one after another share one page."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ... import registry
from ...errors import FileProblem, SightlineError
from ...files.writing import write_bytes
from ..comparison import Scores
from .run import BenchmarkResult, Cost

SCHEMA = 2
FILE = "outcome.json"

Facts = dict[str, Any]  # Any: whatever JSON holds


def save(out: Path, outcome: BenchmarkResult, facts: Facts) -> Path:
    """Writes an outcome into the folder of its contest, with what else is to be known of it."""
    told = {
        **outcome.__dict__,
        "schema": SCHEMA,
        "facts": facts,
        "scores": [_told(s) for s in outcome.scores],
        "sanity": [_told(s) for s in outcome.sanity],
        "costs": {name: asdict(cost) for name, cost in outcome.costs.items()},
    }
    told.pop("methods", None)  # found again from the columns
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, default=list)
    return write_bytes(out / outcome.key / FILE, text.encode())


def read_all(out: Path) -> list[tuple[BenchmarkResult, Facts]]:
    """All outcomes in a folder, those of known truth first. Raises: FileProblem for a file that
    this version did not write."""
    found = []
    for path in sorted(out.glob(f"*/{FILE}")):
        try:
            told = json.loads(path.read_text("utf-8"))
            if told.pop("schema") != SCHEMA:
                raise ValueError("another version wrote it")
            facts = told.pop("facts")
            told["scores"] = [_scores(s) for s in told["scores"]]
            told["sanity"] = [_scores(s) for s in told["sanity"]]
            told["costs"] = {name: Cost(**cost) for name, cost in told["costs"].items()}
            found.append((BenchmarkResult(**told), facts))
        except (OSError, ValueError, KeyError, TypeError, SightlineError) as error:
            raise FileProblem(
                f"{path} cannot be read as an outcome ({error}); remove it, and hold its contest"
                " again."
            ) from None
    return sorted(found, key=lambda pair: pair[0].track != "known")


def _told(scores: Scores) -> Facts:
    values = [[None if np.isnan(v) else float(v) for v in row] for row in scores.values]
    return {
        "label": scores.label,
        "metric": registry.to_json(scores.metric),
        "columns": list(scores.columns),
        "values": values,
    }


def _scores(told: Facts) -> Scores:
    rows: Sequence[Sequence[float | None]] = told["values"]
    return Scores(
        label=told["label"],
        metric=registry.from_json("metric", told["metric"]),
        columns=told["columns"],
        values=np.array([[np.nan if v is None else v for v in row] for row in rows]),
    )
