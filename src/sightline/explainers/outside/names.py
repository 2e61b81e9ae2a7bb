"""Other libraries whose methods have names here: `captum:IntegratedGradients`,
`grad-cam:AblationCAM`, `torchcam:ScoreCAM`, `zennit:EpsilonPlus`.
"""

from importlib.metadata import PackageNotFoundError, version

from ... import registry
from ._peer import Peer


def peers() -> list[type[Peer]]:
    """The adapters of other libraries."""
    return [kind for kind in registry.families("explainer").values() if issubclass(kind, Peer)]


def installed() -> list[str]:
    """What `peers` stands for: the usual methods of those libraries that are installed."""
    found = []
    for peer in peers():
        try:
            version(peer.package)
        except PackageNotFoundError:
            continue
        found += [f"{peer.opening}:{name}" for name in peer.usual]
    return found
