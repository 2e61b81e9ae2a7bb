"""Kills a run again and again, lets it finish, and compares it with one that was left alone.

Called as a script by `test_resume.py`: FOLDER WORKERS SHARE ... Each run is a fork, so that nothing
is imported twice. It is struck when its ledger holds that share of all cells (in percent), wherever
it is then; by the clock most strikes would hit the start. Prints what it found as JSON.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

import sightline as sl
from sightline import registry
from sightline.evaluate.table import Table
from sightline.worlds import aviary

METRICS = (("deletion", {"steps": 4}), ("insertion", {"steps": 4}))
FILES = ("table.parquet", "table.json", "run.toml")


def evaluate(model: sl.Model, out: Path, workers: int) -> None:
    """One run of two methods and two metrics on three birds."""
    metrics = [sl.create("metric", name, **fields) for name, fields in METRICS]
    methods, birds = ["grad-cam", "gradient"], aviary.bundle(3)
    sl.evaluate(model, birds, methods, metrics, out, batch=8, workers=workers, cache=False)


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


def strike(child: int, out: Path, count: int) -> bool:
    """Kills a run as soon as its ledger has so many lines; whether it was still running."""
    while len(lines(out)) < count:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path, workers: int, shares: list[int]) -> None:
    torch.set_num_threads(1)
    model = sl.load("sightline:default")
    for kind in ("explainer", "metric"):  # imported here, so that no fork has to
        sl.available(kind)
    registry.view(Table, "html")
    import pyarrow.parquet  # noqa: F401

    alone, killed = folder / "alone", folder / "killed"
    assert os.waitpid(start(model, alone, 1), 0)[1] == 0
    total = len(lines(alone))
    lost, died, kept, struck = 0, 0, lines(killed), []
    for turn, share in enumerate(shares):
        died += strike(start(model, killed, workers), killed, total * share // 100)
        found = lines(killed)
        lost += found[: len(kept)] != kept
        kept = found
        struck.append(len(kept))
        if turn % 2:  # as if a line had been cut in the middle
            with (killed / "cells.jsonl").open("ab") as stream:
                stream.write(b'0badc0de {"cell": "torn')
    assert os.waitpid(start(model, killed, workers), 0)[1] == 0
    keys = [json.loads(line.partition(b" ")[2])["cell"] for line in lines(killed)]
    told = {
        "died": died,
        "total": total,
        "struck": struck,
        "lost": lost,
        "duplicated": len(keys) - len(set(keys)),
        "cells": len(set(keys)),
        "unequal": [f for f in FILES if (alone / f).read_bytes() != (killed / f).read_bytes()],
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [int(share) for share in sys.argv[3:]])
