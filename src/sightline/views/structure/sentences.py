"""What was found in a picture's sets of patches, as sentences; and which set they speak of.

One set is in the headline, in the large picture and on the left of the graph: the best minimal set
that the graph starts from. The graph starts from sets that share few patches, so this need not be
the smallest of all.
"""

from collections.abc import Sequence
from typing import Any

from ...explanations.regions import Cells, Regions, ordered
from ..wording import counted, percent
from . import drawing


def shown_first(regions: Regions, row: int) -> int:
    """The number of the node that is shown first: the root of the graph that stands first among
    the minimal sets; the first root where none is minimal."""
    nodes = regions.links[row]["nodes"]
    roots = {ordered(node["cells"]): k for k, node in reversed([*enumerate(nodes)]) if node["root"]}
    minimal = (ordered(each) for each in regions.minimal[row])
    return next((roots[each] for each in minimal if each in roots), min(roots.values(), default=0))


def whole(regions: Regions, row: int) -> float | None:
    """The whole picture's probability of what is explained; None where it is not known."""
    found = _nth(regions.provenance.get("probability"), row)
    return found if isinstance(found, float) and 0 < found <= 1 else None


def finding(regions: Regions, row: int = 0) -> str:
    """What was found in one picture, as one or two sentences."""
    sets, label = regions.minimal[row], _nth(regions.provenance.get("target_label"), row)
    of = f" for {label}" if label is not None else ""
    if regions.outcome[row] == "fill":
        return f"No patch is needed{of}: the fill alone is enough."
    if not sets:
        return f"No set of patches was found that is enough{of}."
    cells, confidence = leading(regions, row)
    rows, cols = regions.grid
    told = (
        f"is {percent(len(cells) / (rows * cols))} of the picture and keeps"
        f" {drawing.share_left(confidence, whole(regions, row))}."
    )
    if len(sets) == 1:
        return f"One set of patches is enough{of}: {drawing.which(cells)}; it {told}"
    named = f"{_standing(cells, sets)} ({drawing.which(cells)})"
    return f"Any one of {len(sets)} sets of patches is enough{of}; {named} {told}"


def counting(regions: Regions, row: int) -> str:
    """How many sets of what size, how they overlap, and what is necessary."""
    sets = regions.minimal[row]
    sentences = []
    if any(sets):
        count = regions.take([row]).counts()[0]
        low, high = min(count["sizes"]), max(count["sizes"])
        size = drawing.counted(low) if low == high else f"{low} to {drawing.counted(high)}"
        sentences.append(f"{counted(len(sets), 'minimal set')} of {size}.")
        if len(sets) > 1:
            most = [count[f"overlap {o}"] for o in (0, 1, 2)]
            sentences.append(
                f"Largest group of sets that share no patch: {most[0]}; at most one patch:"
                f" {most[1]}; at most two patches: {most[2]}."
            )
    needed, left = regions.necessary[row], regions.remaining[row]
    if needed is not None and left is not None:
        meets = {
            True: " Every sufficient set contains at least one of these patches.",
            None: "",
        }.get(
            regions.agree[row],
            " Not every sufficient set contains one of these patches: the patches interact.",
        )
        remains = percent(min(max(left, 0.0), 1.0))
        names = drawing.names(ordered(needed))
        sentences.append(f"Without {names} only {remains} of the score is left.{meets}")
    measured = regions.evaluations[row]
    sentences.append(f"{counted(measured, 'picture')} {'was' if measured == 1 else 'were'} scored.")
    return " ".join(sentences)


def leading(regions: Regions, row: int) -> tuple[Cells, float]:
    """The set that is shown first, and the share of the score that it keeps."""
    nodes = regions.links[row]["nodes"]
    if not nodes:
        kept = regions.confidences[row]
        return ordered(regions.minimal[row][0]), kept[0] if kept else 1.0
    node = nodes[shown_first(regions, row)]
    return ordered(node["cells"]), node["confidence"]


def _standing(cells: Cells, sets: Sequence[Any]) -> str:
    """What a set is among all: `the smallest` only where it is."""
    least = min(map(len, sets))
    level = sum(len(each) == least for each in sets)
    if len(cells) > least:
        return "the one shown first"
    return "the smallest" if level == 1 else f"one of the {level} smallest"


def _nth(values: Any, i: int) -> Any:
    return values[i] if isinstance(values, (list, tuple)) and i < len(values) else None
