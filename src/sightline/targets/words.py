"""What is predicted and what is explained, as text: the prediction first."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..network.labels import class_name
from ..shapes import Images
from ..target import Axis, Binary, Class, Contrast, Target
from .given import PerImage
from .structured import Box, Region, Similarity, Token, Unit

YES, NO = "yes", "no"
AGAINST = "evidence against "


def in_words(target: Target, labels: list[str] | None) -> str:
    """A target that is fixed on one image, in words: `tabby`, `evidence against tabby`."""
    if isinstance(target, PerImage) and len(target.targets) == 1:
        return in_words(-target.targets[0] if target.negated else target.targets[0], labels)
    words = next((told for kind, told in _WORDS.items() if isinstance(target, kind)), None)
    if words is None:
        return repr(target)
    return f"{AGAINST if target.negated else ''}{words(target, labels)}"


def _name(which: Any, labels: list[str] | None) -> str:
    index = which[0] if isinstance(which, tuple) and len(which) == 1 else which
    return class_name(index, labels) if isinstance(index, int) else str(index)


def _binary(target: Binary, labels: list[str] | None) -> str:
    return answer(target.positive, labels)


def answer(positive: bool, labels: list[str] | None) -> str:
    """Yes or no of a network with one output, by its labels where it has one or two."""
    names = labels or []
    if len(names) == 1:
        return names[0] if positive else f"not {names[0]}"
    return names[int(positive)] if len(names) == 2 else YES if positive else NO


def _axis(target: Axis, labels: list[str] | None) -> str:
    place = target.i if target.i >= 0 or not labels else len(labels) + target.i
    known = bool(labels) and 0 <= place < len(labels)
    return f"output {target.i}" + (f" ({labels[place]})" if labels and known else "")


def _at(target: Unit) -> str:
    return "" if target.at is None else f" at {target.at[0]}, {target.at[1]}"


_WORDS: dict[type[Target], Callable[[Any, list[str] | None], str]] = {
    Class: lambda t, labels: _name(t.which, labels),
    Contrast: lambda t, labels: f"{_name(t.a, labels)} rather than {_name(t.b, labels)}",
    Binary: _binary,
    Axis: _axis,
    Similarity: lambda t, _: "similarity to the given embedding or picture",
    Token: lambda t, _: f"word{'s' * (len(t.ids) > 1)} {', '.join(map(str, t.ids))}",
    Region: lambda t, labels: f"{_name(t.label, labels)} in the region",
    Box: lambda t, labels: f"{_name(t.label, labels)} in the box",
    Unit: lambda t, _: f"filter {t.filter} of {t.layer}{_at(t)}",
}


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a model says of one image.

    index: the class, None of one output. share: its probability; None for a value, which is no
    probability, such as a regression's.
    """

    label: str
    index: int | None = None
    share: float | None = None


def prediction(model: Any, images: Images, target: Target) -> Predicted | None:
    """What a model says of the first image, None where its output is no row of scores.

    One output is a yes or a no, unless it is explained as a value (`Axis`).
    """
    scores = _scores(model, images)
    if scores is None:
        return None
    if isinstance(target, Axis):
        words = in_words(replace(target, negated=False), model.labels)
        return Predicted(label=f"{words} = {float(scores[target.i]):.3g}")
    shares = model.probabilities(images)[0]
    if len(scores) == 1:
        share = float(shares[0])
        positive = share >= 0.5
        words = answer(positive, model.labels)
        return Predicted(label=words, share=share if positive else 1 - share)
    best = int(shares.argmax())
    return Predicted(label=class_name(best, model.labels), index=best, share=float(shares[best]))


def share_of(model: Any, images: Images, target: Target) -> float | None:
    """The probability of what is explained on the first image: of a class, or of a yes or a no."""
    if not isinstance(target, (Class, Binary)) or _scores(model, images) is None:
        return None
    shares, index = model.probabilities(images)[0], target.indices(1)[0]
    if isinstance(target, Binary):
        if len(shares) > 2:
            return None
        positive = float(shares[-1])
        return positive if target.positive else 1 - positive
    return float(shares[index]) if index is not None and index < len(shares) else None


def _scores(model: Any, images: Tensor) -> Tensor | None:
    output = model.trace(images).output
    fits = isinstance(output, Tensor) and output.ndim == 2
    return output[0].detach().float() if fits else None
