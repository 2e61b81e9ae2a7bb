"""The record of an explained picture: what a folder keeps and `--json` prints."""

import json
from pathlib import Path

from sightline.cli.pictures.record import MethodRecord, PictureRecord
from sightline.pages.record import MapEntry, Method, MetricEntry, PanelEntry, PictureEntry
from sightline.targets.words import Predicted

ENTRY = PictureEntry(
    name="bird.png",
    prediction=Predicted(label="lynx", index=3, share=0.97),
    top=(("lynx", 0.97), ("tabby", float("nan"))),
    target="tabby",
    probability=0.02,
    maps=(
        MapEntry(
            method=Method(name="grad-cam", title="Grad-CAM"),
            layer="layer4",
            passes=(1, 1),
            seconds=0.1,
            metrics=(MetricEntry(name="deletion", value=0.1, nulls={"random": float("inf")}),),
        ),
    ),
    panels=(PanelEntry(method=Method(name="sag", title="SAG"), error="no set"),),
)
FILES = {"grad-cam": {"overlay": "bird--grad-cam.png", "text": "three words"}}


def test_what_is_printed_is_plain_data_in_a_layout_that_stays() -> None:
    printed = PictureRecord.of(ENTRY, FILES).to_json()
    assert json.loads(json.dumps(printed, allow_nan=False)) == printed
    assert list(printed) == [
        *("name", "error", "told", "prediction", "target", "probability", "top", "maps")
    ]
    assert printed["told"] == "Prediction: lynx (97 %). Explained: tabby (2 %)."
    assert printed["prediction"] == {"label": "lynx", "class": 3, "probability": 0.97}
    assert printed["top"][1] == {"label": "tabby", "probability": None}
    cam, sag = printed["maps"]
    assert cam == {
        "method": "grad-cam",
        "error": "",
        "overlay": "bird--grad-cam.png",
        "text": "three words",
        "layer": "layer4",
        "forward": 1,
        "backward": 1,
        "seconds": 0.1,
        "metrics": {"deletion": {"value": 0.1, "direction": "higher", "nulls": {"random": None}}},
    }
    assert sag["error"] == "no set" and sag["seconds"] is None


def test_a_record_is_read_back_with_its_files_where_they_lie() -> None:
    printed = PictureRecord.of(ENTRY, FILES).to_json()
    again = PictureRecord.from_json(printed)
    assert again.to_json() == printed and isinstance(again.methods[0], MethodRecord)
    files = again.in_folder(Path("out")).methods[0].files
    assert files == {"overlay": str(Path("out") / "bird--grad-cam.png"), "text": "three words"}
