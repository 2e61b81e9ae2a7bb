"""Several maps that carry the evidence together, where no single one does.

An encoder that runs twice, or two encoders that are joined late (colour and depth, before and
after): everything passes one of a few maps, and what each adds can be summed where they lie on one
grid.
"""

from collections.abc import Callable, Sequence

from ..tracing.prefix_replay import JOINT
from .autograd_paths import Paths
from .groups import Group, large
from .locality import same_places
from .recording import RecordedTensor

_STREAMS = 4  # maps that may carry the evidence together
_TRIES = 40  # sets of them to try


def latest_streams(
    paths: Paths,
    groups: Sequence[Group],
    size: tuple[int, int],
    reached: Callable[[Sequence[Group]], list[Group]],
) -> list[Group]:
    """The fewest of these maps that are a cut together and receive a gradient, of such sets the one
    nearest to the output; none where it takes one, or more than a few.

    size: of the picture. reached: those of some maps that the gradient reaches.
    """
    for least in (4, 2, 1):
        left = {g.edge: g for g in groups if large(g.grid, size, least)}
        for _ in range(_TRIES):
            found = paths.latest_cut(left, _STREAMS)
            if found is None:
                break
            alive = {g.edge for g in reached([left[e] for e in found])}
            if len(alive) == len(found):
                streams = sorted((left[e] for e in found), key=lambda g: g.first.time)
                return streams if len(streams) > 1 else []
            left = {e: g for e, g in left.items() if e in alive or e not in found}
    return []


def repeated(paths: Paths, groups: Sequence[Group], joint: Sequence[Group]) -> list[str]:
    """Modules that run several times before `joint` and carry everything in all their calls
    together, as joined addresses, the latest first.
    """
    runs: dict[str, list[RecordedTensor]] = {}
    for group in groups:
        if group.first.time < joint[-1].first.time and group not in joint:
            for seen in group.members:
                runs.setdefault(seen.call.name, []).append(seen)
    found = []
    for name, calls in runs.items():
        edges = {s.edge for s in calls if s.edge is not None}
        if len(edges) > 1 and paths.are_cut(edges):
            found.append(JOINT.join(f"{name}:{s.call.index}" for s in calls))
    return found[::-1]


def aligned(streams: Sequence[RecordedTensor]) -> bool:
    """Whether these maps lie on one grid: as large as one another, the same part of the picture at
    the same place, not turned over.
    """
    first = streams[0].layout
    for seen in streams:
        if first is None or seen.layout is None or not seen.layout.verified:
            return False
        if (seen.layout.style, seen.layout.grid) != (first.style, first.grid):
            return False
        if seen.moved is None or streams[0].moved is None:
            return False
        if not same_places(seen.moved, streams[0].moved, first.style):
            return False
    return True
