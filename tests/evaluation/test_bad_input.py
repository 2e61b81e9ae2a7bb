"""A collection's faults are said in the table, and the rest goes on; the table as a frame."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.errors import MissingExtra, SightlineWarning
from sightline.worlds import analytic


@pytest.fixture(scope="module")
def model() -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    return sl.Model(net, sl.Preprocess(size=8), labels=["cat", "dog"])


def test_boxes_outside_the_picture_and_missing_labels_are_said(
    model: sl.Model, tmp_path: Path
) -> None:
    for name in "abc":
        Image.new("RGB", (12, 10), (90, 120, 30)).save(tmp_path / f"{name}.png")
    (tmp_path / "all.csv").write_text(
        "path,label,box\na.png,cat,40 40 50 50\nb.png,cow,1 1 5 5\nc.png,,1 1 5 5\n"
    )
    pointing = sl.create("metric", "pointing")
    with pytest.warns(SightlineWarning, match="'cow'"):
        table = sl.evaluate(model, tmp_path / "all.csv", ["gradient"], [pointing], tmp_path / "o")
    first, second = table.errors
    assert "a.png, gradient: the box x0,y0,x1,y1 = 40,40,50,50 lies outside" in first
    assert second.startswith("b.png") and "'cow'" in second
    assert "without a label: 1" in table.notes[0]


@pytest.mark.slow
def test_one_corrupt_picture_in_a_thousand_is_one_line(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for k in range(1000):
        level = (k % 250, k // 250, 9)
        Image.new("RGB", (9, 9), level).save(tmp_path / "all" / f"{k:03d}.png")
    (tmp_path / "all" / "500.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    metric = sl.create("metric", "complexity")
    table = sl.evaluate(model, tmp_path / "all", ["gradient"], [metric], tmp_path / "o")
    (error,) = table.errors
    assert error.startswith("500.png")
    assert sum(r["value"] is not None for r in table.rows if not r["blind"]) == 999


def test_a_frame_holds_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = list(torch.rand(2, 3, 6, 7))
    table = sl.evaluate(analytic.linear().model, pictures, ["gradient"], ["complexity"], tmp_path)
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(MissingExtra, match="pip install pandas"):
            table.to_pandas()
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = table.to_pandas()
    assert list(frame["value"]) == [r["value"] for r in table.rows]
    assert list(frame.columns) == list(table.rows[0])
