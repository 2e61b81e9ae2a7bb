"""Weights by name: from the cache or the network, with one clear error where neither works."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants

from ..errors import BadModel, SightlineError

Made = TypeVar("Made")


def fetched(make: Callable[[], Made], name: str, remedy: str) -> Made:
    """What `make` returns.

    **Raises:** `BadModel` with the reason and the remedy when it cannot be had.
    """
    try:
        with _no_waiting():
            return make()
    except SightlineError:
        raise
    except Exception as problem:  # each library has its own errors for this
        reason = next((line for line in str(problem).splitlines() if line.strip()), "")
        raise BadModel(
            f"the weights of {name} are not in the cache and could not be fetched "
            f"({type(problem).__name__}: {reason[:160]}). {remedy}"
        ) from None


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Without a network, the cache is asked at once instead of after half a minute of retries."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(address: str) -> bool:
    if getproxies():  # a proxy resolves names for us
        return True
    try:
        return bool(socket.getaddrinfo(urlsplit(address).hostname, 443))
    except OSError:
        return False
