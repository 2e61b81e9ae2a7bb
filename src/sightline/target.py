"""What is explained: a value that turns a network's output into one number per image.

A target is fixed once, on the clean images, and then held through every perturbed pass: `Top`
becomes the class that it found. Captions (`Token`), detections (`Box`), embeddings (`Similarity`),
segmentations (`Region`), regressions (`Axis`) and single units are targets too, so every explainer
works on them with no new code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import BadTarget, ShapeError
from .network.labels import class_of, whole_number
from .network.tracing.passes import Pass, logits_of, no_choice, outputs_of, values_of
from .ops.batches import taken
from .shapes import Images, Scores


@dataclass(frozen=True, eq=False)
class Target(ABC):
    """The number that is explained, one for each image. `-target` is the evidence against it.

    probability: True scores probabilities (softmax, or sigmoid of a `multilabel` model), False
    logits, None the method's default: logits for gradient and CAM methods, probabilities for masks
    and metrics.
    """

    _: KW_ONLY
    probability: bool | None = None
    negated: bool = False
    multilabel: bool = False
    fixed: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        """Layers that the score needs besides the output."""
        return ()

    def score(self, trace: Pass) -> Scores:
        """One value for each row of the trace, (n,)."""
        value = self.measure(trace)
        return -value if self.negated else value

    @abstractmethod
    def measure(self, trace: Pass) -> Scores:
        """The score before its sign."""

    def bind(self, model: Any, images: Images) -> "Target":
        """The target with this model's labels and picture frames put in."""
        return self

    def fix(self, trace: Pass) -> "Target":
        """The target held fixed from the clean images on. Raises: BadTarget where it does not fit
        the output."""
        self.measure(trace)
        return self

    def take(self, rows: Sequence[int] | slice) -> "Target":
        """The target for some images of the batch, in the order of `rows`."""
        return self

    def with_habit(self, probability: bool) -> "Target":
        """The same with `probability` where nothing was said."""
        return self if self.probability is not None else replace(self, probability=probability)

    def with_probability(self, probability: bool) -> "Target":
        """The same, scored as a probability (or as a logit), whatever was said."""
        return replace(self, probability=probability)

    def held(self) -> "Target":
        """The same, marked as fixed on the clean images."""
        return replace(self, fixed=True)

    @property
    def key(self) -> tuple:
        """What tells two targets apart, for remembering gradients."""
        held = (_Value(v) for v in self.__dict__.values() if isinstance(v, Tensor))
        return (repr(self), *held)

    def __neg__(self) -> "Target":
        return replace(self, negated=not self.negated)

    def indices(self, n: int) -> list[int | None]:
        """The class of each of `n` images, None where the target is not a class."""
        return [None] * n

    def __repr__(self) -> str:
        shown = [repr(v) for k, v in self.__dict__.items() if k not in _HIDDEN and v is not None]
        said = {True: "probability=True", False: "probability=False", None: None}[self.probability]
        body = ", ".join([*shown, *([said] if said else [])])
        return f"{'-' if self.negated else ''}{type(self).__name__}({body})"


@dataclass(frozen=True, eq=False)
class _Value:
    """A tensor in a key: equal by what it holds, and alive as long as the key (an `id` is not)."""

    tensor: Tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and torch.equal(self.tensor, other.tensor)

    def __hash__(self) -> int:
        return hash(self.tensor.shape)


_HIDDEN = ("probability", "negated", "multilabel", "fixed")


