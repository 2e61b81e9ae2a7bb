"""Methods on pictures: `explain` for one call, `evaluate` for a whole collection.

Here names become methods, and methods share one forward pass.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from . import registry, zoo
from .data.classes import match
from .data.opening import open_samples
from .errors import BadField, NotExplainable, SightlineWarning
from .evaluation import run as evaluation
from .evaluation import run_file
from .evaluation.table import Table
from .explainer import Explainer
from .explainers.contract.batches import Attempt
from .explainers.contract.refusals import in_words
from .explainers.contract.requirements import shared
from .explainers.layer_choice import at_layer
from .explanation import Explanation
from .files.writing import local_folder
from .metric import Metric
from .model import BATCH, Model
from .network.devices import usable_device
from .ops.batches import fit_side
from .targets.given import to_target

log = logging.getLogger("sightline")

Named = Explainer | str | None
Device = str | torch.device | None


@overload
def explain(
    model: Any,
    images: Any,
    method: Named = None,
    target: Any = None,
    *,
    layer: str | None = None,
    device: Device = None,
) -> Explanation: ...
@overload
def explain(
    model: Any,
    images: Any,
    method: Sequence[Explainer | str],
    target: Any = None,
    *,
    layer: str | None = None,
    device: Device = None,
) -> list[Explanation]: ...
def explain(
    model: Any,
    images: Any,
    method: Any = None,
    target: Any = None,
    *,
    layer: str | None = None,
    device: Device = None,
) -> Any:
    """Where does the model look when it says `target`?

    model: a Model, a torch.nn.Module or a name for `load`. images: what `model.prepare` takes or
    returned. method: a name, an Explainer, or a list of them, which gives a list of Explanations in
    that order that share one forward pass; None is `grad-cam`, or `rise` where the model has no
    gradients. `all-cam` (or another room, or `all`) is a list of all its methods; those that cannot
    treat the model are left out with a warning. target: None is the top class. layer: one of
    `model.layers`, for those of the methods that read one. device: where the network runs meanwhile
    (`auto`, `cpu`, `cuda`, `mps`); it comes back to where it was.

    A picture that a method can say nothing about (a black photograph) does not cost the others
    their result: its place is empty (a map of NaN), `refused` in the provenance says why, and a
    warning names it. In a list of methods, one that refuses every picture has such an empty
    explanation in its place.

    Raises: NotExplainable, before any work, where one of the methods named cannot treat the model,
    and where no picture has a result from any of them; UnknownName, BadImage, BadTarget,
    ShapeError; BadField for a device that is not there, and for a layer where no method reads one.

    >>> import torch, sightline as sl
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    >>> sl.explain(net, torch.ones(1, 3, 8, 8), method="gradient", target=1).values.shape
    torch.Size([1, 8, 8])
    """
    model = zoo.load(model) if isinstance(model, str) else Model.of(model)
    with placed(model, device):
        return _explained(model, images, method, target, layer)


def _explained(model: Model, images: Any, method: Any, target: Any, layer: str | None) -> Any:
    explainers = chosen(model, method)
    if layer is not None:
        explainers = at_layer(explainers, layer)
    tensors = model.prepare(images)
    if isinstance(method, str) and registry.group("explainer", method):
        if found := _willing(model, tensors, explainers, target):
            return found
        raise NotExplainable(f"none of {method} can explain {model.name}; the warnings say why.")
    for explainer in explainers:
        explainer.check(model, (tensors.shape[2], tensors.shape[3]), tensors.shape[1])
    attempts = _together(model, tensors, explainers, target)
    errors = [error for _, error in attempts]
    if errors[0] is not None and None not in errors:
        raise errors[0]
    found = [explanation for explanation, _ in attempts]
    for told in filter(None, map(in_words, found)):
        _warn(told)
    return found if isinstance(method, (list, tuple)) else found[0]


@contextmanager
def placed(model: Model, device: Device) -> Iterator[None]:
    """The model on another device while it lasts; None leaves it where it is.

    Raises: BadField for a device that is not there, and where the network lies on several.
    """
    if device is None:
        yield
        return
    there, home = usable_device(device), model.device
    held = {each.device for each in chain(model.module.parameters(), model.module.buffers())}
    if len(held) > 1:
        names = ", ".join(sorted(map(str, held)))
        raise BadField(
            f"{model.display_name} lies on several devices ({names}), and device={str(there)!r}"
            " would move it to one. Leave `device` out, or move it with `model.to`."
        )
    try:
        model.to(there)
        yield
    finally:
        model.module.to(home)


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
    with shared(model, tensors, kept) if len(tensors) <= BATCH else nullcontext():
        for explainer in kept:
            try:
                found.append(explainer(model, tensors, target))
            except NotExplainable as reason:
                _leave_out(explainer, reason)
    return found


def _leave_out(explainer: Explainer, reason: NotExplainable) -> None:
    _warn(f"{_named(explainer)} is left out: {reason}")


def _named(explainer: Explainer) -> str:
    return explainer.registered_name or type(explainer).__name__


def _warn(text: str) -> None:
    warnings.warn(text, SightlineWarning, stacklevel=3)


def evaluate(
    model: Any = None,
    data: Any = None,
    methods: Any = None,
    metrics: Sequence[Metric | str] | Metric | str | None = None,
    out: str | os.PathLike[str] = "sightline-evaluate",
    *,
    run: str | os.PathLike[str] | None = None,
    target: Any = None,
    limit: int | None = None,
    batch: int | None = None,
    stability: bool | None = None,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    progress: evaluation.Progress | None = None,
    page: str | os.PathLike[str] | None = None,
    cell_timeout: float | None = None,
    cache: bool = True,
) -> Table:
    """Which method can be trusted on a whole collection?

    data: a folder (class folders optional), a CSV (`path,label[,box][,domain]`), a glob, an address
    (`s3://...`), `hf:NAME[:SPLIT]`, `webdataset:PATTERN` and what else `docs/data.md` lists; a
    picture, a sequence of pictures, (picture, label) pairs or birds, a torch Dataset of them, or
    `sl.Samples`. metrics: None is deletion and insertion. run: the `run.toml` of an
    earlier run, which says everything that is not given. target: None is a picture's label, or the
    top class. stability: measure some pictures with other fills and coarser maps too (the default).
    engine: `local`, `ray` on the cluster at `address`, or `none`, which writes the page of what is
    finished (into the folder `page`, where the run's own is read-only) and computes nothing.
    cell_timeout: seconds after which a picture's cell is given up, with that as its reason; a rerun
    tries it again. None is half an hour in worker processes. cache: numbers of baselines (maps that
    ignore the network) come from earlier runs, which keep them in `SIGHTLINE_CACHE`. progress: told
    (finished, all) cells. What is finished stays in `out`: the same call goes on.

    Raises: BadField, UnknownName, BadImage, BadModel before any work; FileProblem when the disk is
    full.
    """
    into = None if page is None else local_folder(page)
    folder = local_folder(out)
    using = evaluation.engine(engine, workers, address, into, cell_timeout)
    for name, number in (("limit", limit), ("batch", batch)):
        if number is not None and number < 1:
            raise BadField(f"{name} is at least 1; got {number}.")
    said = None if run is None else run_file.read(Path(run))
    if said is not None:
        limit = said.limit if data is None and limit is None else limit
        model = said.model() if model is None else model
        data = said.data() if data is None else data
        methods = said.methods() if methods is None else methods
        metrics = said.metrics() if metrics is None else metrics
        target = said.target() if target is None else target
        batch = batch or said.batch
        stability = said.stability if stability is None else stability
    if model is None or data is None:
        raise BadField("evaluate needs a model and data, or the run.toml of a run as run=.")
    model = zoo.load(model) if isinstance(model, str) else Model.of(model)
    if said is not None:
        said.check(model)
    if metrics is None or isinstance(metrics, (str, Metric)):
        metrics = ("deletion", "insertion") if metrics is None else (metrics,)
    range = getattr(model.preprocess, "range", None)
    pictures = match(open_samples(data, limit, range=range), model)
    plan = evaluation.prepared(
        model,
        chosen(model, methods),
        metrics,
        pictures,
        folder,
        target=target,
        batch=batch,
        stability=stability is not False,
    )
    return evaluation.evaluate(plan, pictures, folder, using, progress, cache)


def chosen(model: Model, method: Any = None) -> list[Explainer]:  # Any: checked here
    """The explainers that `method` means; names take their approximations in `fast` precision."""
    if method is None:
        method = "grad-cam" if model.differentiable else "rise"
        why = "" if model.differentiable else f" ({model.name} has no gradients)"
        log.info("no method was named: using %s%s", method, why)
    given = list(method) if isinstance(method, (list, tuple)) else [method]
    wanted = registry.without_groups("explainer", given)
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
) -> list[Attempt]:
    if len(explainers) == 1:
        return [explainers[0].attempt(model, tensors, target)]
    if len(tensors) <= BATCH:
        with shared(model, tensors, explainers):
            return [explainer.attempt(model, tensors, target) for explainer in explainers]
    fit_side(model.side, len(tensors))
    aimed = to_target(target).bind(model, tensors)
    rows = [slice(i, i + BATCH) for i in range(0, len(tensors), BATCH)]
    slices = [model.origins.follow(tensors[r], tensors, r) for r in rows]
    parts = [
        _together(model.take(r), part, explainers, aimed.take(r))
        for r, part in zip(rows, slices, strict=True)
    ]
    return [_joined(model, tensors, column) for column in zip(*parts, strict=True)]


def _joined(model: Model, tensors: Tensor, attempts: Sequence[Attempt]) -> Attempt:
    parts = [part for part, _ in attempts]
    errors = [error for _, error in attempts]
    living = next((part for part in parts if not part.lost), parts[0])
    whole = type(living).join(parts)
    spent = {k: sum(p.provenance["evaluations"][k] for p in parts) for k in ("forward", "backward")}
    told = {k: round(sum(p.provenance[k] for p in parts), 4) for k in ("copies", "seconds")}
    whole = replace(
        whole,
        provenance={**whole.provenance, "evaluations": spent, **told},
        images=tensors,
        pictures=model.pictures(tensors),
        frames=model.frames(tensors),
    )
    return whole, None if None in errors else errors[0]
