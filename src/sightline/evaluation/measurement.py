"""One picture, one way to make a map: the map is made and every metric reads it.

`judge` does it for a cell of a table and for a picture of `explain_pictures` alike. A cell stands
alone: nothing that another method or picture left behind is read, so its numbers do not depend on
what else the run computes, in which order, or in which process.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
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
from ..explainer import Explainer
from ..explainers.contract.requirements import reading
from ..explanation import Explanation, Heatmap
from ..files.display import without_folders
from ..jobs.work import Part, Task, TaskLoaded, WorkResult
from ..metric import Case, Metric, Truth
from ..model import Model
from ..ops.null_maps import reference
from ..pictures.encoded import Encoded
from ..pictures.reading import Picture
from ..sample import Sample
from ..shapes import Heat, Images
from ..target import Class, Target, Top
from ..targets.words import in_words, prediction
from .plan import IMAGE_ITSELF, Column, EvaluationPlan
from .record import Measurement, Score, finite
from .small_map import packed

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class Cell(Part):
    """A cell to compute: the number of its column, and the numbers of the metrics that it lacks."""

    column: int
    judges: tuple[int, ...]

    @property
    def key(self) -> str:
        """The key of its record."""
        return self.keys[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureTask(Task):
    """A picture with the cells that are to be computed of it. digest: of the picture, where it is
    known."""

    sample: Sample
    parts: tuple[Cell, ...]
    digest: str = ""

    @property
    def name(self) -> str:
        """The picture's."""
        return self.sample.name

    def files(self) -> dict[Path, str]:
        """The picture's, where it is one."""
        source = self.sample.source
        return {source: self.digest} if isinstance(source, Path) and self.digest else {}

    def with_bytes(self) -> "PictureTask":
        """The task with the bytes of its picture's file, where they can be read here."""
        if not isinstance(self.sample.source, Path):
            return self
        try:
            data = self.sample.source.read_bytes()
        except OSError:
            return self  # reading it there says what is wrong
        source = Encoded(data=data, name=str(self.sample.source))
        return replace(self, sample=replace(self.sample, source=source))


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A picture in the model's frame, what is asked of it, and what is known of it. images: one."""

    model: Model
    images: Tensor
    target: Target
    truth: Truth | None = None
    strange: bool = False  # whether truth is left out, as that of a label that is not explained


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """An explanation of a picture and what metrics say of it, by their names. seconds: that it
    took to explain."""

    case: Case
    scores: Mapping[str, Score]
    seconds: float


NullMap = Callable[[Tensor], Tensor]
"""What makes a null map (batch, row, col) from pictures."""


def judge(
    subject: Subject,
    way: Explainer | NullMap,
    metrics: Mapping[str, Metric],
    failed: Callable[[Exception], Score | None],
) -> Judged:
    """Explains one picture and measures the explanation. failed: the score of a metric that raised
    this; None leaves it out, and what it raises ends the whole.

    Raises: what the explainer raises.
    """
    started = time.perf_counter()
    # The map first: its cost includes the clean pass, which the target then finds done.
    explained = _explained(subject, way)
    seconds = time.perf_counter() - started
    case = Case(
        model=subject.model,
        images=subject.images,
        target=subject.model.aim(subject.images, subject.target),
        explanation=explained,
        explainer=way if isinstance(way, Explainer) else None,
        truth=subject.truth,
        blind=None if isinstance(way, Explainer) else way,
    )
    scores: dict[str, Score] = {}
    for name, metric in metrics.items():
        try:
            scores[name] = score(metric, case)
        except Exception as error:
            if (found := failed(error)) is not None:
                scores[name] = found
    return Judged(case=case, scores=scores, seconds=seconds)


def _explained(subject: Subject, way: Explainer | NullMap) -> Explanation:
    model, images = subject.model, subject.images
    if isinstance(way, Explainer):
        return way(model, images, subject.target)
    return Heatmap(
        way(images),
        images=images,
        pictures=model.pictures(images),
        frames=model.frames(images),
    )


def compute(plan: EvaluationPlan, task: PictureTask) -> Iterator[WorkResult | TaskLoaded]:
    """The cells of a task, in order, once its picture was read; what fails becomes a record with
    its reason."""
    try:
        subject = _subject(plan, task.sample)
    except Exception as error:
        yield from (failed(cell.key, error) for cell in task.parts)
        return
    yield TaskLoaded()
    for cell in task.parts:
        try:
            yield _cell(plan, subject, cell)
        except Exception as error:
            yield failed(cell.key, error)


def failed(key: str, error: Exception | str) -> WorkResult:
    """The record of a cell that could not be computed."""
    sure = isinstance(error, SightlineError) and not isinstance(error, (MissingExtra, FileProblem))
    return WorkResult(record=Measurement(cell=key, error=_reason(error)).to_json(), sure=sure)


def _reason(error: Exception | str) -> str:
    ours = isinstance(error, (str, SightlineError))
    return without_folders(str(error) if ours else f"{type(error).__name__}: {error}")


