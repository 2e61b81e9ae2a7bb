"""The family of explanations in words: regions with a name are hidden one by one, beside others of
the same size, and what passes is said.

Project definition throughout. One word costs 1 + `others` forward passes: its region hidden, and
each of the seeded regions elsewhere.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Explanation
from ...explanations.words import Words
from ...hiding import HiddenImage, hidden_images
from ...model import Model
from ...ops.blur import gaussian_blur
from ...ops.fill import Fill
from ...pictures.areas import Area, box_of, elsewhere, encode
from ...shapes import Images
from ...target import Target

BLUR = 0.22  # sigma of the blur that hides, as a share of the short side: shapes are gone
RARE = 20  # one in so many others may cost as much: (1 + n // 20) / (n + 1) pass by chance
SAME = 0.5  # of all pixels of two regions: what they share from which no drop tells them apart


@dataclass(frozen=True, eq=False)
class NamedRegion:
    """A word and the region that it stands for in one picture.

    mask: (row, col) in the model's frame. told: further facts of the word, as plain data.
    """

    word: str
    mask: Area
    told: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever JSON holds


@dataclass(frozen=True, kw_only=True)
class WordExplainer(Explainer):
    """Each named region is hidden, and the drop of the score compared with that of other regions of
    the same size.

    fill: what a hidden pixel becomes, the name of a `Fill`; None is a blur that leaves no shape.
    others: how many regions elsewhere a word is compared with; it passes where at most one in 20 of
    them costs as much, which of 20 others chance does 2 times in 21 (9.5 %), for and against alike;
    of 100, 5.9 %. least: the share of the picture's score that a word must move at all.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True
    gives: ClassVar[type[Explanation]] = Words

    fill: str | float | None = None
    others: int = 20
    least: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fill is not None:
            Fill(self.fill)
        if not 5 <= self.others <= 1000:
            raise BadField(
                f"others is a number of regions to compare with, 5 to 1000; got {self.others}."
            )
        if not 0 <= self.least < 1:
            raise BadField(f"least is a share of the score, in [0, 1); got {self.least}.")
        self.settle()

    def settle(self) -> None:
        """Checks, and brings into their plain form, the fields of a child."""

    @abstractmethod
    def named_regions(
        self, model: Model, images: Images, target: Target
    ) -> list[list[NamedRegion]]:
        """The words of each picture with their regions."""

    def rivals(
        self, model: Model, images: Images, target: Target
    ) -> Sequence[Mapping[str, Any] | None]:
        """What is known of each picture's runner-up; by default nothing."""
        return [None] * len(images)

    @final
    def explain(self, model: Model, images: Images, target: Target) -> Words:
        named = self.named_regions(model, images, target)
        clean = model.scores(images, target).double().cpu()
        with torch.no_grad():
            output = model.trace(images).output
        hidden = hidden_images(model, target, images, self.filled(images, model))
        facts, labels = [], list(_labels(model, output, target, len(images)))
        for row, words in enumerate(named):
            told = [self.fact(hidden[row], each, float(clean[row]), labels[row]) for each in words]
            told = sorted(told, key=lambda fact: -round(fact["evidence"], 6))
            facts.append(_with_same(told, {each.word: each.mask for each in words}))
        return Words(
            called=[called for called, _ in labels],
            top=[top for _, top in labels],
            facts=facts,
            clean=clean.tolist(),
            rivals=self.rivals(model, images, target),
            unit="probability" if target.probability else "score",
            check=self.rule,
        )

    @property
    def rule(self) -> str:
        """The check in one sentence."""
        allowed = self.others // RARE
        most = f"at most {allowed}" if allowed else "none"
        return (
            f"A word counts when hiding its region moves the score by {self.least:.0%} or more,"
            f" and when {most} of {self.others} other regions of the same size, away from it,"
            " moves the score as much."
        )

    def filled(self, images: Images, model: Model) -> Images:
        """The pictures with everything hidden."""
        if self.fill is not None:
            return Fill(self.fill).like(images, model)
        sigma = BLUR * min(images.shape[-2:])
        return gaussian_blur(images, 2 * max(1, round(2 * sigma)) + 1, sigma)

    def fact(
        self, hidden: HiddenImage, named: NamedRegion, clean: float, labels: tuple[str, str | None]
    ) -> dict[str, Any]:
        """What was measured of one word."""
        mask = torch.from_numpy(named.mask).to(hidden.image.device)
        size, area = int(mask.sum()), mask.numel()
        told = {
            "word": named.word,
            "box": list(box_of(named.mask)),
            "area": size / area,
            "region": encode(named.mask),
            **named.told,
        }
        if 2 * size > area:  # what is elsewhere is smaller than the region itself
            drop = clean - float(_without(hidden, mask[None])[0])
            why = (
                f"covers {size / area:.0%} of the picture; no other region of that size is"
                " left to compare with"
            )
            return {**told, "evidence": drop, "others": [], "outcome": "unchecked", "why": why}
        rivals = elsewhere(named.mask, self.others, self.seed, f"elsewhere {named.word}")
        drops = clean - _without(hidden, torch.cat([mask[None], rivals.to(mask.device)]))
        evidence, others = float(drops[0]), sorted(drops[1:].tolist())
        low, high = chance_levels(others)
        outcome, why = self.outcome(evidence, (low, high), clean)
        first = _first_without(hidden, mask) if outcome == "for" else None
        turned = first is not None and labels[0] == labels[1] != first
        return {
            **told,
            "evidence": evidence,
            "others": others,
            "null": high,
            "null_low": low,
            "outcome": outcome,
            "why": why,
            "instead": first if turned else None,
        }

    def outcome(
        self, evidence: float, levels: tuple[float, float], clean: float
    ) -> tuple[str, str]:
        """Whether the word passes its check, and why (not)."""
        low, high = levels
        if abs(evidence) < self.least * abs(clean):
            return "none", f"hiding it moves the score by less than {self.least:.0%} of the score"
        if evidence > high:
            return "for", "hiding it lowers the score more than hiding other regions of its size"
        if evidence < low:
            return "against", (
                "hiding it raises the score, more than hiding other regions of its size"
            )
        return "none", "other regions of its size move the score as much"


