"""The contract of an explainer: (model, images, target) -> Explanation.

`__call__` is final and does the chores once: it validates, fixes the target on the clean images,
splits into batches, freezes and restores, detaches, refuses empty answers and attaches provenance.
A method writes `explain`.
"""

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, TypeVar, final

import torch
from torch import Tensor, nn

from . import registry
from .errors import (
    BadField,
    BadTarget,
    NotExplainable,
    SightlineError,
    SightlineWarning,
    UnknownName,
    near,
)
from .explainers.contract.admission import admitted
from .explainers.contract.refusals import Refusal, in_words, saturated, together, unknown_facts
from .explanation import Explanation, Heatmap
from .files.display import display_text, displayed
from .model import BATCH, Model
from .network.costs import recorded
from .network.tracing.prefix_replay import JOINT, Address
from .ops.batches import chunks, fit_side
from .target import PerImage, Target, to_target

_Method = TypeVar("_Method", bound="Explainer")  # the tests' shape hook knows no `Self`


class Explainer(ABC):
    """A method that explains a model. Explainers are frozen dataclasses; their fields are the
    paper's parameters.

    needs: what the model must offer, of `gradients`, `layer`, `attention`; a method that needs a
    layer has a field `layer`, None for the model's last spatial one. joins: it can read several
    layers of one grid together, addresses joined by " + ". probability: whether the score is a
    probability where the target does not set it. gives: the kind of explanation. own_passes: all
    its gradients come from passes of its own, so the clean pass needs no graph. A method that runs
    others returns them in `parts`: it needs what they need, and takes its default of `probability`
    from the first. tiny: fields with which it is quick, for tests. well_known: people use it first,
    and expect it to do well. recommended: one of the few methods to start with. differentiable_as:
    the form in which an attack computes its map with a graph (`cam`, `gradient`, ...); a class says
    it for itself alone.
    """

    kind: ClassVar[str] = "explainer"
    registered_name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    joins: ClassVar[bool] = False
    probability: ClassVar[bool] = False
    gives: ClassVar[type[Explanation]] = Heatmap
    own_passes: ClassVar[bool] = False
    tiny: ClassVar[Mapping[str, Any]] = {}
    well_known: ClassVar[bool] = False
    recommended: ClassVar[bool] = False
    differentiable_as: ClassVar[str] = ""

    @final
    def __call__(self, model: Model | nn.Module, images: Any, target: Any = None) -> Explanation:
        """Explain `target` (None is the top class) for images: paths, PIL images, arrays, or a
        prepared tensor.

        Raises: NotExplainable where the method cannot treat this model, ShapeError, BadTarget,
        BadImage.
        """
        result, error = self.attempt(model, images, target)
        if error is not None:
            raise error
        if told := in_words(result):
            warnings.warn(told, SightlineWarning, stacklevel=2)
        return result

    @final
    def attempt(
        self, model: Model | nn.Module, images: Any, target: Any = None
    ) -> tuple[Explanation, SightlineError | None]:
        """The explanation, pictures that the method refuses marked in it; and, where it refuses
        all of them, the error that says why.

        Raises: what a call raises before any picture is looked at.
        """
        model = Model.of(model)
        tensors = model.prepare(images)
        fit_side(model.side, len(tensors))
        aimed = to_target(target).bind(model, tensors)
        self.check(model, (tensors.shape[2], tensors.shape[3]), tensors.shape[1])
        self._warn_of_parts(model)
        started = time.perf_counter()
        precision = model.precision
        with recorded() as spent:
            model = self.served(model, tensors, aimed)
            pieces = self._batches(model, tensors, aimed)
        result, error = together(pieces, self.gives, (tensors.shape[2], tensors.shape[3]))
        facts = {**self._facts(model), "precision": precision, "ran_in": model.precision}
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
                "count": len(tensors),  # pictures that the costs are of, also after `take`
            },
            images=tensors,
            pictures=model.pictures(tensors),
            frames=model.frames(tensors),
        )
        return result, error

    @property
    def parts(self) -> "tuple[Explainer, ...]":
        """The explainers that this one holds in its fields and runs; by default there are none."""
        return ()

    def reads(self, model: Model) -> tuple[str, ...]:
        """Layers that the method reads besides `layer`, so that the clean pass records them."""
        return ()

    @property
    @final
    def whole(self) -> "tuple[Explainer, ...]":
        """This explainer and all that it holds, in depth."""
        return (self, *(each for part in self.parts for each in part.whole))

    @property
    @final
    def habit(self) -> bool:
        """Whether the score is a probability where the target does not set it."""
        return self.parts[0].habit if self.parts else self.probability

    @abstractmethod
    def explain(self, model: Model, images: Tensor, target: Target) -> Explanation:
        """The explanation of a batch: images (batch, channel, row, col) in [0, 1], the target fixed
        on them."""

    @final
    def check(
        self, model: Model, size: tuple[int, int] | None = None, channels: int | None = None
    ) -> None:
        """Raises: NotExplainable where this model cannot offer what the method needs, before any
        work is done."""
        name = self._name
        if self.needs and not model.differentiable:
            raise NotExplainable(
                f"{name} needs {' and '.join(self.needs)}, which the black box {model.name} does"
                " not have; use a method that needs neither, such as rise or occlusion."
            )
        if size and self.needs:
            model.study(size, channels)
        if "layer" in self.needs:
            self._check_layer(model, name)
        if "attention" in self.needs and not model.anatomy.attention:
            raise NotExplainable(
                f"{name} reads attention, and {model.name} has none; use a CAM or a gradient"
                " method."
            )
        for part in self.parts:
            if not self.needs and part.needs and not model.differentiable:
                inner = part.registered_name or type(part).__name__
                raise NotExplainable(
                    f"{inner} needs {' and '.join(part.needs)}, which the black box {model.name}"
                    f" does not have; {name} runs it, and can run one that needs neither:"
                    ' `explainer="rise"` (`--set explainer=rise`).'
                )
            part.check(model, size, channels)

    @final
    def _check_layer(self, model: Model, name: str) -> None:
        """Raises: NotExplainable where a method that promises sums would read a part of them."""
        layer, known = self.layer_of(model), model.anatomy
        if known.is_part(layer) and "additive" in _claims(self):
            others = f" `layer={known.streams!r}` reads them together." if known.aligned else ""
            raise NotExplainable(
                f"the map of {name} sums to the score, but {known.part(layer)} of"
                f" {model.name}.{others} Methods without such a sum, such as grad-cam, show that"
                " part."
            )

    @final
    def _warn_of_parts(self, model: Model) -> None:
        for layer in (e.layer_of(model) for e in self.whole if "layer" in e.needs):
            if model.anatomy.is_part(layer):
                text = f"{self._name} of {model.name}: {model.anatomy.part(layer)}."
                text = f"{text} It is not in the map."
                return warnings.warn(text, SightlineWarning, stacklevel=3)

    @final
    def layer_of(self, model: Model) -> str:
        """The layer that this method reads: its field `layer`, or the model's last spatial one; of
        a method that joins, all that carry the evidence together."""
        layer = {f.name: getattr(self, f.name) for f in fields(self)}.get("layer")  # type: ignore[arg-type]
        if layer is None:
            return model.anatomy.streams or model.spatial if self.joins else model.spatial
        for name in layer.split(JOINT):
            if name != "input" and Address.of(name).name not in model.layers:
                hint = near(name, model.layers)
                raise UnknownName(f"no layer named {name!r}{hint} `model.layers` lists all.")
        return model.anatomy.every_call(layer) if self.joins and layer != "input" else layer

    def fast(self: _Method) -> _Method:
        """The same method with its documented approximations on; by default there are none."""
        return self

    @property
    def _name(self) -> str:
        return self.registered_name or type(self).__name__

    @final
    def served(self, model: Model, images: Tensor, target: Target) -> Model:
        """The model as this method runs it: exact where bfloat16 moves its map of the first of
        these images too far."""
        first = target.take([0])

        def ask(other: Model, image: Tensor) -> Explanation:
            return self._part(other.take([0]), image.to(other.device), first, unknown_facts(1))

        return admitted(model, (type(self), repr(self)), images[:1], ask)

    @final
    def _batches(
        self, model: Model, images: Tensor, target: Target
    ) -> "list[Explanation | Refusal]":
        """What the method says of images that are too many for one pass, in order."""
        step = model.meet(images).most(BATCH)
        if len(images) <= step:
            batch = model.origins.follow(model.moved(images), images, slice(None))
            return self._pieces(model, batch, target)
        pieces: list[Explanation | Refusal] = []
        for rows in chunks(len(images), step):
            batch = model.origins.follow(model.moved(images[rows]), images, rows)
            pieces += self._pieces(model.take(rows), batch, target.take(rows))
        return pieces

    @final
    def _pieces(
        self, model: Model, images: Tensor, target: Target
    ) -> "list[Explanation | Refusal]":
        """What the method says about a batch; picture by picture where it refuses one."""
        facts = unknown_facts(len(images))
        try:
            return [self._part(model, images, target, facts)]
        except (NotExplainable, BadTarget) as error:
            if len(images) == 1:
                return [Refusal(error, facts)]
        pieces: list[Explanation | Refusal] = []
        for i in range(len(images)):
            one = slice(i, i + 1)
            picture = model.origins.follow(images[one], images, one)
            pieces += self._pieces(model.take(one), picture, target.take(one))
        return pieces

    @final
    def _part(
        self, model: Model, images: Tensor, target: Target, facts: dict[str, Any]
    ) -> Explanation:
        """The explanation of a batch. facts: takes what is known of its targets, also where it then
        fails."""
        read, wants_gradients = reading(model, (self,))
        read = (*read, *target.reads)
        with (
            model.shared(images, read, gradients=wants_gradients),
            torch.set_grad_enabled(wants_gradients),
        ):
            clean = model.trace(images, read=read)
            _refuse_bad(clean.output, model)
            fixed = target.with_habit(self.habit).fix(clean).held()
            facts.update(_aim_facts(model, fixed, clean.output, fixed.score(clean).detach()))
            result = self.explain(model, images, fixed).detached()
        if len(result) != len(images):
            raise NotExplainable(
                f"{self._name} gives {len(result)} results for"
                f" {len(images)} picture{'s' if len(images) > 1 else ''} of {model.name}; one for"
                " each was expected. Explain the pictures one by one, or with another method."
            )
        result = replace(result, provenance={**result.provenance, **facts})
        return result.refused_if_empty(self._name, model.name)

    @final
    def _facts(self, model: Model) -> dict[str, Any]:
        spec = (
            registry.to_json(self)
            if self.registered_name
            else {"name": type(self).__name__, "fields": {}}
        )
        layers = [e.layer_of(model) for e in self.whole if "layer" in e.needs]
        return {
            "schema": 1,
            "method": spec["name"],
            "parameters": displayed(spec["fields"]),
            "layer": layers[0] if layers else None,
            "partial": not all(map(model.anatomy.carries, layers)) if layers else False,
            "model": model.display_name,
            "weights_digest": model.digest,
            "preprocessing": display_text(model.preprocess)
            if model.preprocess
            else "none (tensors as the network expects them)",
            "precision": model.precision,
            "gives": model.gives,
            "called": list(model.calling.conduct.notes),
            "seed": spec["fields"].get("seed"),
            "versions": versions(),
            "device": str(model.device),
        }


