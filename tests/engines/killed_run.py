"""Kills a run again and again, lets it finish, and compares it with one that was left alone.

Called as a script by `test_resume.py`: FOLDER KILLS WORKERS. Each run is a fork, so that nothing is
imported twice. Prints what it found as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import sightline as sl
from sightline import registry
from sightline.engines.table import Table
from sightline.worlds import aviary

METRICS = (("deletion", {"steps": 4}), ("insertion", {"steps": 4}))
FILES = ("table.parquet", "table.json", "run.toml")


def evaluate(model: sl.Model, out: Path, workers: int) -> None:
    """One run of two methods and two metrics on three birds."""
    metrics = [sl.create("metric", name, **fields) for name, fields in METRICS]
    sl.evaluate(
        model, aviary.bundle(3), ["grad-cam", "gradient"], metrics, out, batch=8, workers=workers
    )


def start(model: sl.Model, out: Path, workers: int) -> int:
    """The process that runs it."""
    child = os.fork()
    if child == 0:
        evaluate(model, out, workers)
        os._exit(0)
    return child


def lines(out: Path) -> list[bytes]:
    """The whole lines of the ledger."""
    path = out / "cells.jsonl"
    text = path.read_bytes() if path.is_file() else b""
    return text.splitlines(keepends=True)[: text.count(b"\n")]


def main(folder: Path, kills: int, workers: int) -> None:
    torch.set_num_threads(1)
    model, dice = sl.load("sightline:default"), random.Random(0)
    for kind in ("explainer", "metric"):  # imported here, so that no fork has to
        sl.available(kind)
    registry.view(Table, "html")
    import pyarrow.parquet  # noqa: F401

    alone, killed = folder / "alone", folder / "killed"
    before = time.perf_counter()
    assert os.waitpid(start(model, alone, 1), 0)[1] == 0
    whole = time.perf_counter() - before
    lost, died, kept = 0, 0, lines(killed)
    for turn in range(kills):
        child = start(model, killed, workers)
        time.sleep(dice.uniform(0, whole * (0.25 if kills > 10 else 0.6)))
        os.kill(child, signal.SIGKILL)
        died += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        found = lines(killed)
        lost += found[: len(kept)] != kept
        kept = found
        if turn % 7 == 3:  # as if a line had been cut in the middle
            with (killed / "cells.jsonl").open("ab") as stream:
                stream.write(b'0badc0de {"cell": "torn')
    assert os.waitpid(start(model, killed, workers), 0)[1] == 0
    keys = [json.loads(line.partition(b" ")[2])["cell"] for line in lines(killed)]
    told = {
        "died": died,
        "lost": lost,
        "duplicated": len(keys) - len(set(keys)),
        "cells": len(set(keys)),
        "kept_before_the_last": len(kept),
        "unequal": [f for f in FILES if (alone / f).read_bytes() != (killed / f).read_bytes()],
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
