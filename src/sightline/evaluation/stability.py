"""How far does the order of the methods hang on choices that could as well have been others?

A metric that changes pictures step by step is measured again with other fills and on coarser maps,
on a share of the pictures and in fewer steps, which costs little; with fewer steps it is read from
the curves that are there. Each order is held against that of the same pictures and steps as asked.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..metric import Case, Metric
from ..ops.resize import resize
from ..shapes import Heat
from ..stats.ranks import concordance
from ..stats.resampling import drawn_means, percentiles
from .comparison import Level, Scores
from .stores.rows import Curves

FILLS = ("mean", "blur", "noise")
CELLS = (14, 7)  # on the long side of a map: what CAMs of common networks have
_SHARE, _LEAST, _MOST = 5, 5, 20  # every fifth picture is measured again, within these
_DRAWS = 500
_FEWEST = 8  # steps in which a metric is measured again

Choice = Literal["steps", "fill", "resolution"]


@dataclass(frozen=True, kw_only=True)
class Coarse(Metric):
    """What does the metric say of the map with only so many cells on its long side?

    Do not trust a method whose place changes with it: its lead is one of detail, or of the lack of
    it, and not of where it points.
    """

    key_name: ClassVar[str] = "sightline.engines.stability.Coarse"
    """What finished cells call it, wherever its file lies."""

    metric: Metric
    cells: int

    def curves(self, case: Case) -> Float[Tensor, "batch point"] | None:
        return self.metric.curves(case.with_heat(coarse(case.heat, self.cells)))

    def read(self, curves: Float[Tensor, "batch point"]) -> Float[Tensor, " batch"]:
        return self.metric.read(curves)

    def result(self, curves: Float[Tensor, "batch point"], pixels: int) -> Float[Tensor, " batch"]:
        return self.metric.result(curves, pixels)


def coarse(maps: Heat, cells: int) -> Heat:
    """Maps (batch, row, col) of the same size whose detail is that of `cells` on the long side."""
    rows, cols = maps.shape[-2:]
    shrink = min(1.0, cells / max(rows, cols))
    size = (max(1, round(rows * shrink)), max(1, round(cols * shrink)))
    small = torch.nn.functional.adaptive_avg_pool2d(maps[:, None].float(), size)
    return resize(small, (rows, cols))[:, 0].to(maps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """A metric with one choice made otherwise. judge: the number of the metric as it was asked."""

    judge: int
    choice: Choice
    setting: str
    metric: Metric


def probes(metrics: Sequence[Metric]) -> tuple[Probe, ...]:
    """The metrics with other fills and coarser maps, for those that have fills and steps."""
    return tuple(p for k, metric in enumerate(metrics) for p in _probes(k, metric))


def _probes(judge: int, metric: Any) -> list[Probe]:  # Any: its fields are looked up
    if not varied(metric):
        return []
    quick = replace(metric, steps=metric.steps // _stride(metric))
    filled = [
        Probe(
            judge=judge,
            choice="fill",
            setting=f"fill {fill}",
            metric=replace(quick, fill=fill),
        )
        for fill in FILLS
        if fill != metric.fill
    ]
    coarser = [
        Probe(
            judge=judge,
            choice="resolution",
            setting=f"{n} cells",
            metric=Coarse(metric=quick, cells=n),
        )
        for n in CELLS
    ]
    return [*filled, *coarser]


def varied(metric: Metric) -> bool:
    """Whether a metric fills pixels step by step, so that both can be chosen otherwise."""
    known = {f.name for f in dataclasses.fields(metric)} if dataclasses.is_dataclass(metric) else ()
    return "fill" in known and "steps" in known


def _stride(metric: Any) -> int:
    """By how much fewer steps a metric is measured again."""
    return next((k for k in (4, 2) if metric.steps % k == 0 and metric.steps // k >= _FEWEST), 1)


def probed(pictures: int | None) -> int:
    """How many of so many pictures are measured again; the first ones."""
    return _MOST if pictures is None else min(max(_LEAST, pictures // _SHARE), _MOST)


@dataclass(frozen=True, kw_only=True)
class Order:
    """The methods as one setting puts them, best first.

    tau: Kendall's tau to the order as asked, of the same pictures; 1 is the same order, -1 the
    reverse. Its interval is over draws of the pictures.
    """

    metric: str
    choice: Choice | Literal["as asked"]
    setting: str
    methods: tuple[str, ...]
    tau: Level


def orders(
    scores: Sequence[Scores],
    methods: Sequence[str],
    probes: Sequence[Probe],
    values: np.ndarray,
    pixels: int | None = None,
) -> list[Order]:
    """How each choice changes the order. values: (probe, method, picture), the first pictures.
    pixels: of the model's input; None, where pictures differ in size, takes steps as equal."""
    found = []
    for judge, each in enumerate(scores):
        whole = _chosen(each, methods, pixels)
        if len(methods) < 2 or whole is None or not np.isfinite(whole.values).any(1).sum() > 1:
            continue
        found.append(_order(whole, "as asked", "as asked", whole.values, whole.values))
        for k in (2, 4):
            if whole.steps % k == 0 and whole.steps // k > 1:
                fewer = whole.with_fewer(k)
                found.append(
                    _order(whole, "steps", f"{whole.steps // k} steps", whole.values, fewer)
                )
        again = [k for k, probe in enumerate(probes) if probe.judge == judge]
        if not again or not values.shape[2]:
            continue
        stride = _stride(each.metric)
        base = whole.with_fewer(stride)[:, : values.shape[2]]
        found.append(_order(whole, "as asked", f"{whole.steps // stride} steps", base, base))
        for k in again:
            found.append(_order(whole, probes[k].choice, probes[k].setting, base, values[k]))
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chosen:
    """The numbers of the methods by one metric that fills step by step."""

    scores: Scores
    methods: tuple[str, ...]
    values: np.ndarray  # (method, picture)
    columns: tuple[int, ...]  # of the methods among the curves
    curves: np.ndarray | Curves  # (column, picture, step)
    steps: int
    pixels: int | None

    def with_fewer(self, k: int) -> np.ndarray:
        """The values if every k-th step alone had been measured."""
        metric: Any = self.scores.metric
        fewer = replace(metric, steps=self.steps // k)
        found = np.empty(self.values.shape)
        for row, column in enumerate(self.columns):  # one at a time: all may not fit into memory
            flat = torch.from_numpy(self.curves[column][:, ::k].copy())
            read = fewer.read(flat) if self.pixels is None else fewer.result(flat, self.pixels)
            found[row] = read.double().numpy()
        return found


def _chosen(scores: Scores, methods: Sequence[str], pixels: int | None) -> _Chosen | None:
    metric: Any = scores.metric
    if not varied(metric) or scores.curves is None or scores.curves.shape[2] != metric.steps + 1:
        return None
    rows = [list(scores.columns).index(m) for m in methods]
    return _Chosen(
        scores=scores,
        methods=tuple(methods),
        values=scores.values[rows],
        columns=tuple(rows),
        curves=scores.curves,
        steps=metric.steps,
        pixels=pixels,
    )


def _order(whole: _Chosen, choice: Any, setting: str, base: np.ndarray, other: np.ndarray) -> Order:
    """The order by `other`, and how far it is from that by `base`, both (method, picture)."""
    # the same pictures for all methods
    there = np.asarray((np.isfinite(base) & np.isfinite(other)).all(0))
    if not there.any():
        nothing = Level(value=float("nan"), interval=None, count=0)
        return Order(
            metric=whole.scores.label, choice=choice, setting=setting, methods=(), tau=nothing
        )
    taus = concordance(*(drawn_means(values[:, there], _DRAWS) for values in (base, other)))
    means = whole.scores.sign * other[:, there].mean(1)
    return Order(
        metric=whole.scores.label,
        choice=choice,
        setting=setting,
        methods=tuple(whole.methods[k] for k in np.argsort(-means, kind="stable")),
        tau=Level(
            value=float(taus[0]),
            interval=percentiles(taus[1:], int(there.sum())),
            count=int(there.sum()),
        ),
    )
