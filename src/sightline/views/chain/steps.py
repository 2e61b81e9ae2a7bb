"""The rows of a chain: a question, its answer and what is believed after it, as escaped HTML."""

from collections.abc import Iterable

from markupsafe import Markup

from ...explanations.chain import (
    ALL_ASKED,
    CERTAIN,
    CONTRADICTION,
    LIMIT,
    NOTHING_LEFT,
    SURE,
    Chain,
)
from ..wording import counted, number, percent

FOLDED = 12  # more questions than these are folded away
_UNSURE = 0.75
_ENDED = {
    SURE: "The chain ended because the probability stayed above the set limit.",
    CERTAIN: "The chain ended because no uncertainty was left.",
    NOTHING_LEFT: "The chain ended because no remaining question was expected to add information.",
    ALL_ASKED: "The chain ended because every question had been asked.",
    LIMIT: "The chain ended at the set number of questions.",
    CONTRADICTION: "The chain ended because no class fits all of the answers together.",
}


def finding(chain: Chain, row: int) -> str:
    """The class that the chain leads to, and the model's own."""
    last, end = chain.posterior[row][-1], chain.prediction[row]
    count = counted(len(chain.asked[row]), "question")
    said = f"After {count}, the chain predicts {chain.classes[end]} ({percent(last[end])})."
    seen = chain.model_class[row] if chain.model_class else None
    if seen is None:
        return said
    if seen == end:
        return f"{said} The model predicts the same."
    return f"{said} The model predicts {chain.classes[seen]}."


def ending(chain: Chain, row: int) -> str:
    """Why the chain ended, and how many answers have a low confidence."""
    told = _ENDED.get(chain.reason[row], "") if chain.reason else ""
    unsure = sum(s < _UNSURE for s in chain.sureness[row]) if chain.sureness else 0
    if not unsure:
        return told
    was = "was" if unsure == 1 else "were"
    return (
        f"{told} {unsure} of {counted(len(chain.asked[row]), 'answer')} {was} read with less than"
        f" {percent(_UNSURE)} confidence."
    )


def steps(chain: Chain, row: int) -> Markup:
    """All rows, the later ones of a long chain folded away."""
    count = len(chain.asked[row])
    rows = [_row(chain, row, step) for step in range(count)]
    first = Markup('<ol class="chain">{}{}</ol>').format(
        _before(chain, row), Markup("").join(rows[:FOLDED])
    )
    if count <= FOLDED:
        return first
    return first + Markup(
        '<details class="chain-more"><summary>{} more</summary><ol class="chain">{}</ol></details>'
    ).format(counted(count - FOLDED, "question"), Markup("").join(rows[FOLDED:]))


def leaders(chain: Chain, row: int, step: int, most: int = 2) -> list[int]:
    """The classes that are believed in most at a step, and the one that the chain ends at."""
    belief = chain.posterior[row][step]
    order = sorted(range(len(belief)), key=lambda k: (-belief[k], k))[:most]
    end = chain.prediction[row]
    return order if end in order else [*order, end]


def _before(chain: Chain, row: int) -> Markup:
    return Markup(
        '<li class="chain-before"><span></span><span class="chain-asked">Before any question</span>'
        '<span class="chain-said"></span>{}</li>'
    ).format(_beliefs(chain, row, 0))


def _row(chain: Chain, row: int, step: int) -> Markup:
    gain = chain.gains[row][step] if chain.gains else None
    sure = chain.sureness[row][step] if chain.sureness else 1.0
    answer = chain.answers[row][step]
    notes = [f"expected information {_nats(gain)}"] if gain is not None else []
    if sure < 1:
        notes += [f"answer confidence {percent(sure)}"]
    doubtful = " chain-doubtful" if sure < _UNSURE else ""
    said = _pattern(answer, chain.side) if chain.grid else Markup(answer)
    thumb = _revealed(chain, row, step) if chain.grid and chain.known else Markup("")
    return Markup(
        '<li class="{}"><span class="chain-n">{}</span><span class="chain-asked">{}<span>{}'
        '<small>{}</small></span></span><span class="chain-said">{}</span>{}</li>'
    ).format(
        f"chain-{answer if not chain.grid else 'patch'}{doubtful}",
        step + 1,
        thumb,
        chain.question(row, step),
        ", ".join(notes),
        said,
        _beliefs(chain, row, step + 1),
    )


def _nats(gain: float) -> str:
    return f"{number(gain)} nats" if gain >= 1e-3 else "under 0.001 nats"


def _beliefs(chain: Chain, row: int, step: int) -> Markup:
    belief, end = chain.posterior[row][step], chain.prediction[row]
    bars = [
        Markup(
            '<span class="chain-class{}"><span>{}</span><span class="chain-share">{}</span>'
            '<span class="chain-bar"><span style="width:{:.1f}%"></span></span></span>'
        ).format(
            " chain-end" if k == end else "", chain.classes[k], percent(belief[k]), 100 * belief[k]
        )
        for k in leaders(chain, row, step)
    ]
    return Markup('<span class="chain-belief">{}</span>').format(Markup("").join(bars))


def _pattern(bits: str, side: int) -> Markup:
    """A patch as it was found, white where bright."""
    cells = (divmod(i, side) for i, bit in enumerate(bits) if bit == "1")
    return Markup(
        '<svg class="chain-pattern" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">'
        '<rect class="dark" width="{0}" height="{0}"/><path class="bright" d="{2}"/></svg>'
    ).format(side, f"patch {bits}", _squares(cells))


def _revealed(chain: Chain, row: int, step: int) -> Markup:
    """The picture as far as it is known after a step, and the patch that was asked for."""
    assert chain.grid is not None
    rows, cols = chain.grid
    seen = set()
    for number_ in chain.asked[row][: step + 1]:
        top, left = chain.corner(number_)
        seen |= {(top + i, left + j) for i in range(chain.side) for j in range(chain.side)}
    bright = {cell for cell in seen if chain.known[row][cell[0] * cols + cell[1]] == "1"}
    top, left = chain.corner(chain.asked[row][step])
    return Markup(
        '<svg class="chain-frame" viewBox="0 0 {0} {1}" role="img" aria-label="known so far">'
        '<rect class="unknown" width="{0}" height="{1}"/><path class="dark" d="{2}"/>'
        '<path class="bright" d="{3}"/><rect class="asked" x="{4}" y="{5}" width="{6}"'
        ' height="{6}"/></svg>'
    ).format(cols, rows, _squares(seen - bright), _squares(bright), left, top, chain.side)


def _squares(cells: Iterable[tuple[int, int]]) -> str:
    return "".join(f"M{col} {row}h1v1h-1z" for row, col in sorted(cells))
