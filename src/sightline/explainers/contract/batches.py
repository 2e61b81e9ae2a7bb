"""One call of a method: in batches that the network takes, refused pictures apart, with its costs.

The chores that no method does itself: the target is fixed on the clean images, weights are frozen
and come back, graphs are cut, empty answers refused, and provenance attached.
"""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...errors import BadTarget, NotExplainable, SightlineError
from ...explanation import Explanation
from ...files.display import displayed
from ...model import BATCH, Model
from ...network.costs import recorded
from ...ops.batches import chunks
from ...shapes import Images
from ...target import Target
from .admission import admitted
from .explainer_form import ExplainerForm, name_of
from .provenance import method_facts, target_facts
from .refusals import Refusal, together, unknown_facts
from .requirements import reading

Attempt = tuple[Explanation, SightlineError | None]  # the error where no picture has a result


def explained(method: ExplainerForm, model: Model, images: Images, target: Target) -> Attempt:
    """The explanation of prepared images, pictures that the method refuses marked in it; and the
    error that says why, where it refuses all of them."""
    started, precision = time.perf_counter(), model.precision
    with recorded() as spent:
        model = admitted_model(method, model, images, target)
        pieces = _batches(method, model, images, target)
    result, error = together(pieces, method.gives, (images.shape[2], images.shape[3]))
    facts = {**method_facts(method, model), "precision": precision, "ran_in": model.precision}
    ran = result.provenance.get("parameters", {})  # what a method says of its own
    result = replace(
        result,
        provenance={
            **result.provenance,
            "refused": displayed(result.refused),
            **facts,
            "parameters": {k: ran.get(k, v) for k, v in facts["parameters"].items()},
            "copies": spent.pop("copies"),
            "evaluations": spent,
            "seconds": round(time.perf_counter() - started, 4),
            "count": len(images),  # pictures that the costs are of, also after `take`
        },
        images=images,
        pictures=model.pictures(images),
        frames=model.frames(images),
    )
    return result, error


def admitted_model(method: ExplainerForm, model: Model, images: Images, target: Target) -> Model:
    """The model as this method runs it: exact where bfloat16 moves its map of the first of these
    images too far."""
    first = target.take([0])

    def ask(other: Model, image: Tensor) -> Explanation:
        return _part(method, other.take([0]), image.to(other.device), first, unknown_facts(1))

    return admitted(model, (type(method), repr(method)), images[:1], ask)


def _batches(
    method: ExplainerForm, model: Model, images: Tensor, target: Target
) -> list[Explanation | Refusal]:
    """What the method says of images, however many, in order."""
    step = model.runner.meet(images).most(BATCH)
    if len(images) <= step:
        batch = model.origins.follow(model.moved(images), images, slice(None))
        return _pieces(method, model, batch, target)
    pieces: list[Explanation | Refusal] = []
    for rows in chunks(len(images), step):
        batch = model.origins.follow(model.moved(images[rows]), images, rows)
        pieces += _pieces(method, model.take(rows), batch, target.take(rows))
    return pieces


def _pieces(
    method: ExplainerForm, model: Model, images: Tensor, target: Target
) -> list[Explanation | Refusal]:
    """What the method says about a batch; picture by picture where it refuses one."""
    facts = unknown_facts(len(images))
    try:
        return [_part(method, model, images, target, facts)]
    except (NotExplainable, BadTarget) as error:
        if len(images) == 1:
            return [Refusal(error, facts)]
    pieces: list[Explanation | Refusal] = []
    for i in range(len(images)):
        one = slice(i, i + 1)
        picture = model.origins.follow(images[one], images, one)
        pieces += _pieces(method, model.take(one), picture, target.take(one))
    return pieces


def _part(
    method: ExplainerForm, model: Model, images: Tensor, target: Target, facts: dict[str, Any]
) -> Explanation:
    """The explanation of a batch. facts: takes what is known of its targets, also where it then
    fails."""
    read, wants_gradients = reading(model, (method,))
    read = (*read, *target.reads)
    with (
        model.shared(images, read, gradients=wants_gradients),
        torch.set_grad_enabled(wants_gradients),
    ):
        clean = model.trace(images, read=read)
        _refuse_bad(clean.output, model)
        fixed = target.with_habit(method.habit).fix(clean).held()
        facts.update(target_facts(model, fixed, clean.output, fixed.score(clean).detach()))
        result = method.explain(model, images, fixed).detached()
    if len(result) != len(images):
        raise NotExplainable(
            f"{name_of(method)} gives {len(result)} results for"
            f" {len(images)} picture{'s' if len(images) > 1 else ''} of {model.name}; one for each"
            " was expected. Explain the pictures one by one, or with another method."
        )
    result = replace(result, provenance={**result.provenance, **facts})
    return result.refused_if_empty(name_of(method), model.name)


def _refuse_bad(output: Any, model: Model) -> None:
    if isinstance(output, Tensor) and not torch.isfinite(output).all():
        raise NotExplainable(
            f"{model.name} returns NaN or infinite scores for these images; check its weights"
            " and preprocessing."
        )
