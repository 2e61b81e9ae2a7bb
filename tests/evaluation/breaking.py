"""Methods and metrics that go wrong, for tests: other processes import them from here."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import sightline as sl
from sightline.errors import NotExplainable
from sightline.explanation import Heatmap


@dataclass(frozen=True, kw_only=True)
class Refusing(sl.Explainer):
    """Does a method that refuses take the others down?"""

    def explain(self, model, images, target):
        raise NotExplainable("this one never works")


@dataclass(frozen=True, kw_only=True)
class Crashing(sl.Explainer):
    """Does a fault of ours take the others down?"""

    def explain(self, model, images, target):
        raise ZeroDivisionError("a fault")


@dataclass(frozen=True, kw_only=True)
class Dying(sl.Explainer):
    """What becomes of the run when a process dies at one picture?"""

    parent: int

    def explain(self, model, images, target):
        if os.getpid() != self.parent and images.sum() > 0 and target.indices(1) == [0]:
            os._exit(3)
        return Heatmap(images.mean(1))


@dataclass(frozen=True, kw_only=True)
class DyingOnce(sl.Explainer):
    """What becomes of the run when a worker is killed at one picture, once?"""

    folder: str

    def explain(self, model, images, target):
        mark = Path(self.folder) / "killed"
        if target.indices(1) == [0] and not mark.exists():
            mark.write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return Heatmap(images.mean(1))


@dataclass(frozen=True, kw_only=True)
class Sleeping(sl.Explainer):
    """What becomes of the run when a method does not come to an end at one picture?"""

    folder: str

    def explain(self, model, images, target):
        while target.indices(1) == [0] and not (Path(self.folder) / "awake").exists():
            time.sleep(0.2)
        return Heatmap(images.mean(1))


@dataclass(frozen=True, kw_only=True)
class Counting(sl.Metric):
    """How much brightness lies under the map, and how often was that asked?"""

    folder: str

    def score(self, case):
        with (Path(self.folder) / "asked").open("ab") as stream:
            stream.write(b".")
        return (case.heat * case.images.mean(1)).sum((1, 2))


@dataclass(frozen=True, kw_only=True)
class Undefined(sl.Metric):
    """What becomes of a number that is none?"""

    def score(self, case):
        return torch.full((len(case.images),), float("nan"))
