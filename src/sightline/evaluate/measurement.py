"""One picture, one way to make a map: the map is made and every metric reads it.

Each cell stands alone: nothing that another method or picture left behind is read, so its numbers
do not depend on what else the run computes, in which order, or in which process.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import (
    BadField,
    FileProblem,
    MissingExtra,
    NotExplainable,
    NotMeasured,
    SightlineError,
    SightlineWarning,
)
from ..explainer import Explainer, reading
from ..explanation import Explanation, Heatmap
from ..files.display import without_folders
from ..jobs.ledger import Record
from ..metric import Case, Metric, Truth
from ..model import Model
from ..ops.null_maps import reference
from ..pictures.reading import Picture
from ..sample import Sample
from ..target import Class, Target, Top
from ..targets.words import in_words, prediction
from .plan import IMAGE_ITSELF, Column, Setup
from .small_map import packed

_COUNTED = ("forward", "backward")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class Job:
    """A cell to compute: the number of its column, its key, and the numbers of the metrics that it
    lacks."""

    column: int
    key: str
    judges: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A picture with what is to be computed of it."""

    sample: Sample
    jobs: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A cell's record. sure: the same would come again, so it need not be tried a second time."""

    record: Record
    sure: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """A picture in the model's frame, what is asked of it, and what is known of it."""

    model: Model
    images: Tensor
    target: Target
    truth: Truth | None
    strange: bool = False  # whether truth is left out, as that of a label that is not explained


def compute(
    setup: Setup, task: Task, loaded: Callable[[], None] = lambda: None
) -> Iterator[Finished]:
    """The cells of a task, in order; what fails becomes a record with its reason. loaded: called
    when the picture was read."""
    try:
        scene = _scene(setup, task.sample)
    except Exception as error:
        yield from (failed(job.key, error) for job in task.jobs)
        return
    loaded()
    for job in task.jobs:
        try:
            yield _cell(setup, scene, job)
        except Exception as error:
            yield failed(job.key, error)


def failed(key: str, error: Exception | str) -> Finished:
    """The record of a cell that could not be computed."""
    sure = isinstance(error, SightlineError) and not isinstance(error, (MissingExtra, FileProblem))
    record = {"cell": key, "error": _reason(error), "metrics": {}}
    return Finished(record=record, sure=sure)


def _reason(error: Exception | str) -> str:
    ours = isinstance(error, (str, SightlineError))
    return without_folders(str(error) if ours else f"{type(error).__name__}: {error}")


def _scene(setup: Setup, sample: Sample) -> _Scene:
    model = setup.model
    picture = sample.load(model.preprocess)
    if sample.error:
        raise BadField(sample.error)
    # What is true of a label that is not explained would judge another class's map.
    strange = setup.target is None and sample.unknown
    truth = None if strange else sample.truth(model.preprocess, picture)
    images = model.prepare([picture] if isinstance(picture, Picture) else picture)
    own = Top() if sample.class_index is None else Class(sample.class_index)
    target = setup.target or own
    return _Scene(model=model, images=images, target=target, truth=truth, strange=strange)


def _cell(setup: Setup, scene: _Scene, job: Job) -> Finished:
    model, images, column = scene.model, scene.images, setup.columns[job.column]
    started = time.perf_counter()
    with _remarks() as notes, _alone(model, images, column.explainer):
        # The map first: its cost includes the clean pass, which the target then finds done.
        blind = _blind(column, scene) if column.blind else None
        found = _explanation(column, model, images, scene.target, blind)
        seconds = time.perf_counter() - started
        aimed = model.aim(images, scene.target)
        case = Case(model, images, aimed, found, column.explainer, scene.truth, blind)
        scores, sure = _judged(setup, case, job.judges, scene.strange)
        told = _told(model, images, aimed)
    record = {
        "cell": job.key,
        "error": "",
        **told,
        "notes": [str(n.message) for n in notes if issubclass(n.category, SightlineWarning)],
        "passes": [found.provenance.get("evaluations", {}).get(k, 0) for k in _COUNTED],
        "seconds": round(seconds, 4),
        "metrics": scores,
    }
    if isinstance(found, Heatmap) and not column.blind:
        record["map"] = packed(found.values[0])
    return Finished(record=record, sure=sure)