def _subject(plan: EvaluationPlan, sample: Sample) -> Subject:
    model = plan.model
    picture = sample.load(model.preprocess)
    if sample.error:
        raise BadField(sample.error)
    # What is true of a label that is not explained would judge another class's map.
    strange = plan.target is None and sample.unknown
    truth = None if strange else sample.truth(model.preprocess, picture)
    images = model.prepare([picture] if isinstance(picture, Picture) else picture)
    own = Top() if sample.class_index is None else Class(sample.class_index)
    target = plan.target or own
    return Subject(model=model, images=images, target=target, truth=truth, strange=strange)


def _cell(plan: EvaluationPlan, subject: Subject, cell: Cell) -> WorkResult:
    model, images, column = subject.model, subject.images, plan.columns[cell.column]
    metrics = {plan.measure_keys[k]: plan.measures[k] for k in cell.judges}
    sure = True

    def failed(error: Exception) -> Score:
        nonlocal sure
        sure &= isinstance(error, SightlineError)
        # The row of a number that lacks the truth of a strange label explains that.
        strange = subject.strange and isinstance(error, NotExplainable)
        return Score(error=_reason(error), strange=strange)

    with _remarks() as notes, _alone(model, images, column.explainer):
        judged = judge(subject, column.explainer or _null_map(column, subject), metrics, failed)
        explained, predicted = _in_words(model, images, judged.case.target)
    found = judged.case.explanation
    spent = found.provenance.get("evaluations", {})
    record = Measurement(
        cell=cell.key,
        target=explained,
        prediction=predicted,
        notes=[str(note.message) for note in notes if _is_note(note)],
        passes=(spent.get("forward", 0), spent.get("backward", 0)),
        seconds=round(judged.seconds, 4),
        scores=judged.scores,
        map=packed(found.values[0]) if isinstance(found, Heatmap) and not column.blind else None,
    )
    return WorkResult(record=record.to_json(), sure=sure)


def _is_note(warning: warnings.WarningMessage) -> bool:
    """Whether a row says it; what a metric could not score says so itself."""
    ours = issubclass(warning.category, SightlineWarning)
    return ours and not issubclass(warning.category, NotMeasured)


def _in_words(model: Model, images: Tensor, aimed: Target) -> tuple[int | str, int | str]:
    """What is explained and what the model says: classes by their numbers, for labels may come
    later; what is no class in words. No prediction where the output is no row of scores."""
    index = aimed.indices(1)[0] if isinstance(aimed, Class) and not aimed.negated else None
    found = prediction(model, images, aimed)
    predicted = "" if found is None else found.label if found.index is None else found.index
    return in_words(aimed, model.labels) if index is None else index, predicted


def _remarks() -> Any:  # a context manager
    return warnings.catch_warnings(record=True, action="always")


def _alone(model: Model, images: Tensor, explainer: Explainer | None) -> Any:  # a context manager
    """One clean pass for the map and its metrics, shared with no other cell."""
    if explainer is None:
        return model.shared(images, (), gradients=False)
    explainer.check(model, (images.shape[2], images.shape[3]), images.shape[1])
    read, gradients = reading(model, (explainer,))
    return model.shared(images, read, gradients=gradients)


def _null_map(column: Column, subject: Subject) -> NullMap:
    """What makes the null map of a column."""
    if column.average is None:
        return partial(blind_map, column.label)
    frames = subject.model.frames(subject.images)
    values = column.average.map(subject.truth, frames[0] if frames else None)
    return lambda images: values.to(images).expand(len(images), -1, -1)


def blind_map(name: str, images: Images) -> Heat:
    """The null map of that name, (batch, row, col): those of `ops.references`, or the picture's own
    brightness."""
    if name != IMAGE_ITSELF:
        return reference(name, images)
    if images.shape[1] != len(_LUMA):
        return images.mean(1)
    return torch.einsum(
        "bcrk,c->brk", images, torch.tensor(_LUMA, dtype=torch.float32, device="cpu").to(images)
    )


def score(metric: Metric, case: Case) -> Score:
    """A metric's number of a case with one image, the curve that it was read from, and why it
    could not be scored."""
    with _remarks() as said:
        values, curves = metric.measure(case)
    why = [str(each.message) for each in said if issubclass(each.category, NotMeasured)]
    for each in said:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    value, error, nulls = finite(float(values[0])), "", None
    if value is None:
        name = metric.registered_name or type(metric).__name__
        plain = f"{name} could not score this picture."
        error = f"undefined: {' '.join(dict.fromkeys(why)) or plain}"
    if not metric.takes_maps:
        levels = metric.null_levels(case)
        nulls = {name: finite(float(level[0])) for name, level in levels.items()}
    curve = None if curves is None else list(map(finite, curves[0].double().tolist()))
    return Score(value=value, error=error, nulls=nulls, curve=curve)
