"""What a run computes: model, methods, metrics, target and batch size; and the names under which
finished cells are known.

A cell's key is a hash of everything that its numbers depend on: the picture's bytes, the model's
weights and preprocessing (its name and place may change), the method with its parameters, the
target, precision, batch size and the versions of the libraries. A metric's key adds its parameters
and the truth that it may read. So another method, metric or picture computes only what is new, and
nothing stale is ever read.
"""

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch

from .. import __version__, registry
from ..data.classes import count_of
from ..errors import BadField, BadTarget, SightlineWarning
from ..explainer import Explainer
from ..explainers.contract.provenance import versions
from ..explanation import Explanation, Heatmap
from ..metric import Metric
from ..model import BATCH, Model
from ..ops.null_maps import NULLS
from ..sample import Sample
from ..target import Class, Target
from ..targets.given import to_target
from .average_location import AVERAGE_LOCATION, AverageLocation
from .stability import Probe, probes

SCHEMA = 1
"""Raised when the meaning of a record changes: older ledgers then count for nothing."""

IMAGE_ITSELF = "image itself"
BLIND = (*NULLS, IMAGE_ITSELF)
"""Baselines (maps that ignore the network), scored beside the methods."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One way to make a map: an explainer, or (None) the null map of that name. average: what the
    null map `average location` is made of.
    """

    label: str
    explainer: Explainer | None = None
    average: AverageLocation | None = None

    @property
    def blind(self) -> bool:
        """Whether the map is a baseline."""
        return self.explainer is None

    @property
    def gives(self) -> type[Explanation]:
        """The kind of explanation that stands in its cells."""
        return Heatmap if self.explainer is None else self.explainer.gives


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """One way to judge a map, and the word for it in the table."""

    label: str
    metric: Metric


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationPlan:
    """Which numbers does a run make? target: None is a picture's own label where it is known, else
    the model's top class. batch: images in one pass, the same in all processes. probes: metrics
    with one choice made otherwise, which judge the first `probed` pictures too.
    """

    model: Model
    columns: Sequence[Column]
    judges: Sequence[Judge]
    target: Target | None
    batch: int
    probes: Sequence[Probe] = ()
    probed: int = 0

    @cached_property
    def measures(self) -> list[Metric]:
        """All metrics: the judges', then the probes'."""
        return [each.metric for each in (*self.judges, *self.probes)]

    @cached_property
    def measure_keys(self) -> list[str]:
        """What tells the metrics apart, parameters included."""
        return [_hash(_revised(metric)) for metric in self.measures]

    def wanted(self, index: int, column: Column) -> tuple[int, ...]:
        """The numbers of the metrics that judge a column's answer for the picture of that index:
        those that can read it."""
        again = index < self.probed and not column.blind
        count = len(self.measures) if again else len(self.judges)
        return tuple(k for k in range(count) if issubclass(column.gives, self.measures[k].takes))

    @cached_property
    def _model_facts(self) -> list[Any]:
        model = self.model
        return [
            SCHEMA,
            now(),
            *facts_of(model),
            self.batch,
            *filter(None, [model.calling.stated]),
        ]

    @cached_property
    def _column_facts(self) -> list[Any]:
        return [_revised(c.explainer) if c.explainer else _null_facts(c) for c in self.columns]

    @property
    def judge_keys(self) -> list[str]:
        """The keys of the judges' metrics."""
        return self.measure_keys[: len(self.judges)]

    def cells(self, sample: Sample, digest: str) -> list[str]:
        """The key of each column's cell for a picture."""
        aimed = self._aimed(sample)
        return [
            _hash([*self._model_facts, digest, aimed, facts, sample.truth_digest])
            for facts in self._column_facts
        ]

    def _aimed(self, sample: Sample) -> str:
        """What is explained of a picture, with the content of tensors and what is true of it."""
        if self.target is None:
            return f"label {sample.class_index}" + (" not known" if sample.unknown else "")
        tensors = [v for v in vars(self.target).values() if isinstance(v, torch.Tensor)]
        held = "".join(f" {_plain(v.detach().cpu())['sha256']}" for v in tensors)
        return f"{self.target!r}{held}" + (
            "" if sample.class_index is None else f" of {sample.class_index}"
        )

    def to_toml(self) -> dict[str, Any]:
        """The run as plain data: no dates, no times, nothing that differs between two like it."""
        return {
            "schema": SCHEMA,
            "model": model_record(self.model),
            "target": repr(self.target) if self.target else "label, or top where there is none",
            "batch": self.batch,
            "stability": bool(self.probed),
            "methods": [
                {"label": c.label, **method_record(c.explainer)}
                for c in self.columns
                if c.explainer
            ],
            "nulls": [c.label for c in self.columns if c.blind],
            "metrics": [{"label": j.label, **method_record(j.metric)} for j in self.judges],
            "versions": now(),
        }


