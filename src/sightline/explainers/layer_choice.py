"""The layer that methods read, set in a method and in all that it holds."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, get_args, get_type_hints

from ..errors import BadField
from ..explainer import Explainer, part_method


def at_layer(explainers: Sequence[Explainer], layer: str) -> list[Explainer]:
    """The methods with this layer, those that read one or run another that does.

    Raises: BadField where none of them reads a layer.
    """
    changed = [_at_layer(explainer, layer) for explainer in explainers]
    if changed and not any(changed):
        names = ", ".join(each.registered_name or type(each).__name__ for each in explainers)
        who = f"{names} reads" if len(explainers) == 1 else f"none of {names} reads"
        no = "no layer" if len(explainers) == 1 else "a layer"
        raise BadField(
            f"layer={layer!r} was given, and {who} {no}. Leave it out, or take a method that reads"
            " one, such as grad-cam."
        )
    return [new or old for new, old in zip(changed, explainers, strict=True)]


def with_default_layer(explainer: Explainer, layer: str) -> Explainer:
    """The method, and those that it holds, at this layer where they need one and none was named;
    those that it holds become methods where they were names."""
    made: Any = explainer  # every explainer is a dataclass, which its contract cannot say
    changes: dict[str, Any] = {
        name: with_default_layer(part_method(getattr(made, name)), layer)
        for name in method_fields(type(explainer))
    }
    if "layer" in explainer.needs and made.layer is None:
        changes["layer"] = layer
    return replace(made, **changes)


def _at_layer(explainer: Explainer, layer: str) -> Explainer | None:
    """The method at a layer, in all that it runs; None where nothing of it reads a layer."""
    made: Any = explainer
    changes: dict[str, Any] = {}
    if any(field.name == "layer" for field in fields(made)):
        changes["layer"] = layer
    for name in method_fields(type(explainer)):
        if (inner := _at_layer(part_method(getattr(made, name)), layer)) is not None:
            changes[name] = inner
    return replace(made, **changes) if changes else None


@cache
def method_fields(kind: type[Explainer]) -> tuple[str, ...]:
    """The fields that hold other explainers, in order."""
    hints = get_type_hints(kind)
    kinds = {name: (hint, *get_args(hint)) for name, hint in hints.items()}
    return tuple(name for name, held in kinds.items() if Explainer in held)