@cache
def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {}
    for package in ("sightline", "torch", "torchvision", "timm", "numpy", "Pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def part_method(spec: "Explainer | str") -> "Explainer":
    """The explainer that a field names, or the one that it holds. Raises: BadField for anything
    else."""
    if isinstance(spec, str):
        return registry.create("explainer", spec)
    if isinstance(spec, Explainer):
        return spec
    raise BadField(f"expected the name of an explainer or an Explainer; got {spec!r}.")


def reading(model: Model, explainers: Sequence[Explainer]) -> tuple[tuple[str, ...], bool]:
    """What one clean pass for all of these records, and whether it keeps gradients.

    The picture is recorded where a method differentiates that far; layers otherwise.
    """
    every = [each for explainer in explainers for each in explainer.whole]
    differentiated = [each for each in every if "gradients" in each.needs]
    layers = [each.layer_of(model) for each in every if "layer" in each.needs]
    read = dict.fromkeys(name for layer in layers for name in layer.split(JOINT))
    if any("layer" not in each.needs and not each.own_passes for each in differentiated):
        read = {"input": None, **read}
    for each in every:
        with suppress(NotExplainable):  # it says why when it runs; others do not wait for it
            read |= dict.fromkeys(each.reads(model))
    return tuple(read), bool(differentiated)


def shared(model: Model, tensors: Tensor, explainers: Sequence[Explainer]) -> Any:
    """One clean pass for all of these, as a context; its graph starts at the image if one of them
    differentiates that far."""
    read, gradients = reading(model, explainers)
    return model.shared(tensors, read, gradients=gradients)


def _claims(explainer: Explainer) -> tuple[str, ...]:
    name = explainer.registered_name
    return registry.entry("explainer", name).claims if name else ()


def _refuse_bad(output: Any, model: Model) -> None:
    if isinstance(output, Tensor) and not torch.isfinite(output).all():
        raise NotExplainable(
            f"{model.name} returns NaN or infinite scores for these images; check its weights"
            " and preprocessing."
        )


def _aim_facts(model: Model, target: Target, output: Any, score: Tensor) -> dict[str, Any]:
    n = len(score)
    indices = target.indices(n)
    probability: list[float | None] = [None] * n
    rows = isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] > 1
    if rows and model.gives != "features":
        shares = model.calling.probabilities(output.detach())
        probability = [
            None if i is None else shares[row, i].item() for row, i in enumerate(indices)
        ]
    kind = display_text(target) if not isinstance(target, PerImage) else "one target per image"
    return {
        "target": kind,
        "target_index": indices,
        "target_label": [None if i is None else model.label(i) for i in indices],
        "score": score.float().tolist(),
        "probability": probability,
        "saturated": saturated(target, score),
    }
