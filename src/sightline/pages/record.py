"""What a report shows, as plain data: frozen records of arrays, numbers and sentences.

They are made by `explain_pictures.py`, read back from a folder of results, or written by hand;
`report.page` turns them into one self-contained page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Shaped

from ..targets.words import Predicted
from ..views.colour import Pixels, Values

Parts = Mapping[str, Bool[np.ndarray, "_row _col"]]
ELSEWHERE = "elsewhere"
"""The name of what lies in no known part."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """How a score moves while pixels go or come: `y` over `x` in [0, 1], and the band of the
    nulls.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    x_label: str = "pixels changed"
    y_label: str = "probability"


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricEntry:
    """One number about one map, with the levels that maps without knowledge reach.

    nulls: such as `{"random": 0.31, "centred blob": 0.24, "edge map": 0.22}`. question: one
    sentence that explains the name. interval: lower and upper end.
    """

    name: str
    value: float
    direction: Literal["higher", "lower"] = "higher"
    interval: tuple[float, float] | None = None
    nulls: Mapping[str, float] = field(default_factory=dict)
    curve: Curve | None = None
    question: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Method:
    """What a reader must know of a method, the same for every picture.

    doubt: the sentence or two that say when not to trust it. Words between backticks are shown as
    code.
    """

    name: str
    title: str
    question: str = ""
    doubt: str = ""
    paper: str = ""
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PartShare:
    """How much of a map's mass lies in a part, and how much of the picture the part is."""

    name: str
    evidence: float
    area: float


@dataclass(frozen=True, kw_only=True)
class MapEvidence:
    """Where the evidence of a map lies.

    half: the smallest part of the picture that holds half of it, in [0, 1]; 0 where the map has
    none. peak: the smallest known part that holds the largest value, None where none does. shares:
    of the known parts, and of what is elsewhere.
    """

    half: float
    peak: str | None = None
    shares: tuple[PartShare, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class MapEntry:
    """One method's map of one picture, or the reason why there is none.

    values: (row, col), the method's own map in the model's frame, raw scale. native: signed and
    unclipped, at the layer's resolution. passes: images sent forward and backward. target: only
    where it differs from the item's. verdict: one sentence about this map alone, if any; what the
    metrics say of the method stands once on the page. evidence: None until it is measured.
    """

    method: Method
    values: Values | None = None
    native: Values | None = None
    error: str = ""
    layer: str = ""
    target: str = ""
    passes: tuple[int, int] = (0, 0)
    seconds: float | None = None
    metrics: tuple[MetricEntry, ...] = ()
    verdict: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever JSON holds
    evidence: MapEvidence | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PanelEntry:
    """One method's result that is no map (a graph, words, a chain), or the reason why there is
    none.

    body: an HTML fragment in which everything is escaped already; it brings no script and nothing
    from elsewhere. The other fields are those of `MapEntry`.
    """

    method: Method
    body: str = ""
    error: str = ""
    layer: str = ""
    target: str = ""
    passes: tuple[int, int] = (0, 0)
    seconds: float | None = None
    metrics: tuple[MetricEntry, ...] = ()
    verdict: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever JSON holds


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureEntry:
    """One picture with what the model calls it and its maps, or the reason why it could not be
    explained.

    picture: as a viewer shows it. shown: the model's frame, where the picture is unknown or the
    geometry is. box: the x0, y0, x1, y1 in pixels of `picture` that the model's frame shows; None
    means that only `shown` fits the maps. top: the most probable labels, falling. prediction: what
    the model says, the first of `top` where it is not given. target, probability: what is
    explained. parts: masks in the model's frame whose truth is known. notes: what was decided
    while the picture was read. overlap: of its maps' top 10 % of pixels, in [0, 1]; None until it
    is measured, and under two maps with evidence.
    """

    name: str
    picture: Pixels | None = None
    shown: Shaped[np.ndarray, "..."] | None = None
    box: tuple[float, float, float, float] | None = None
    error: str = ""
    top: tuple[tuple[str, float], ...] = ()
    prediction: Predicted | None = None
    target: str = ""
    probability: float | None = None
    truth: str = ""
    parts: Parts | None = None
    maps: tuple[MapEntry, ...] = ()
    panels: tuple[PanelEntry, ...] = ()
    headline: str = ""
    notes: tuple[str, ...] = ()
    overlap: float | None = None

    @property
    def predicted(self) -> tuple[str, float | None] | None:
        """What the model says of the picture, with its probability; None where it does not."""
        if self.prediction is not None:
            return self.prediction.label, self.prediction.share
        return self.top[0] if self.top else None

    @property
    def asked(self) -> bool:
        """Whether something else is explained than what the model says."""
        held = self.predicted
        return bool(self.target) and (held is None or held[0].partition(" = ")[0] != self.target)


@dataclass(frozen=True, kw_only=True)
class PageRange:
    """Which pictures of a larger report stand on a page, and the addresses of its neighbours.

    first, last: the number of the first and the last picture, from 1. previous, next: empty where
    there is none.
    """

    first: int
    last: int
    total: int
    index: str
    previous: str = ""
    next: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class PageRecord:
    """Everything that the page shows, in order.

    facts: (name, value) pairs about the model. notes: sentences about the run (what was chosen or
    guessed). next_steps: sentences; what stands between backticks is shown as a command to type.
    caution: one sentence that a reader must not miss.
    refused: (method, reason) pairs of methods that fit no picture. part: None where the page is the
    whole report.
    """

    title: str
    items: tuple[PictureEntry, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    caution: str = ""
    refused: tuple[tuple[str, str], ...] = ()
    part: PageRange | None = None
    made: str = ""
