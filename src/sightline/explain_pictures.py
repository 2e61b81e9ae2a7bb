"""Pictures explained one by one: a `PicturePlan` of methods and metrics, and a `PictureResult` per
picture, which holds what a report shows of it.

Methods share one forward pass; one that fails becomes an entry with its reason.
"""

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from . import registry
from .errors import NotExplainable, NotMeasured, SightlineError
from .evaluation.measurement import Judged, Subject, judge, score
from .evaluation.record import Score
from .evaluation.stores.baselines import Found, levels
from .explainer import Explainer
from .explainers.contract.provenance import versions
from .explainers.contract.requirements import shared
from .explanation import Explanation, Heatmap
from .files.display import without_folders
from .metric import Case, Metric, Truth
from .model import Model
from .network.labels import class_name
from .ops.null_maps import NULLS
from .pages.record import Curve, MapEntry, Method, MetricEntry, PanelEntry, PictureEntry
from .pictures.reading import Picture
from .target import Target
from .targets.given import PerImage
from .targets.words import in_words, prediction, share_of
from .views.encode import page_picture
from .views.paint import visible_pixels

log = logging.getLogger("sightline")


@dataclass(frozen=True, kw_only=True, eq=False)
class PicturePlan:
    """What to do with each picture: which methods explain what, and which metrics judge them.

    refused: method name -> reason, for those that cannot treat the model; no picture is tried with
    them. step: called after each method of a picture.
    """

    model: Model
    explainers: Sequence[Explainer]
    metrics: Sequence[Metric] = ()
    target: Any = None
    refused: Mapping[str, str] = field(default_factory=dict)
    step: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureResult:
    """What was found in one picture: the record for the report, and the explanations by method
    name."""

    item: PictureEntry
    results: Mapping[str, Explanation] = field(default_factory=dict)

    @property
    def errors(self) -> list[str]:
        """What went wrong with this picture, one line each."""
        own = [f"{self.item.name}: {self.item.error}"] if self.item.error else []
        entries = (*self.item.maps, *self.item.panels)
        return own + [f"{self.item.name}, {e.method.name}: {e.error}" for e in entries if e.error]


def plan(model: Model, explainers: Sequence[Explainer], **rest: Any) -> PicturePlan:
    """A checked plan: a method that cannot treat the model is set aside with its reason.

    Raises: UnknownName for a layer that does not exist, NotExplainable where no method is left.
    """
    refused = {}
    for explainer in explainers:
        try:
            explainer.check(model, model.size)
        except NotExplainable as error:
            refused[explainer.registered_name] = without_folders(str(error))
    if refused and len(refused) == len(explainers):
        raise NotExplainable(" ".join(f"{name}: {why}" for name, why in refused.items()))
    return PicturePlan(model=model, explainers=explainers, refused=refused, **rest)


def explain_picture(
    plan: PicturePlan, picture: Picture, truth: Truth | None = None
) -> PictureResult:
    """Explain and judge one picture; a method that fails becomes an entry with its reason.

    Raises: BadTarget or UnknownName where the target does not fit the model.
    """
    model = plan.model
    tensors = model.prepare([picture])
    able = [e for e in plan.explainers if e.registered_name not in plan.refused]
    entries, results, nulls = [], {}, _Nulls()
    with shared(model, tensors, able):
        aimed = model.aim(tensors, plan.target)
        subject = Subject(model=model, images=tensors, target=aimed, truth=truth)
        item = _item(model, picture, tensors, aimed)
        for explainer in able:
            name = explainer.registered_name
            try:
                judged, error = _judged(plan, subject, explainer)
                results[name] = judged.case.explanation
                if error is not None:
                    raise error
                entries.append(_entry(judged, plan.metrics, nulls))
            except SightlineError as error:
                entries.append(_failed(explainer, without_folders(str(error))))
            plan.step(name)
    maps = tuple(e for e in entries if isinstance(e, MapEntry))
    panels = tuple(e for e in entries if isinstance(e, PanelEntry))
    return PictureResult(item=replace(item, maps=maps, panels=panels), results=results)


def _judged(
    plan: PicturePlan, subject: Subject, explainer: Explainer
) -> tuple[Judged, SightlineError | None]:
    """What a method gives for a picture and the numbers of the metrics that have what they need;
    and the first error of another kind that a metric raised."""
    errors: list[SightlineError] = []

    def failed(error: Exception) -> None:
        if not isinstance(error, SightlineError):
            raise error
        if isinstance(error, NotExplainable):
            log.debug("%s: %s", explainer.registered_name, error)
        else:
            errors.append(error)

    metrics = {str(k): metric for k, metric in enumerate(plan.metrics)}
    judged = judge(subject, explainer, metrics, failed)
    return judged, errors[0] if errors else None


