"""Words: which named attributes or parts carried the decision, written as a sentence.

Everything here is a project definition. A word's *evidence* is how far the score falls when its
region of the picture is hidden: measured, never assumed. Its *check* is a comparison with other
regions of the same size, away from it: a word carries the decision where hardly any of these costs
as much (`null`), counts against it where hardly any raises the score as much, and does not matter
otherwise. Only words that pass enter the sentence as reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import NotExplainable, ShapeError
from ..explanation import Explanation

Fact = Mapping[str, Any]  # Any: whatever JSON holds
Piece = tuple[str, str]  # a style ("", "label" or "word") and a text

LONGEST = 48  # characters of a name in a sentence; the facts keep all of it
LISTED = 4  # words that are listed as seen without weight; the rest are counted
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Words(Explanation):
    """Which of the named parts or attributes does the model's prediction depend on?

    called: what each picture was explained for. top: what the model predicts, None where it names
    no class. facts: for each
    picture one mapping per word, in order of its evidence: `word`; `evidence`, the drop of the
    score when its region is hidden; `others`, the drops for regions of the same size elsewhere;
    `null` and `null_low`, the levels that a word must pass on either side; `outcome` (`for`,
    `against`, `none`, or `unchecked` where there was no room for the comparison); `why`, the check
    in words; `region`, a mask as text (`sightline.pictures.areas.decode`), with its `box` x0, y0,
    x1, y1 and its `area` as a share, all in the model's frame; `instead`, the prediction without
    it; `same`, the other words of this outcome whose regions are mostly this one, so that no drop
    can distinguish them; for attributes also `probability`, `contribution` and `map`, a coarse
    class map.
    clean: the score of each whole picture. rivals: the second choice with its probability and what
    of it is missing here, None where there is none. unit: of the evidence. check: the rule, in a
    sentence. sentences: made from the facts.

    Do not trust a word more than its check: where the same evidence appears twice, hiding one copy
    changes nothing, and the blur that hides a region is itself visible to the model.

    >>> fact = {"word": "crest", "evidence": 0.41, "outcome": "for"}
    >>> Words(called=["reedling"], facts=[[fact]]).sentences[0]
    'Prediction: reedling, because of: crest (0.41).'
    """

    whole: ClassVar[tuple[str, ...]] = ("unit", "check")

    called: Sequence[str]
    facts: Sequence[Sequence[Fact]]
    top: Sequence[str | None] = ()
    clean: Sequence[float | None] = ()
    rivals: Sequence[Fact | None] = ()
    unit: str = "probability"
    check: str = ""
    sentences: Sequence[str] = ()

    def __post_init__(self) -> None:
        count = len(self.called)
        if len(self.facts) != count:
            raise ShapeError(f"{len(self.facts)} lists of facts for {count} pictures.")
        defaults = (("top", self.called), ("rivals", [None] * count), ("clean", [None] * count))
        for name, value in defaults:
            if not getattr(self, name):
                object.__setattr__(self, name, list(value))
        told = [plain(self.pieces(i)) for i in range(count)]
        object.__setattr__(self, "sentences", told)

    def __len__(self) -> int:
        return len(self.called)

    def carried(self, i: int = 0) -> list[str]:
        """The words that carry the decision about picture `i`, the strongest first."""
        return [fact["word"] for fact in self.facts[i] if fact["outcome"] == "for"]

    def pieces(self, i: int) -> list[Piece]:
        """The sentence about picture `i`, in pieces with their style."""
        if (reason := self.refused[i]) is not None:
            return [("", f"Not explained: {reason}")]
        return sentence(self.called[i], self.facts[i], self.top[i], self.rivals[i])

    @classmethod
    def nothing(cls, count: int, size: tuple[int, int], like: Any = None) -> "Words":
        """No words, and a sentence that says that there are none."""
        told: dict[str, Any] = {} if like is None else {"unit": like.unit, "check": like.check}
        return cls(
            called=[""] * count,
            facts=[[]] * count,
            top=[None] * count,
            **told,
            provenance={"refused": ["there is no result for this picture."] * count},
        )

    def refused_if_empty(self, method: str, model: str) -> "Words":
        """The result: that no word passes is an answer too. A picture with a measurement that is
        not a finite number is marked as refused.

        Raises: NotExplainable where none is left.
        """
        wrong = [
            next((f for f in facts if not abs(f["evidence"]) < float("inf")), None)
            for facts in self.facts
        ]
        reasons = [
            None
            if fact is None
            else f"{method} on {model} measured {fact['evidence']} for {fact['word']!r}; check"
            " the model's weights and preprocessing."
            for fact in wrong
        ]
        if reasons and None not in reasons:
            raise NotExplainable(reasons[0])
        return self.without(reasons)


def sentence(
    called: str, facts: Sequence[Fact], top: str | None = "", rival: Fact | None = None
) -> list[Piece]:
    """The facts as text, in pieces with a style. called: the label explained; top: the label that
    comes first, where it is another one; None where no class is explained. The order of the facts
    is the order of the words.
    """
    carrying = [f for f in facts if f["outcome"] == "for"]
    against = [f for f in facts if f["outcome"] == "against"]
    idle = [f for f in facts if f["outcome"] == "none"]
    unchecked = [f for f in facts if f["outcome"] == "unchecked"]
    said = _opening(called, called if top == "" else top, carrying, facts)
    if against:
        said += [("", " Evidence against it: "), *_weighed(against), ("", ".")]
    said += _idle(idle)
    if unchecked:
        said += [("", " Too large to be checked: "), *_named(unchecked, "and"), ("", ".")]
    return [*said, *_counter(carrying, rival)]


def plain(pieces: Sequence[Piece]) -> str:
    """The sentence without styles."""
    return "".join(text for _, text in pieces)


def shortened(name: str) -> str:
    """A name that does not drown its sentence: its start and end where it is very long."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 13]}…{name[-12:]}"