def evaluation_plan(
    model: Model,
    explainers: Sequence[Explainer],
    metrics: Sequence[Metric | str],
    target: Any = None,
    batch: int = BATCH,
    probed: int = 0,
    average: AverageLocation | None = None,
) -> EvaluationPlan:
    """The plan of these methods and metrics, nulls included. probed: pictures on which the metrics
    are measured with other choices too. average: what one more null map is made of. A method whose
    explanations none of the metrics reads is left out with a warning.

    Raises: BadField for no metric, for the same method twice, or where no method is left;
    UnknownName, BadTarget.
    """
    judges = [registry.create("metric", m) if isinstance(m, str) else m for m in metrics]
    if not judges:
        raise BadField("a run needs at least one metric; got none. `sightline methods` lists them.")
    for judge in judges:
        if not isinstance(judge, Metric):
            raise BadField(f"a metric is a name or a Metric; got {type(judge).__name__}.")
    explainers = _readable(explainers, judges)
    columns = zip(_labels(explainers), explainers, strict=True)
    named = zip(_labels(judges), judges, strict=True)
    return EvaluationPlan(
        model=model,
        columns=(
            *(Column(label=label, explainer=each) for label, each in columns),
            *(Column(label=name) for name in BLIND),
            *([Column(label=AVERAGE_LOCATION, average=average)] if average else []),
        ),
        judges=tuple(Judge(label=label, metric=each) for label, each in named),
        target=None if target is None else _common(model, target),
        batch=batch,
        probes=probes(judges) if probed and len(explainers) > 1 else (),
        probed=probed,
    )


def _common(model: Model, target: Any) -> Target:
    """One target for all pictures, a label as its class. Raises: UnknownName, BadTarget for a class
    that is not there, or for several targets."""
    made = to_target(target)
    if isinstance(made, Class) and not isinstance(made.which, tuple):
        which = model.index(made.which) if isinstance(made.which, str) else int(made.which)
        count = _classes(model, which)
        if not 0 <= which < count:
            raise BadTarget(
                f"class {which} does not exist: the model has {count} (0 to {count - 1})."
            )
        return replace(made, which=which)
    held = getattr(made, "targets", None) or getattr(made, "which", None)
    if isinstance(held, tuple) and len(held) > 1:
        raise BadTarget(
            f"a run has one target for all its pictures; got {len(held)}. Pictures with a class"
            " each are (picture, label) pairs, a CSV with labels, or class folders."
        )
    return made


def _classes(model: Model, which: int) -> int:
    """How many classes there are, as far as the labels, or else the network, tell; one more than
    was asked for where nothing tells."""
    labels = len(model.labels or ())
    return labels if which < labels else count_of(model) or labels or which + 1


def _readable(explainers: Sequence[Explainer], judges: Sequence[Metric]) -> list[Explainer]:
    """The explainers whose explanations at least one metric can read."""
    kept, told = [], {}
    for each in explainers:
        if any(issubclass(each.gives, judge.takes) for judge in judges):
            kept.append(each)
        else:
            told[each.registered_name or type(each).__name__] = each.gives.__name__
    if not told:
        return kept
    said = ", ".join(f"{name} ({kind})" for name, kind in told.items())
    if not kept:
        raise BadField(
            f"none of these metrics reads what these methods give: {said}. Sets of patches have"
            " `sufficiency`, `necessity` and `minimality`; `evaluations` and `runtime` read all."
        )
    warnings.warn(
        f"left out, because none of the metrics reads what they give: {said}.",
        SightlineWarning,
        stacklevel=2,
    )
    return kept


