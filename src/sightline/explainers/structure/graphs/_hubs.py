"""Which sets to record, so that many others differ from one of them by a single patch.

Nothing is asked of a set that is recorded, so it may be any: the one that some were grown from or
reduced to, or one that was never measured.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush


def hubs(sets: Sequence[int], patches: int, gain: float) -> tuple[dict[int, list[int]], list[int]]:
    """For each set to record, those that are one patch away from it; and what is left over.

    gain: how much cheaper a set is beside a recorded one. The set that serves most is taken first,
    and none that would save no work.
    """
    left = dict.fromkeys(sets)
    near: dict[int, list[int]] = {}
    for each in left:
        for patch in range(patches):
            near.setdefault(each ^ 1 << patch, []).append(each)
    waiting = [(-len(some), at, hub) for at, (hub, some) in enumerate(near.items())]
    waiting = [each for each in waiting if _saves(-each[0], gain)]
    heapify(waiting)
    found: dict[int, list[int]] = {}
    while waiting:
        _, at, hub = heappop(waiting)
        some = [each for each in near[hub] if each in left]
        if not _saves(len(some), gain):
            continue
        if waiting and -waiting[0][0] > len(some):  # it promised more than is left of it
            heappush(waiting, (-len(some), at, hub))
            continue
        found[hub] = some
        for each in some:
            del left[each]
    return found, list(left)


def _saves(count: int, gain: float) -> bool:
    return 1 + count / gain < count