def amount(value: float) -> str:
    """`0.41`, `−0.12`, `12`; `under 0.01` for what would look like nothing."""  # noqa: RUF002
    size = abs(value)
    if 0 < size < 0.005:
        return "under 0.01"
    text = f"{size:.2f}" if size < 10 else f"{size:.0f}"
    return f"{_MINUS}{text}" if value < 0 else text


def level(value: float) -> str:
    """The same for the end of a range, where nothing is 0."""
    return amount(round(value, 2) + 0.0)


def _opening(
    called: str, top: str | None, carrying: Sequence[Fact], facts: Sequence[Fact]
) -> list[Piece]:
    if top is None:
        said: list[Piece] = [("", "The value of "), ("label", shortened(called))]
        because = " depends on: "
    elif top == called:
        said = [("", "Prediction: "), ("label", shortened(called))]
        because = ", because of: "
    else:
        said = [
            ("", "Prediction: "),
            ("label", shortened(top)),
            ("", ". Explained: "),
            ("label", shortened(called)),
        ]
        because = ", supported by: "
    if carrying:
        return [*said, ("", because), *_weighed(carrying), ("", ".")]
    if not facts:
        return [*said, ("", ". None of the named parts is visible in this picture.")]
    why = (
        " None of the words explains it: hiding any one changes the score no more than hiding"
        " other regions of its size."
    )
    return [*said, ("", f".{why}")]


def _weighed(facts: Sequence[Fact]) -> list[Piece]:
    """Words with their evidence; those that stand in the same place have that of the first one."""
    said: list[Piece] = []
    left = list(facts)
    while left:
        first, *left = left
        group = [first, *(f for f in left if f["word"] in first.get("same", ()))]
        left = [f for f in left if f not in group]
        place = ", same place" if len(group) > 1 else ""
        said += [("", ", ")] if said else []
        said += [*_named(group, "and"), ("", f" ({amount(first['evidence'])}{place})")]
    return said


def _idle(idle: Sequence[Fact]) -> list[Piece]:
    if not idle:
        return []
    shown = idle[:LISTED]
    were = "were" if len(idle) > 1 or _plural(idle[0]["word"]) else "was"
    rest = len(idle) - len(shown)
    names = _named(shown, "and") if not rest else [*_named(shown, ""), ("", f" and {rest} more")]
    return [("", " The "), *names, ("", f" {were} checked but did not matter.")]


def _named(facts: Sequence[Fact], word: str) -> list[Piece]:
    said: list[Piece] = []
    for k, fact in enumerate(facts):
        last = k == len(facts) - 1
        said += [("", f" {word} " if last and word else ", ")] if k else []
        said += [("word", shortened(fact["word"]))]
    return said


def _counter(carrying: Sequence[Fact], rival: Fact | None) -> list[Piece]:
    """What would be predicted instead, and what the second choice lacks here."""
    said: list[Piece] = []
    turned = next((f for f in carrying if f.get("instead")), None)
    if turned is not None:
        word: Piece = ("word", shortened(turned["word"]))
        said += (
            [("", " Without that place")] if turned.get("same") else [("", " Without the "), word]
        )
        said += [("", " the prediction would be "), ("label", shortened(turned["instead"]))]
        said += [("", ".")]
    if rival is not None and rival.get("lacks"):
        said += [("", " The second choice, "), ("label", shortened(rival["label"]))]
        lacks = [{"word": word} for word in rival["lacks"]]
        said += [("", ", lacks: "), *_named(lacks, "and"), ("", ".")]
    return said


def _plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith("ss")
