"""What came of a search for sets, said in words: every picture has a stated outcome."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from ....model import Model
from ....target import Target
from ._patches import Patches
from ._search import SearchResult

_UNSURE = 0.1  # a class with less than this on the whole picture
_TIE = 1e-6


@runtime_checkable
class Limits(Protocol):
    """What the words need of the method's fields."""

    @property
    def sufficient(self) -> float: ...
    @property
    def coverage(self) -> float: ...
    @property
    def roots(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class ExplainedClass:
    """The class that is explained, and those that the model puts first; None where there is no
    class."""

    label: str | None = None
    probability: float = 1.0
    first: str | None = None
    share: float = 1.0
    level: str | None = None  # another class with exactly the share of the first


def explained_classes(model: Model, images: Tensor, target: Target) -> list[ExplainedClass]:
    """Who is explained in each image, and who came first."""
    output = model.trace(images).output
    wanted = target.indices(len(images))
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < 2:
        return [ExplainedClass() for _ in wanted]
    shares = model.calling.probabilities(output.detach())
    top, order = shares.topk(2, dim=1)
    found = []
    for row, index in enumerate(wanted):
        one, two = order[row].tolist()
        level = model.label(two) if top[row, 0] - top[row, 1] < _TIE else None
        label = None if index is None else model.label(index)
        mine = 1.0 if index is None else float(shares[row, index])
        found.append(
            ExplainedClass(
                label=label,
                probability=mine,
                first=model.label(one),
                share=float(top[row, 0]),
                level=level,
            )
        )
    return found


def endings(
    aim: ExplainedClass, patches: Patches, found: SearchResult, needed: int | None, limits: Limits
) -> tuple[str, list[str]]:
    """`sufficient`, `none` or `fill`, and sentences about what is unusual."""
    notes = _about(aim)
    largest = counted(most(patches, limits))
    if not patches.whole > 0:
        notes.append(
            f"The whole picture scores {patches.whole:.3g}. Shares of a score that is not"
            " positive have no meaning, so no set was searched for. Explain a class, or another"
            " target whose score is positive."
        )
        return "none", notes
    if found.minimal == [0]:
        blank = patches.confidence([0])[0]
        notes.append(
            f"A picture that shows only the fill keeps {_share_text(blank)}, so no patch is needed:"
            " this fill does not hide the class. Try another `fill`."
        )
        return "fill", notes
    if needed is None:
        notes.append(f"No set of up to {largest} was found whose removal destroys the class.")
    if not found.minimal:
        best = patches.confidence([found.best])[0]
        notes.append(
            f"The beam search found no set of up to {largest} that keeps"
            f" {_percent(limits.sufficient)} of the score. The best set keeps {_percent(best)},"
            " and the graph starts there. A wider beam, more `coverage` or another fill may"
            " find one."
        )
        return "none", notes
    if found.full:
        notes.append(f"The search stopped at {limits.roots} minimal sets; there may be more.")
    if found.tied:
        notes.append(
            f"{found.tied} sets tied with the last one that the beam kept and were left out; a"
            " wider beam may find other sets."
        )
    return "sufficient", notes


def most(patches: Patches, limits: Limits) -> int:
    """How many patches a set may have."""
    return max(1, round(limits.coverage * patches.count))


def counted(patches: int) -> str:
    return "1 patch" if patches == 1 else f"{patches} patches"


def _about(aim: ExplainedClass) -> list[str]:
    notes = []
    if aim.level is not None:
        notes.append(f"{aim.first} and {aim.level} share the highest probability.")
    if aim.label is not None and aim.label not in (aim.first, aim.level):
        notes.append(
            f"The model predicts {aim.first} ({_percent(aim.share)}); the sets explain"
            f" {aim.label} ({_percent(aim.probability)})."
        )
    if aim.label is not None and aim.probability < _UNSURE:
        notes.append(
            f"{aim.label} has a probability of only {_percent(aim.probability)} on the whole"
            " picture; a set is sufficient when it keeps most of that."
        )
    return notes


def _share_text(share: float) -> str:
    return "the full score" if share >= 1 else f"{_percent(share)} of the score"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.02 else f"{share:.0%}"
