"""Outside methods by name: `captum:IntegratedGradients`, `grad-cam:AblationCAM`,
`torchcam:ScoreCAM`, `zennit:EpsilonPlus`, `outside:FILE.py:FUNCTION`, each with options after a
question mark: `captum:IntegratedGradients?n_steps=20&internal_batch_size=16`.
"""

from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ...errors import BadField, UnknownName, near
from ...explainer import Explainer
from ._peer import Peer, Setting
from .captum import Captum
from .function import Outside
from .grad_cam import GradCamLibrary
from .torchcam import TorchCam
from .zennit import Zennit

PEERS: tuple[type[Peer], ...] = (Captum, GradCamLibrary, TorchCam, Zennit)
OPENINGS = {**{peer.opening: peer for peer in PEERS}, "outside": Outside}

USUAL = (
    "captum:Saliency",
    "captum:IntegratedGradients",
    "captum:LayerGradCam",
    "captum:Occlusion",
    "grad-cam:GradCAM",
    "grad-cam:ScoreCAM",
    "torchcam:GradCAM",
    "torchcam:ScoreCAM",
    "zennit:EpsilonPlus",
    "zennit:EpsilonPlusFlat",
)
"""What `peers` stands for where each library is installed."""


def family(name: str) -> type[Explainer] | None:
    """The class that makes the methods whose names begin like this one; None for other names."""
    opening, colon, rest = name.strip().partition(":")
    return OPENINGS.get(opening.strip().lower()) if colon and rest else None


def named(name: str, /, **given: Any) -> Explainer:
    """The outside method of that name, with these fields besides.

    Raises: UnknownName for a name of no family or with a field that it has not, MissingExtra where
    the library is not installed, BadField for a function that is not there.
    """
    kind = family(name)
    if kind is None:
        opening = name.partition(":")[0]
        raise UnknownName(
            f"no outside method is called {name!r}{near(opening, OPENINGS)} They begin with"
            f" {', '.join(f'{word}:' for word in OPENINGS)}"
        )
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    rest, _, query = name.strip().partition(":")[2].partition("?")
    options = [_option(each, name) for each in query.split("&") if each]
    if issubclass(kind, Peer):
        own: dict[str, Any] = {k: v for k, v in options if k in ("layer", "seed")}
        own["options"] = tuple((k, v) for k, v in options if k not in own)
        own["method"] = rest
    else:
        own = {"function": rest, **{k: v if k == "seed" else str(v) for k, v in options}}
    for field in {**own, **given}:
        if field not in known:
            raise UnknownName(f"{name} has no field {field!r}{near(field, known)}")
    return kind(**{**own, **given})


def installed() -> list[str]:
    """The usual methods of those libraries that are installed."""
    there = set()
    for peer in PEERS:
        try:
            version(peer.package)
        except PackageNotFoundError:
            continue
        there.add(peer.opening)
    return [name for name in USUAL if name.partition(":")[0] in there]


def _option(text: str, name: str) -> tuple[str, Setting]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadField(f"options follow as ?NAME=VALUE&NAME=VALUE; got {text!r} in {name!r}.")
    return key.strip(), _value(value.strip())


def _value(text: str) -> Setting:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
