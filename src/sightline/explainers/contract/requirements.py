"""What a method needs of a model: gradients, a layer, attention; what its clean pass records."""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import fields
from typing import Any

from ... import registry
from ...errors import NotExplainable, SightlineWarning, UnknownName, near
from ...model import Model
from ...network.shared_pass import in_view, shape_of
from ...network.tracing.prefix_replay import JOINT, Address
from ...shapes import Images
from .explainer_form import ExplainerForm, name_of


def check(
    method: ExplainerForm,
    model: Model,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> None:
    """Raises: NotExplainable where this model cannot offer what the method needs, before any work
    is done. size, channels: of the pictures that come; without, what is known of the model alone:
    one without a size of its own is studied at that of its pictures, which may be far from usual.
    """
    if size is not None:
        with in_view(model.module, model.runner.sized(size, channels)):
            return check(method, model)
    name, needs = name_of(method), " and ".join(method.needs)
    if needs and not model.differentiable:
        raise NotExplainable(
            f"{name} needs {needs}, which the black box {model.name} does not have; use a method"
            " that needs neither, such as rise or occlusion."
        )
    if "layer" in method.needs:
        _stated_layer(method, model)
    known = model.anatomy if needs and model.runner.shape(model.size) is not None else None
    if known and "layer" in method.needs:
        _check_layer(method, model, name)
    if known and "attention" in method.needs and not known.attention:
        raise NotExplainable(
            f"{name} reads attention, and {model.name} has none; use a CAM or a gradient method."
        )
    for part in method.parts:
        if not needs and part.needs and not model.differentiable:
            raise NotExplainable(
                f"{name_of(part)} needs {' and '.join(part.needs)}, which the black box"
                f" {model.name} does not have; {name} runs it, and can run one that needs neither:"
                ' `explainer="rise"` (`--set explainer=rise`).'
            )
        check(part, model)


def _check_layer(method: ExplainerForm, model: Model, name: str) -> None:
    """Raises: NotExplainable where a method that promises sums would read a part of them."""
    layer, known = layer_of(method, model), model.anatomy
    if known.is_part(layer) and "additive" in _claims(method):
        others = f" `layer={known.streams!r}` reads them together." if known.aligned else ""
        raise NotExplainable(
            f"the map of {name} sums to the score, but {known.part(layer)} of"
            f" {model.name}.{others} Methods without such a sum, such as grad-cam, show that part."
        )


def _claims(method: ExplainerForm) -> tuple[str, ...]:
    name = method.registered_name
    return registry.entry("explainer", name).claims if name else ()


def warn_of_parts(method: ExplainerForm, model: Model) -> None:
    """Warns where a method reads a layer that carries only a part of the evidence."""
    for layer in layers_of(method, model):
        if model.anatomy.is_part(layer):
            text = f"{name_of(method)} of {model.name}: {model.anatomy.part(layer)}."
            text = f"{text} It is not in the map."
            return warnings.warn(text, SightlineWarning, stacklevel=4)


def layer_of(method: ExplainerForm, model: Model) -> str:
    """The layer that a method reads: its field `layer`, or the model's last spatial one; of a
    method that joins, all that carry the evidence together.

    Raises: UnknownName for a layer that the model does not have.
    """
    layer = _stated_layer(method, model)
    if layer is None:
        return model.anatomy.streams or model.spatial if method.joins else model.spatial
    return model.anatomy.every_call(layer) if method.joins and layer != "input" else layer


def _stated_layer(method: ExplainerForm, model: Model) -> str | None:
    """The field `layer` of a method. Raises: UnknownName as `layer_of`."""
    held: Any = method  # every explainer is a dataclass
    layer = {field.name: getattr(held, field.name) for field in fields(held)}.get("layer")
    for name in layer.split(JOINT) if layer else ():
        if name != "input" and Address.of(name).name not in model.layers:
            hint = near(name, model.layers)
            raise UnknownName(f"no layer named {name!r}{hint} `model.layers` lists all.")
    return layer


def layers_of(method: ExplainerForm, model: Model) -> list[str]:
    """The layers that a method and all that it runs read by their field `layer`."""
    return [layer_of(each, model) for each in method.whole if "layer" in each.needs]


def reading(model: Model, methods: Sequence[ExplainerForm]) -> tuple[tuple[str, ...], bool]:
    """What one clean pass for all of these records, and whether it keeps gradients.

    The picture is recorded where a method differentiates that far; layers otherwise.
    """
    every = [each for method in methods for each in method.whole]
    differentiated = [each for each in every if "gradients" in each.needs]
    layers = [layer for method in methods for layer in layers_of(method, model)]
    read = dict.fromkeys(name for layer in layers for name in layer.split(JOINT))
    if any("layer" not in each.needs and not each.own_passes for each in differentiated):
        read = {"input": None, **read}
    for each in every:
        with suppress(NotExplainable):  # it says why when it runs; others do not wait for it
            read |= dict.fromkeys(each.reads(model))
    return tuple(read), bool(differentiated)


def shared(
    model: Model, tensors: Images, methods: Sequence[ExplainerForm]
) -> AbstractContextManager[None]:
    """One clean pass for all of these, as a context; its graph starts at the image if one of them
    differentiates that far."""
    with in_view(model.module, shape_of(tensors)):
        read, gradients = reading(model, methods)
    return model.shared(tensors, read, gradients=gradients)
