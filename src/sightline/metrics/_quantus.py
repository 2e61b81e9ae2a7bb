"""Our metrics in the form in which Quantus calls its own, so that a script keeps its loop.

The form is that of Quantus 0.6 (documentation and signatures; no code of it is used): pictures as
the network expects them, one class and one map per picture, a list of floats back. Deviations:
nothing is guessed (pictures are channel first unless it is said otherwise); maps are not rescaled
over the batch, so a number does not depend on what stands beside it; the model stays on its device,
and is left as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from .. import registry
from ..errors import BadField, NotExplainable, ShapeError, UnknownName, near
from ..explainer import Explainer
from ..explainers.outside.function import Outside
from ..explanation import Heatmap
from ..metric import Case, Metric, judged
from ..model import Model
from ..ops.masks import two_valued
from ..sample import Truth
from ..target import Class

_Array = np.ndarray | Tensor


class QuantusSettings(TypedDict, total=False):
    """What Quantus' call takes besides the batches, by the same names.

    s_batch: masks of the objects, (picture, row, col) or with one channel, 0 outside and one other
    number inside. channel_first: False
    for (picture, row, col, channel). explain_func: called as explain_func(model, inputs, targets,
    **explain_func_kwargs) where no maps are given, and by metrics that explain again. softmax:
    whether the score is the probability; None is the metric's own habit. device: where the model
    must be.
    """

    s_batch: _Array | None
    channel_first: bool | None
    explain_func: Callable[..., Any] | None
    explain_func_kwargs: Mapping[str, Any] | None
    model_predict_kwargs: Mapping[str, Any] | None
    softmax: bool | None
    device: Any
    batch_size: int


@dataclass(frozen=True)
class QuantusForm:
    """One of our metrics, called as Quantus calls its own."""

    metric: Metric

    def __call__(
        self,
        model: Model | nn.Module,
        x_batch: _Array,
        y_batch: _Array,
        a_batch: _Array | None = None,
        **settings: Unpack[QuantusSettings],
    ) -> list[float]:
        """One number for each picture; NaN where the metric is undefined for it.

        model: a bare network, whose pictures are as it expects them, or a Model, whose pictures are
        in [0, 1]. a_batch: maps (picture, row, col); a channel axis is summed. Without maps and
        without `explain_func` nothing can be judged.

        Raises: UnknownName for a setting that Quantus does not have, BadField for one that has no
        meaning here, ShapeError, and what the metric raises.
        """
        _refuse_others(settings)
        known = Model.of(model)
        _refuse_device(known, settings.get("device"))
        images = _pictures(x_batch, settings.get("channel_first"))
        target = Class(tuple(int(y) for y in np.asarray(y_batch).reshape(-1)))
        softmax = settings.get("softmax")
        aimed = target if softmax is None else target.with_probability(softmax)
        explainer = _explainer(settings)
        truth = _truth(settings.get("s_batch"), settings.get("channel_first"))
        images = images.to(known.device)
        if a_batch is None:
            if explainer is None:
                raise NotExplainable(
                    "neither maps nor a function that makes them; give a_batch or explain_func."
                )
            case = judged(explainer, known, images, aimed, truth)
        else:
            heat = Heatmap(_maps(a_batch, images, settings.get("channel_first")))
            case = Case(known, images, known.aim(images, aimed), heat, explainer, truth)
        return self.metric(case).tolist()


def quantus_form(metric: Metric | str, **fields: Any) -> QuantusForm:
    """The metric, or the one of that name with these fields, to be called as
    `form(model=, x_batch=, y_batch=, a_batch=, ...)`: a list with one float for each picture.

    Do not trust that a number means what Quantus' metric of a similar name means: the page
    `docs/differences.md` lists where they agree and where not.

    >>> import torch, numpy as np, sightline as sl
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    >>> x, y, maps = np.ones((2, 3, 8, 8)), np.array([0, 1]), np.ones((2, 8, 8))
    >>> quantus_form("complexity")(model=net, x_batch=x, y_batch=y, a_batch=maps)
    [1.0, 1.0]
    """
    if isinstance(metric, str):
        return QuantusForm(registry.create("metric", metric, **fields))
    if fields:
        raise BadField(
            f"{metric!r} is already an object; its fields cannot be changed here."
            " Pass the metric's name together with its fields."
        )
    return QuantusForm(metric)


def _refuse_others(settings: Mapping[str, Any]) -> None:
    for name in settings:
        if name not in QuantusSettings.__annotations__:
            known = list(QuantusSettings.__annotations__)
            raise UnknownName(f"no setting {name!r}{near(name, known)} Settings: {known}.")
    if settings.get("model_predict_kwargs"):
        raise BadField(
            "model_predict_kwargs are not passed on; give `sl.Model(net, forward=...)` instead."
        )


def _refuse_device(model: Model, device: Any) -> None:
    asked = None if device is None else torch.device(device)
    if asked is not None and asked.type != model.device.type:
        raise BadField(
            f"the model is on {model.device} and {asked} was asked for; move it there first, since"
            " a metric leaves the model as it found it."
        )


def _pictures(batch: _Array, first: bool | None) -> Tensor:
    found = torch.as_tensor(batch, device="cpu").detach().float()
    if found.ndim != 4:
        raise ShapeError(
            f"x_batch is (picture, channel, row, col); got {tuple(found.shape)}."
            " Set channel_first=False for (picture, row, col, channel)."
        )
    return found.movedim(3, 1).contiguous() if first is False else found


def _maps(batch: _Array, images: Tensor, first: bool | None) -> Tensor:
    """The maps (picture, row, col), their channels summed."""
    found = torch.as_tensor(batch, device="cpu").detach().float()
    if found.ndim == 4:
        found = found.sum(3 if first is False else 1)
    if found.shape != (len(images), *images.shape[-2:]):
        raise ShapeError(
            f"a_batch is one map per picture, of {tuple(images.shape[-2:])} pixels; got"
            f" {tuple(np.shape(batch))} for {len(images)} pictures."
        )
    return found


def _truth(masks: _Array | None, first: bool | None) -> Truth | None:
    if masks is None:
        return None
    found = np.stack([two_valued(mask, "a mask of s_batch") for mask in masks])
    if found.ndim == 4:
        found = np.asarray(found.any(3 if first is False else 1))
    return Truth(masks=list(found))


def _explainer(settings: QuantusSettings) -> Explainer | None:
    """The function of the settings as a method; None where there is none."""
    function, given = settings.get("explain_func"), settings.get("explain_func_kwargs") or {}
    if function is None:
        return None

    def ask(network: nn.Module, pictures: Tensor, index: int) -> Any:
        inputs, targets = pictures.detach().cpu().numpy(), np.array([index])
        return torch.as_tensor(
            function(model=network, inputs=inputs, targets=targets, **given), device="cpu"
        )

    return Outside.of(ask, name="explain_func")