def fastest_batch(model: Model, forwards: int) -> int:
    """The batch size for so many passes; measured where they are many and the size is known."""
    if model.size is None or model.side:
        return BATCH
    images = torch.rand(
        1, model.calling.channels(model.module), *model.size, dtype=torch.float32, device="cpu"
    )
    return model.chunk(images.to(model.device), forwards)


def now() -> dict[str, str]:
    """The versions that numbers depend on."""
    return {**versions(), "sightline": __version__}


def _labels(methods: Sequence[Any]) -> list[str]:
    """A name for each; where names repeat, with the fields in which they differ."""
    names = [m.registered_name or type(m).__name__ for m in methods]
    full = []
    for name, method in zip(names, methods, strict=True):
        alike = [m for n, m in zip(names, methods, strict=True) if n == name]
        full.append(name if len(alike) == 1 else _told_apart(name, method, alike))
    for label in full:
        if full.count(label) > 1:
            raise BadField(f"{label} is named twice with the same parameters; name it once.")
    return full


def _told_apart(name: str, method: Any, alike: Sequence[Any]) -> str:
    fields = [f.name for f in dataclasses.fields(method)]
    told = [
        f"{field}={getattr(method, field)}"
        for field in fields
        if any(getattr(other, field, None) != getattr(method, field) for other in alike)
    ]
    return f"{name} ({', '.join(told)})" if told else name


def _facts(method: Any) -> dict[str, Any]:
    """A method as JSON: name and fields; what is no plain data is named by its content."""
    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    place = f"{type(method).__module__}.{type(method).__qualname__}"
    name = method.registered_name or getattr(method, "key_name", place)
    return {"name": name, "fields": json.loads(json.dumps(fields, default=_plain))}


def _revised(method: Any) -> dict[str, Any]:
    """A method as JSON, with its revision and those of the methods that it runs where they are not
    the first; so earlier keys stay."""
    whole = method.whole if isinstance(method, Explainer) else (method,)
    revisions = [each.revision for each in whole]
    later = {"revision": ".".join(map(str, revisions))} if set(revisions) != {1} else {}
    return {**_facts(method), **later}


def _null_facts(column: Column) -> dict[str, Any]:
    average = column.average
    return {"null": column.label, **({"of": average.digest} if average else {})}


def _plain(value: Any) -> Any:
    if isinstance(value, (Explainer, Metric)):
        return _facts(value)
    if isinstance(value, Model):
        return {"model": value.name, "weights": value.digest}
    if isinstance(value, Path):
        held = hashlib.sha256(value.read_bytes()).hexdigest() if value.is_file() else None
        return {"file": value.name, "sha256": held}
    if isinstance(value, np.ndarray) or type(value).__module__ == "torch":
        array = np.ascontiguousarray(np.asarray(value))
        return {"shape": list(array.shape), "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def facts_of(model: Model) -> list[Any]:
    """What its numbers depend on: architecture, weights, preprocessing, precision."""
    return [
        type(model.module).__qualname__,
        model.digest,
        model.preprocess.describe() if model.preprocess else None,
        model.precision,
        model.multilabel,
    ]


def model_record(model: Model) -> dict[str, str]:
    """A model as a run file holds it."""
    return {
        "name": model.name,
        "weights": model.digest,
        "preprocessing": model.preprocess.describe() if model.preprocess else "none",
        "precision": model.precision,
    }


def method_record(method: Any) -> dict[str, Any]:
    """A method as a run file holds it."""
    return _without_none(_revised(method))


def _without_none(value: Any) -> Any:
    """TOML has no null: a field that is None is left out, which is what it says by default."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def _hash(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, allow_nan=True)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]