def _told(model: Model, images: Tensor, aimed: Target) -> Record:
    """What is explained and what the model says: classes by their numbers, for labels may come
    later; what is no class in words. No prediction where the output is no row of scores."""
    plain = isinstance(aimed, Class) and not aimed.negated
    said = prediction(model, images, aimed)
    return {
        "target": aimed.indices(1)[0] if plain else in_words(aimed, model.labels),
        "prediction": "" if said is None else said.label if said.index is None else said.index,
    }


def _remarks() -> Any:  # a context manager
    return warnings.catch_warnings(record=True, action="always")


def _alone(model: Model, images: Tensor, explainer: Explainer | None) -> Any:  # a context manager
    """One clean pass for the map and its metrics, shared with no other cell."""
    if explainer is None:
        return model.shared(images, (), gradients=False)
    explainer.check(model, (images.shape[2], images.shape[3]), images.shape[1])
    read, gradients = reading(model, (explainer,))
    return model.shared(images, read, gradients=gradients)


def _blind(column: Column, scene: _Scene) -> Callable[[Tensor], Tensor]:
    """What makes the null map of a column from pictures, (batch, row, col)."""
    if column.average is None:
        return partial(blind_map, column.label)
    frames = scene.model.frames(scene.images)
    values = column.average.map(scene.truth, frames[0] if frames else None)
    return lambda images: values.to(images).expand(len(images), -1, -1)


def _explanation(
    column: Column,
    model: Model,
    images: Tensor,
    target: Target,
    blind: Callable[[Tensor], Tensor] | None,
) -> Explanation:
    if column.explainer is not None:
        return column.explainer(model, images, target)
    assert blind is not None
    return Heatmap(
        blind(images),
        images=images,
        pictures=model.pictures(images),
        frames=model.frames(images),
    )


def blind_map(name: str, images: Tensor) -> Tensor:
    """The null map of that name, (batch, row, col): those of `ops.references`, or the picture's own
    brightness."""
    if name != IMAGE_ITSELF:
        return reference(name, images)
    if images.shape[1] != len(_LUMA):
        return images.mean(1)
    return torch.einsum(
        "bcrk,c->brk", images, torch.tensor(_LUMA, dtype=torch.float32, device="cpu").to(images)
    )


def _judged(
    setup: Setup, case: Case, wanted: Sequence[int], strange: bool
) -> tuple[dict[str, Any], bool]:
    """What each metric says, by its key; and whether all of it would come again. strange: whether
    truth was left out, which the row of a number that lacks it explains."""
    scores, sure = {}, True
    for k in wanted:
        try:
            scores[setup.measure_keys[k]] = score(setup.measures[k], case)
        except Exception as error:
            sure &= isinstance(error, SightlineError)
            found: dict[str, Any] = {"value": None, "error": _reason(error)}
            if strange and isinstance(error, NotExplainable):
                found["strange"] = True
            scores[setup.measure_keys[k]] = found
    return scores, sure


def score(metric: Metric, case: Case) -> dict[str, Any]:
    """A metric's number of a case with one image, the curve that it was read from, and why it
    could not be scored."""
    with _remarks() as said:
        values, curves = metric.measure(case)
    why = [str(each.message) for each in said if issubclass(each.category, NotMeasured)]
    for each in said:
        if not issubclass(each.category, NotMeasured):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    value = float(values[0])
    record: dict[str, Any] = {"value": value if math.isfinite(value) else None, "error": ""}
    if not math.isfinite(value):
        name = metric.registered_name or type(metric).__name__
        plain = f"{name} could not score this picture."
        record["error"] = f"undefined: {' '.join(dict.fromkeys(why)) or plain}"
    if not metric.takes_maps:
        levels = {name: float(level[0]) for name, level in metric.null_levels(case).items()}
        record["nulls"] = {n: v if math.isfinite(v) else None for n, v in levels.items()}
    if curves is not None:
        curve = curves[0].double().tolist()
        record["curve"] = [x if math.isfinite(x) else None for x in curve]
    return record
