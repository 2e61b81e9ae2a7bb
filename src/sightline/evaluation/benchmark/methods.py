"""Who takes part: our own methods by name or group, other libraries' and functions of yours."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from ... import registry
from ...errors import BadField
from ...explainer import Explainer
from ...explainers.outside.names import installed, peers

EVERYBODY = "peers"
"""Stands for the usual methods of those other libraries that are installed."""


def benchmark_methods(words: Sequence[str]) -> list[Explainer]:
    """The methods of these names; `all` and `all-ROOM` are ours, `peers` those of other libraries.

    Raises: UnknownName, BadField for a function that is not there, MissingExtra for a library that
    is named and not installed.
    """
    peers_named = [installed() if word.lower() == EVERYBODY else [word] for word in words]
    names = registry.without_groups("explainer", [name for each in peers_named for name in each])
    if not names:
        raise BadField(
            "no method takes part; name at least one, `all`, or `peers` where captum, grad-cam,"
            " torchcam or zennit is installed."
        )
    return [registry.create("explainer", name) for name in dict.fromkeys(names)]


def peer_versions(methods: Sequence[Explainer]) -> dict[str, str]:
    """The versions of the libraries that take part."""
    found = {}
    for peer in peers():
        if any(isinstance(method, peer) for method in methods):
            try:
                found[peer.package] = version(peer.package)
            except PackageNotFoundError:
                continue
    return found
