"""How many processes like this one does the machine hold?"""

import os
import sys
from pathlib import Path

_SHARE = 0.8  # of the free memory, so that the machine stays usable


def cores() -> int:
    """Cores that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def fitting(most: int) -> int:
    """At most `most` processes, each as large as this one has been; at least one."""
    free = _free()
    try:
        import resource
    except ImportError:  # Windows
        return most
    if free is None:
        return most
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    return max(1, min(most, int(_SHARE * free / max(peak, 1))))


def _free() -> int | None:
    """Bytes that can be had without swapping, or None where the system does not say."""
    found = [_within_container()]
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        table = dict(line.split(":", 1) for line in lines)
        found.append(int(table["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    known = [n for n in found if n is not None]
    return min(known) if known else None


def _within_container() -> int | None:
    room = Path("/sys/fs/cgroup")
    try:
        limit = int((room / "memory.max").read_text("ascii"))
        return limit - int((room / "memory.current").read_text("ascii"))
    except (OSError, ValueError):  # no container, or `max`
        return None