def _without(hidden: HiddenImage, masks: Tensor) -> Tensor:
    """The target's value with each of the masks (mask, row, col) hidden, in float64."""
    return hidden.scores(masks, lambda part: (~part)[:, None]).double().cpu()


def _first_without(hidden: HiddenImage, mask: Tensor) -> str | None:
    """The label that comes first with the mask hidden; None where there are no classes."""
    model, rows = hidden.model, torch.tensor([hidden.row], device="cpu")
    with torch.no_grad():
        output = model.trace(hidden.show((~mask)[None, None]), rows=rows).output
    return None if _classless(output) else model.label(int(output[0].argmax()))


def chance_levels(others: Sequence[float]) -> tuple[float, float]:
    """Below and above what a drop counts, of the sorted drops elsewhere: one in 20 may lie beyond.

    Where a word's drop is one like the others it does with a chance of (1 + n // 20) / (n + 1).
    """
    allowed = len(others) // RARE
    return others[allowed], others[-1 - allowed]


def _with_same(told: list[dict[str, Any]], masks: Mapping[str, Area]) -> list[dict[str, Any]]:
    """The facts, those that count with the words that count and stand in the same place, `same`:
    hiding that place hides them all."""

    def same(fact: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        one, two = masks[fact["word"]], masks[other["word"]]
        alike = fact["outcome"] == other["outcome"] in ("for", "against")
        return bool(alike and (one & two).sum() > SAME * (one | two).sum())

    return [
        {**fact, "same": [o["word"] for o in told if o is not fact and same(fact, o)]}
        for fact in told
    ]


def _classless(output: Any) -> bool:
    return not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < 2


def _labels(model: Model, output: Any, target: Target, n: int) -> Iterator[tuple[str, str | None]]:
    """What each picture is explained for, and what the model says first; None for no class."""
    for row, index in enumerate(target.indices(n)):
        if index is None:
            yield repr(replace(target, probability=None)), None
            continue
        first = index if _classless(output) else int(output[row].argmax())
        yield model.label(index), model.label(first)