@dataclass(frozen=True, eq=False, repr=False)
class Class(Target):
    """The score of one class: how strongly does the model predict it? An index, a label, or one of
    them per image."""

    which: Any  # checked by `bind`: an index or a label of any library, or a list of them

    def bind(self, model: Any, images: Images) -> Target:
        listed = isinstance(self.which, (list, tuple, np.ndarray, Tensor)) and np.ndim(self.which)
        many = bool(listed)
        which = tuple(self.which) if listed else (self.which,)  # type: ignore[arg-type]
        found = tuple(class_of(model, w) for w in which)
        if many and len(found) != len(images):
            raise ShapeError(
                f"{len(found)} classes for {len(images)} images; give one for all, or one per"
                " image."
            )
        return replace(self, which=found if many else found[0], multilabel=model.multilabel)

    def fix(self, trace: Pass) -> Target:
        classes = logits_of(trace, self).shape[1]
        if classes == 1:
            raise BadTarget(no_choice(trace, "class to choose"))
        for index in self._list(1):
            if not 0 <= index < classes:
                raise BadTarget(
                    f"class {index} does not exist: the model has {classes} (0 to {classes - 1})."
                )
        return self

    def measure(self, trace: Pass) -> Scores:
        values = values_of(trace, self)
        if isinstance(self.which, tuple):
            index = torch.tensor(self.which, device=values.device)[trace.rows.to(values.device)]
            return values.gather(1, index[:, None])[:, 0]
        return values[:, int(self.which)]

    def take(self, rows: Sequence[int] | slice) -> Target:
        return (
            replace(self, which=taken(self.which, rows)) if isinstance(self.which, tuple) else self
        )

    def indices(self, n: int) -> list[int | None]:
        return list(self._list(n))

    def _list(self, n: int) -> tuple[int, ...]:
        return self.which if isinstance(self.which, tuple) else (self.which,) * n  # type: ignore


@dataclass(frozen=True, eq=False, repr=False)
class Top(Target):
    """The score of the model's own prediction, or of its next choice. `k` counts from 0, the first
    choice."""

    k: int = 0

    def bind(self, model: Any, images: Images) -> Target:
        return replace(self, multilabel=model.multilabel)

    def fix(self, trace: Pass) -> Target:
        logits = logits_of(trace, self)
        if logits.shape[1] == 1:
            raise BadTarget(no_choice(trace, "top class"))
        if trace.gives == "features":
            raise BadTarget(
                f"the model returns {logits.shape[1]} features and no class scores, so there is no"
                " top class. Explain what makes a picture similar to another,"
                " `target=sl.Similarity(pictures)`, or one output, `sl.Axis(i)`; if the outputs are"
                ' classes, give the model their `labels=` or `gives="logits"`.'
            )
        if not 0 <= whole_number(self.k, "rank") < logits.shape[1]:
            raise BadTarget(f"Top({self.k}) of {logits.shape[1]} classes does not exist.")
        order = logits.detach().topk(self.k + 1, 1).indices[:, self.k]
        return Class(
            tuple(order.tolist()),
            probability=self.probability,
            negated=self.negated,
            multilabel=self.multilabel,
        )

    def measure(self, trace: Pass) -> Scores:
        fixed = self.fix(trace)
        return fixed.measure(trace.alone())


@dataclass(frozen=True, eq=False, repr=False)
class Contrast(Target):
    """Why `a` rather than `b`? The difference of their logits (or probabilities)."""

    a: Any  # an index or a label, as in `Class`
    b: Any

    def bind(self, model: Any, images: Images) -> Target:
        a, b = (class_of(model, w) for w in (self.a, self.b))
        return replace(self, a=a, b=b, multilabel=model.multilabel)

    def fix(self, trace: Pass) -> Target:
        for which in (self.a, self.b):
            Class(which).fix(trace)
        return self

    def measure(self, trace: Pass) -> Scores:
        values = values_of(trace, self)
        return values[:, self.a] - values[:, self.b]  # type: ignore[index]

    def indices(self, n: int) -> list[int | None]:
        return [int(self.a)] * n


@dataclass(frozen=True, eq=False, repr=False)
class Binary(Target):
    """Yes (or no) of a model with one logit, or with two where the second is yes."""

    positive: bool = True

    def measure(self, trace: Pass) -> Scores:
        logits = logits_of(trace, self)
        if logits.shape[1] > 2:
            raise BadTarget(f"Binary needs one or two outputs; the model has {logits.shape[1]}.")
        logit = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        logit = logit if self.positive else -logit
        return logit.sigmoid() if self.probability else logit


@dataclass(frozen=True, eq=False, repr=False)
class Axis(Target):
    """Output `i` of a regression: its plain value, which has no probability."""

    i: Any  # a whole number of any library

    def measure(self, trace: Pass) -> Scores:
        values = outputs_of(trace, self)
        if not -values.shape[1] <= whole_number(self.i, "axis") < values.shape[1]:
            raise BadTarget(f"axis {self.i} does not exist: the output has {values.shape[1]}.")
        return values[:, self.i]
