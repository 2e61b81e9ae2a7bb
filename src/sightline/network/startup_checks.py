"""What start-up checks found out about a network as it is now, so that each is made once."""

from collections.abc import Hashable
from threading import Lock
from typing import Any


class StartupChecks:
    """Findings by topic and key; the engine that owns them forgets all when the weights change.

    A topic belongs to the file that names it: how far bfloat16 moves a method's map, which windows
    may be computed incrementally, whether a part of the network is affine.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: dict[str, dict[Hashable, Any]] = {}

    def get(self, topic: str, key: Hashable, otherwise: Any = None) -> Any:
        """What was found, or `otherwise`."""
        return self._found.get(topic, {}).get(key, otherwise)

    def put(self, topic: str, key: Hashable, finding: Any, most: int | None = None) -> Any:
        """Remembers a finding and gives it back; of `most` of a topic the latest stay."""
        with self._lock:
            known = self._found.setdefault(topic, {})
            known[key] = finding
            while most is not None and len(known) > most:
                del known[next(iter(known))]
        return finding

    def of(self, topic: str) -> list[Any]:
        """All findings of a topic, the latest last."""
        with self._lock:
            return list(self._found.get(topic, {}).values())

    def forget(self) -> None:
        """Nothing is known of a network whose weights have changed."""
        with self._lock:
            self._found = {}
