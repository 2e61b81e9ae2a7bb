"""Kills a run again and again, lets it finish, and compares it with one that was left alone.

Called as a module by `test_resume.py`: FOLDER WORKERS SHARE ... A run is struck when its ledger
holds that share of all cells (in percent), wherever it is then; by the clock most strikes would hit
the start. Prints what it found as JSON.
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch

import sightline as sl
from jobs.killing import ended_well, kill_often, lines, start
from sightline import registry
from sightline.evaluation.cell_records import CELLS
from sightline.evaluation.table import Table
from sightline.worlds import aviary

METRICS = (("deletion", {"steps": 4}), ("insertion", {"steps": 4}))
FILES = ("table.parquet", "table.json", "run.toml")


def evaluate(model: sl.Model, out: Path, workers: int) -> None:
    """One run of two methods and two metrics on three birds."""
    metrics = [sl.create("metric", name, **fields) for name, fields in METRICS]
    methods, birds = ["grad-cam", "gradient"], aviary.bundle(3)
    sl.evaluate(model, birds, methods, metrics, out, batch=8, workers=workers, cache=False)


def main(folder: Path, workers: int, shares: list[int]) -> None:
    torch.set_num_threads(1)
    model = sl.load("sightline:default")
    for kind in ("explainer", "metric"):  # imported here, so that no fork has to
        sl.available(kind)
    registry.view(Table, "html")
    import pyarrow.parquet  # noqa: F401

    alone, killed = folder / "alone", folder / "killed"
    ledger, run = killed / CELLS, partial(evaluate, model, killed, workers)
    assert ended_well(start(partial(evaluate, model, alone, 1)))
    total = len(lines(alone / CELLS))
    found = kill_often(run, ledger, [total * share // 100 for share in shares])
    assert ended_well(start(run))
    keys = [json.loads(line.partition(b" ")[2])["cell"] for line in lines(ledger)]
    told = {
        **found,
        "total": total,
        "duplicated": len(keys) - len(set(keys)),
        "cells": len(set(keys)),
        "unequal": [f for f in FILES if (alone / f).read_bytes() != (killed / f).read_bytes()],
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [int(share) for share in sys.argv[3:]])