def facts(model: Model) -> tuple[tuple[str, str], ...]:
    """(name, value) pairs that tell a reader of a report which model it is about."""
    told = {
        "model": model.display_name,
        "weights": model.digest,
        "preprocessing": without_folders(model.preprocess.describe())
        if model.preprocess
        else "none",
        "precision": model.precision,
        "device": str(model.device),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    return tuple(told.items())


def notes(model: Model) -> tuple[str, ...]:
    """What was found out about a model, in sentences."""
    return tuple(model.anatomy.notes) if model.differentiable else ()


def refusals(plan: PicturePlan) -> tuple[tuple[str, str], ...]:
    """(title of the method, reason) for each method that fits no picture."""
    return tuple(
        (described(e).title, without_folders(plan.refused[e.registered_name]))
        for e in plan.explainers
        if e.registered_name in plan.refused
    )


def described(explainer: Explainer) -> Method:
    """What a reader must know of the method, from its file."""
    known = registry.entry("explainer", explainer.registered_name)
    title, colon, _ = known.about.partition(":")
    return Method(
        name=known.name,
        title=title if colon and len(title) < 40 else known.name,
        question=known.question,
        doubt=known.caution,
        paper=known.paper,
        claims=known.claims,
    )


class _Nulls:
    """Scores of the baselines on one picture, measured once for all methods and kept over runs."""

    def __init__(self) -> None:
        self.known: dict[Metric, Found] = {}

    def of(self, metric: Metric, case: Case) -> Found:
        if metric not in self.known:
            self.known[metric] = levels(metric, case, partial(_baselines, metric, case))
        return self.known[metric]


def _baselines(metric: Metric, case: Case) -> Found:
    with warnings.catch_warnings(category=NotMeasured, action="ignore"):  # said of the map
        scores = {name: score(metric, metric.null(name, case, 0)) for name in NULLS}
    return {name: (_number(each.value), _curve(each)) for name, each in scores.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _curve(score: Score) -> list[float]:
    """The curve behind a number, [] for none."""
    return [_number(y) for y in score.curve or ()]


def _metric_entry(metric: Metric, score: Score, case: Case, nulls: _Nulls) -> MetricEntry | None:
    """One number beside its nulls; None where this picture lacks what the metric needs."""
    if score.nulls is not None:  # its baselines are the method's own
        blind: Found = {name: (_number(level), []) for name, level in score.nulls.items()}
    else:
        try:
            blind = nulls.of(metric, case)
        except NotExplainable as error:
            log.debug("%s: %s", metric.registered_name, error)
            return None
    curve = _curve(score)
    return MetricEntry(
        name=metric.registered_name,
        value=_number(score.value),
        direction=metric.direction,
        nulls={} if metric.blind_is_best else {n: level for n, (level, _) in blind.items()},
        curve=_drawn(curve, [y for _, y in blind.values()]) if curve else None,
        question=registry.entry("metric", metric.registered_name).question,
    )


def _drawn(y: list[float], blind: list[list[float]]) -> Curve:
    x = np.linspace(0, 1, len(y)).tolist()
    columns = list(zip(*blind, strict=True))
    low, high = [min(c) for c in columns], [max(c) for c in columns]
    return Curve(x=x, y=y, low=low, high=high)


def _entry(judged: Judged, metrics: Sequence[Metric], nulls: _Nulls) -> MapEntry | PanelEntry:
    case = judged.case
    found, facts = case.explanation, case.explanation.provenance
    assert case.explainer is not None
    scored = [(m, judged.scores.get(str(k))) for k, m in enumerate(metrics)]
    entries = [_metric_entry(m, score, case, nulls) for m, score in scored if score is not None]
    told: dict[str, Any] = {
        "method": described(case.explainer),
        "layer": facts["layer"] or "",
        "passes": (facts["evaluations"]["forward"], facts["evaluations"]["backward"]),
        "seconds": facts["seconds"],
        "metrics": tuple(entry for entry in entries if entry is not None),
        "provenance": facts,
    }
    if not isinstance(found, Heatmap):
        return PanelEntry(body=registry.view(type(found), "panel")(found, 0), **told)
    native = None if found.native is None else found.native[0].cpu().numpy()
    if remark := "".join(found.details.get("remark", ())):
        told["verdict"] = f"{remark[0].upper()}{remark[1:]}"
    return MapEntry(values=found.numpy()[0], native=native, **told)


def _failed(explainer: Explainer, error: str) -> MapEntry | PanelEntry:
    kind = MapEntry if issubclass(explainer.gives, Heatmap) else PanelEntry
    return kind(method=described(explainer), error=error)


def _item(model: Model, picture: Picture, tensors: Tensor, aimed: Target) -> PictureEntry:
    """What the model says of a picture, before any map."""
    aimed = aimed.targets[0] if isinstance(aimed, PerImage) else aimed
    predicted = prediction(model, tensors, aimed)
    ranked = predicted is not None and predicted.index is not None
    shares = model.probabilities(tensors)[0] if ranked else tensors.new_empty(0)
    order = shares.argsort(descending=True)[:5].tolist()
    frames = model.frames(tensors)
    picture = (model.pictures(tensors) or [picture])[0]  # with the range and bands as they are read
    shown, box = page_picture(picture, frames[0].box if frames else None)
    return PictureEntry(
        name=picture.name,
        picture=shown,
        shown=visible_pixels(tensors[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy(), picture.shown)
        if model.preprocess
        else None,
        box=box,
        notes=picture.notes,
        top=tuple((class_name(i, model.labels), float(shares[i])) for i in order),
        prediction=predicted,
        target=in_words(aimed, model.labels),
        probability=share_of(model, tensors, aimed),
    )
