"""One explained picture as plain data: what a folder keeps of it and what `--json` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...pages.record import MapEntry, PanelEntry, PictureEntry
from ...views.wording import NARROW, percent
from ..console import finite
from ..results.output_files import FILES, Files

JSON = Mapping[str, Any]  # Any: whatever JSON holds
_BESIDE = (*FILES, "text")  # what stands beside the numbers of a method


@dataclass(frozen=True, kw_only=True)
class MethodRecord:
    """What one method gave for a picture.

    files: what (`overlay`, `arrays`, ...) -> the name of its file, and under `text` what a result
    that is no map says. forward, backward: images through the network. metrics: name -> `value`,
    `direction` and the `nulls`.
    """

    method: str
    error: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    layer: str = ""
    forward: int = 0
    backward: int = 0
    seconds: float | None = None
    metrics: Mapping[str, JSON] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: MapEntry | PanelEntry, files: Mapping[str, str]) -> "MethodRecord":
        """What a page shows of a method, and its files."""
        forward, backward = entry.passes
        return cls(
            method=entry.method.name,
            error=entry.error,
            files=files,
            layer=entry.layer,
            forward=forward,
            backward=backward,
            seconds=entry.seconds,
            metrics={
                m.name: {"value": m.value, "direction": m.direction, "nulls": dict(m.nulls)}
                for m in entry.metrics
            },
        )

    def to_json(self) -> dict[str, Any]:
        """The record with its files in a row with the rest."""
        return {
            "method": self.method,
            "error": self.error,
            **self.files,
            "layer": self.layer,
            "forward": self.forward,
            "backward": self.backward,
            "seconds": self.seconds,
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_json(cls, stored: JSON) -> "MethodRecord":
        """The record that `to_json` wrote."""
        files = {name: stored[name] for name in _BESIDE if name in stored}
        return cls(**{k: v for k, v in stored.items() if k not in _BESIDE}, files=files)

    def in_folder(self, folder: Path) -> "MethodRecord":
        """The same with the places of the files in place of their names."""
        files = {k: str(folder / v) if k in FILES else v for k, v in self.files.items()}
        return replace(self, files=files)


@dataclass(frozen=True, kw_only=True)
class PictureRecord:
    """What was found in one picture, or the reason why it could not be explained.

    summary: the prediction and what was explained, in words. prediction: `label`, `class` (its
    number) and `probability`. top: the most probable labels, each with its `probability`.
    """

    name: str
    error: str = ""
    summary: str = ""
    prediction: JSON | None = None
    target: str = ""
    probability: float | None = None
    top: Sequence[JSON] = ()
    methods: Sequence[MethodRecord] = ()

    @classmethod
    def of(cls, entry: PictureEntry, files: Files) -> "PictureRecord":
        """What a page shows of a picture. files: method -> its files."""
        found = entry.prediction
        return cls(
            name=entry.name,
            error=entry.error,
            summary=_summary(entry),
            prediction=found
            and {"label": found.label, "class": found.index, "probability": found.share},
            target=entry.target,
            probability=entry.probability,
            top=[{"label": label, "probability": share} for label, share in entry.top],
            methods=[
                MethodRecord.of(each, files.get(each.method.name, {}))
                for each in (*entry.maps, *entry.panels)
            ],
        )

    def to_json(self) -> dict[str, Any]:
        """The record as `--json` prints it, null for numbers that JSON does not know."""
        return finite(
            {
                "name": self.name,
                "error": self.error,
                "told": self.summary,
                "prediction": self.prediction,
                "target": self.target,
                "probability": self.probability,
                "top": self.top,
                "maps": [each.to_json() for each in self.methods],
            }
        )

    @classmethod
    def from_json(cls, stored: JSON) -> "PictureRecord":
        """The record that `to_json` wrote."""
        same = ("name", "error", "prediction", "target", "probability", "top")
        return cls(
            **{name: stored[name] for name in same},
            summary=stored["told"],
            methods=[MethodRecord.from_json(each) for each in stored["maps"]],
        )

    def in_folder(self, folder: Path) -> "PictureRecord":
        """The same with the places of its files in place of their names."""
        return replace(self, methods=[each.in_folder(folder) for each in self.methods])


def _summary(entry: PictureEntry) -> str:
    """The prediction first, then what was explained where that is something else."""
    found = [_sentence("Prediction", *entry.predicted)] if entry.predicted else []
    other = [_sentence("Explained", entry.target, entry.probability)] if entry.asked else []
    return " ".join([*found, *other])


def _sentence(word: str, label: str, share: float | None) -> str:
    certain = "" if share is None else f" ({percent(share).replace(NARROW, ' ')})"
    return f"{word}: {label}{certain}."
