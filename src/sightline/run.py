"""Methods on pictures: `explain` for one call, `look` for one picture with numbers beside each map,
`evaluate` for a whole collection.

Here names become methods, methods share one forward pass, and what was found becomes a report.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from . import registry, zoo
from .engines import evaluation
from .engines.collection import collection
from .engines.table import Table
from .errors import BadField, NotExplainable, SightlineError, SightlineWarning
from .explainer import BATCH, Explainer, reading, versions
from .explanation import Explanation, Heatmap
from .images import Picture
from .metric import Case, Metric, Truth
from .model import Model
from .ops.references import NULLS, reference
from .report import Curve, Item, MapEntry, Method, MetricEntry, Report
from .target import Target, to_target
from .views.packed import page_picture

log = logging.getLogger("sightline")

Named = Explainer | str | None


@overload
def explain(model: Any, images: Any, method: Named = None, target: Any = None) -> Explanation: ...
@overload
def explain(
    model: Any, images: Any, method: Sequence[Explainer | str], target: Any = None
) -> list[Explanation]: ...
def explain(model: Any, images: Any, method: Any = None, target: Any = None) -> Any:
    """Where does the model look when it says `target`?

    model: a Model, a torch.nn.Module or a name for `load`. images: what `model.prepare` takes or
    returned. method: a name, an Explainer, or a list of them, which gives a list of Explanations in
    that order that share one forward pass; None is `grad-cam`, or `rise` where the model has no
    gradients. `all-cam` (or another room, or `all`) is a list of all its methods; those that cannot
    treat the model are left out with a warning. target: None is the top class.

    Raises: NotExplainable, before any work, where one of the methods named cannot treat the model;
    UnknownName, BadImage, BadTarget, ShapeError.

    >>> import torch, sightline as sl
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    >>> sl.explain(net, torch.ones(1, 3, 8, 8), method="gradient", target=1).values.shape
    torch.Size([1, 8, 8])
    """
    model = zoo.load(model) if isinstance(model, str) else Model.of(model)
    explainers = chosen(model, method)
    tensors = model.prepare(images)
    if isinstance(method, str) and registry.group("explainer", method):
        if found := _willing(model, tensors, explainers, target):
            return found
        raise NotExplainable(f"none of {method} can explain {model.name}; the warnings say why.")
    for explainer in explainers:
        explainer.check(model, (tensors.shape[2], tensors.shape[3]), tensors.shape[1])
    found = _together(model, tensors, explainers, target)
    return found if isinstance(method, (list, tuple)) else found[0]


def _willing(
    model: Model, tensors: Tensor, explainers: Sequence[Explainer], target: Any
) -> list[Explanation]:
    """What those methods of a group say that can treat the model; a warning for each other."""
    found, kept = [], []
    for explainer in explainers:
        try:
            explainer.check(model, (tensors.shape[2], tensors.shape[3]), tensors.shape[1])
            kept.append(explainer)
        except NotExplainable as reason:
            _leave_out(explainer, reason)
    with _shared(model, tensors, kept) if len(tensors) <= BATCH else nullcontext():
        for explainer in kept:
            try:
                found.append(explainer(model, tensors, target))
            except NotExplainable as reason:
                _leave_out(explainer, reason)
    return found


def _leave_out(explainer: Explainer, reason: NotExplainable) -> None:
    warnings.warn(
        f"{explainer.registered_name} is left out: {reason}", SightlineWarning, stacklevel=4
    )


def evaluate(
    model: Any,
    data: Any,
    methods: Any = None,
    metrics: Sequence[Metric | str] = ("deletion", "insertion"),
    out: str | os.PathLike[str] = "sightline-evaluate",
    *,
    target: Any = None,
    limit: int | None = None,
    batch: int | None = None,
    engine: str = "local",
    workers: int | None = None,
    progress: evaluation.Progress | None = None,
) -> Table:
    """Which method can be trusted on a whole collection?

    data: a folder (class folders optional), a CSV (`path,label[,box]`), a glob, or a sequence of
    pictures, (picture, label) pairs or birds. target: None is a picture's label, or the top class.
    progress: told (finished, all) cells. What is finished stays in `out`: the same call goes on.

    Raises: BadField, UnknownName, BadImage before any work; FileProblem when the disk is full.
    """
    model = zoo.load(model) if isinstance(model, str) else Model.of(model)
    using, pictures = evaluation.engine(engine, workers), collection(data, model, limit)
    setup = evaluation.prepared(
        model, chosen(model, methods), metrics, pictures, Path(out), target=target, batch=batch
    )
    return evaluation.evaluate(setup, pictures, Path(out), using, progress)


def chosen(model: Model, method: Any = None) -> list[Explainer]:  # Any: checked here
    """The explainers that `method` means; names take their approximations in `fast` precision."""
    if method is None:
        method = "grad-cam" if model.differentiable else "rise"
        why = "" if model.differentiable else f" ({model.name} has no gradients)"
        log.info("no method was named: using %s%s", method, why)
    given = list(method) if isinstance(method, (list, tuple)) else [method]
    groups = [registry.group("explainer", w) if isinstance(w, str) else [] for w in given]
    wanted = [each for w, names in zip(given, groups, strict=True) for each in names or [w]]
    if not wanted:
        raise BadField(
            "an empty list of methods; name at least one, or give None for the usual one."
        )
    return [_one(model, w) for w in wanted]


def _one(model: Model, wanted: Any) -> Explainer:
    if isinstance(wanted, Explainer):
        return wanted
    if not isinstance(wanted, str):
        raise BadField(f"a method is a name or an Explainer; got {type(wanted).__name__}.")
    made = registry.create("explainer", wanted)
    return made.fast() if model.precision == "fast" else made


def _together(
    model: Model, tensors: Tensor, explainers: Sequence[Explainer], target: Any
) -> list[Explanation]:
    if len(explainers) == 1:
        return [explainers[0](model, tensors, target)]
    if len(tensors) <= BATCH:
        with _shared(model, tensors, explainers):
            return [explainer(model, tensors, target) for explainer in explainers]
    aimed = to_target(target).bind(model, tensors)
    rows = [slice(i, i + BATCH) for i in range(0, len(tensors), BATCH)]
    parts = [_together(model.take(r), tensors[r], explainers, aimed.take(r)) for r in rows]
    return [_joined(model, tensors, column) for column in zip(*parts, strict=True)]


def _joined(model: Model, tensors: Tensor, parts: Sequence[Explanation]) -> Explanation:
    whole = type(parts[0]).join(parts)  # type: ignore[attr-defined]
    spent = {k: sum(p.provenance["evaluations"][k] for p in parts) for k in ("forward", "backward")}
    told = {k: round(sum(p.provenance[k] for p in parts), 4) for k in ("copies", "seconds")}
    return replace(
        whole,
        provenance={**whole.provenance, "evaluations": spent, **told},
        images=tensors,
        pictures=model.pictures(tensors),
        frames=model.frames(tensors),
    )


def _shared(
    model: Model, tensors: Tensor, explainers: Sequence[Explainer]
) -> Any:  # a context manager
    """One clean pass for all; its graph starts at the image if a method differentiates that far."""
    read, gradients = reading(model, explainers)
    return model.shared(tensors, read, gradients=gradients)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What to do with each picture: which methods explain what, and which metrics judge them.

    refused: method name -> reason, for those that cannot treat the model. step: called after each.
    """

    model: Model
    explainers: Sequence[Explainer]
    metrics: Sequence[Metric] = ()
    target: Any = None
    refused: Mapping[str, str] = field(default_factory=dict)
    step: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What was found in one picture: the record for the report, and the heatmaps by method name."""

    item: Item
    heats: Mapping[str, Heatmap] = field(default_factory=dict)

    @property
    def errors(self) -> list[str]:
        """What went wrong with this picture, one line each."""
        own = [f"{self.item.name}: {self.item.error}"] if self.item.error else []
        return own + [
            f"{self.item.name}, {m.method.name}: {m.error}" for m in self.item.maps if m.error
        ]


def plan(model: Model, explainers: Sequence[Explainer], **rest: Any) -> Plan:
    """A checked plan: a method that cannot treat the model is set aside with its reason.

    Raises: UnknownName for a layer that does not exist.
    """
    refused = {}
    for explainer in explainers:
        try:
            explainer.check(model)
        except NotExplainable as error:
            refused[explainer.registered_name] = str(error)
    return Plan(model=model, explainers=explainers, refused=refused, **rest)


def look(plan: Plan, picture: Picture, truth: Truth | None = None) -> Look:
    """Explain and judge one picture; a method that fails becomes an entry with its reason.

    Raises: BadTarget or UnknownName where the target does not fit the model.
    """
    model = plan.model
    tensors = model.prepare([picture])
    able = [e for e in plan.explainers if e.registered_name not in plan.refused]
    entries, heats, nulls = [], {}, _Nulls()
    with _shared(model, tensors, able):
        aimed = model.aim(tensors, plan.target)
        item = _item(model, picture, tensors, aimed)
        for explainer in plan.explainers:
            name = explainer.registered_name
            try:
                if name in plan.refused:
                    raise NotExplainable(plan.refused[name])
                heats[name] = explainer(model, tensors, aimed)
                case = Case(model, tensors, aimed, heats[name], explainer, truth)
                entries.append(_entry(case, [_judgement(m, case, nulls) for m in plan.metrics]))
            except SightlineError as error:
                entries.append(MapEntry(method=described(explainer), error=str(error)))
            plan.step(name)
    return Look(item=replace(item, maps=tuple(entries)), heats=heats)


def page(
    title: str,
    plan: Plan,
    items: Sequence[Item],
    *,
    notes: Sequence[str] = (),
    next_steps: Sequence[str] = (),
) -> Report:
    """The report of what a plan found."""
    model = plan.model
    facts = {
        "model": model.name,
        "weights": model.digest,
        "preprocessing": model.preprocess.describe() if model.preprocess else "none",
        "precision": model.precision,
        "device": str(model.device),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    known = model.anatomy.notes if model.differentiable else ()
    return Report(
        title=title,
        items=tuple(items),
        facts=tuple(facts.items()),
        notes=(*notes, *known),
        next_steps=tuple(next_steps),
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def described(explainer: Explainer) -> Method:
    """What a reader must know of the method, from its file."""
    known = registry.entry("explainer", explainer.registered_name)
    about = sys.modules[known.cls.__module__].__doc__ or ""
    title, colon, _ = about.partition(":")
    return Method(
        name=known.name,
        title=title if colon and len(title) < 40 else known.name,
        question=known.question,
        doubt=known.caution,
        paper=known.paper,
        claims=known.claims,
    )


class _Nulls:
    """What maps that know nothing get on one picture, measured once for all methods."""

    def __init__(self) -> None:
        self.known: dict[Metric, dict[str, tuple[float, list[float]]]] = {}

    def of(self, metric: Metric, case: Case) -> dict[str, tuple[float, list[float]]]:
        if metric not in self.known:
            blind = {name: case.with_heat(reference(name, case.images)) for name in NULLS}
            self.known[metric] = {name: _measured(metric, other) for name, other in blind.items()}
        return self.known[metric]


def _measured(metric: Metric, case: Case) -> tuple[float, list[float]]:
    """The number of one picture and the curve behind it, from one measurement; [] for no curve."""
    with torch.no_grad():
        curve = metric.curves(case)
    if curve is None:
        return float(metric(case)[0]), []
    y = curve[0].double().cpu()
    return float(torch.trapezoid(y) / (len(y) - 1)), y.tolist()


def _judgement(metric: Metric, case: Case, nulls: _Nulls) -> MetricEntry | None:
    """One number beside its nulls; None where this picture lacks what the metric needs."""
    try:
        value, curve = _measured(metric, case)
        blind = nulls.of(metric, case)
    except NotExplainable as error:
        log.debug("%s: %s", metric.registered_name, error)
        return None
    return MetricEntry(
        name=metric.registered_name,
        value=value,
        direction=metric.direction,
        nulls={name: level for name, (level, _) in blind.items()},
        curve=_drawn(curve, [y for _, y in blind.values()]) if curve else None,
        question=registry.entry("metric", metric.registered_name).question,
    )


def _drawn(y: list[float], blind: list[list[float]]) -> Curve:
    x = np.linspace(0, 1, len(y)).tolist()
    columns = list(zip(*blind, strict=True))
    low, high = [min(c) for c in columns], [max(c) for c in columns]
    return Curve(x=x, y=y, low=low, high=high)


def _entry(case: Case, judged: Sequence[MetricEntry | None]) -> MapEntry:
    heat, facts = case.explanation, case.explanation.provenance
    assert isinstance(heat, Heatmap) and case.explainer is not None
    return MapEntry(
        method=described(case.explainer),
        values=heat.numpy()[0],
        native=None if heat.native is None else heat.native[0].cpu().numpy(),
        layer=facts["layer"] or "",
        passes=(facts["evaluations"]["forward"], facts["evaluations"]["backward"]),
        seconds=facts["seconds"],
        metrics=tuple(entry for entry in judged if entry is not None),
        provenance=facts,
    )


def _item(model: Model, picture: Picture, tensors: Tensor, aimed: Target) -> Item:
    """What the model says of a picture, before any map."""
    shares = _shares(model, tensors)
    order = [] if shares is None else shares.argsort(descending=True)[:5].tolist()
    index = aimed.indices(1)[0]
    frames = model.frames(tensors)
    shown, box = page_picture(picture, frames[0].box if frames else None)
    return Item(
        name=picture.name,
        picture=shown,
        shown=(tensors[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        if model.preprocess
        else None,
        box=box,
        top=tuple((model.label(i), float(shares[i])) for i in order) if shares is not None else (),
        target=repr(aimed) if index is None else model.label(index),
        probability=None if shares is None or index is None else float(shares[index]),
    )


def _shares(model: Model, tensors: Tensor) -> Tensor | None:
    """The probability of each class, or None where the output is no row of scores."""
    output = model.trace(tensors).output
    if not isinstance(output, Tensor) or output.ndim != 2:
        return None
    logits = output[0].detach().float()
    return logits.sigmoid() if model.multilabel or len(logits) == 1 else logits.softmax(0)
