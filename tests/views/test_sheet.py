"""Several explanations side by side, and results that are no maps on the whole photograph."""

import io
from typing import Any

import matplotlib.text
import numpy as np
import pytest
import torch

import sightline as sl
from sightline import registry
from sightline.errors import BadField, ShapeError, UnknownName
from sightline.explanation import Explanation
from sightline.explanations.chain import Chain
from sightline.pictures.areas import encode
from sightline.pictures.preprocess import Frame
from sightline.pictures.reading import Picture
from sightline.views.overlay import plate, sheet
from sightline.views.overlay.photograph import kept_of, photograph

ARRAY = np.random.default_rng(0).integers(90, 200, (100, 200, 3), dtype=np.uint8)
FRAME = Frame((100, 200), (32, 32), (50, 0, 150, 100))  # the middle 100 x 100
SEEN: dict[str, Any] = {
    "images": torch.rand(1, 3, 32, 32),
    "pictures": [Picture(ARRAY, "x.png")],
    "frames": [FRAME],
}


def _heat(
    method: str = "grad-cam", *, count: int = 1, sign: float = 0.0, **told: Any
) -> sl.Heatmap:
    facts = {"method": method, "target_label": ["wren"] * count, "probability": [0.9] * count}
    return sl.Heatmap(
        torch.rand(count, 32, 32, generator=torch.Generator().manual_seed(1)) - sign,
        images=torch.rand(count, 3, 32, 32),
        provenance={**facts, **told},
    )


def _regions() -> sl.Regions:
    told = {"method": "sag", "target_label": ["wren"], "probability": [0.9]}
    node = {"cells": [[0, 1]], "confidence": 0.95, "root": True}
    return sl.Regions(
        grid=(2, 2),
        minimal=[[[(0, 1)]]],
        confidences=[[0.95]],
        outcome=["sufficient"],
        links=[{"nodes": [node], "edges": []}],
        provenance=told,
        **SEEN,
    )


def _words(figure: Any) -> list[str]:
    figure.canvas.draw()
    texts = [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
    return [text.replace("\u202f", " ").replace("\xa0", " ") for text in texts if text]


def test_methods_stand_in_columns_and_pictures_in_rows() -> None:
    drawn = sl.figure([_heat(count=3), _heat("gradient", count=3)])
    assert len([ax for ax in drawn.axes if ax.images]) == 3 * 3 + 1  # and one bar for all rows
    words = _words(drawn)
    assert {"picture", "grad-cam", "gradient"} <= set(words)
    assert words.count("wren (90 %)") == 3
    drawn.savefig(io.BytesIO(), format="png", dpi=30)


def test_the_scale_of_a_row_is_one_and_is_said() -> None:
    both = [_heat(), _heat("gradient", sign=0.5)]
    words = " ".join(_words(sl.figure(both)))
    assert "percentile of each map's own evidence" in words and "for 100 %" in words
    shared = sl.figure([_heat(count=2), _heat("rise", count=2)], scale="shared")
    words = _words(shared)
    assert (
        " ".join(words).count("on one range") == 2
        and words.count("raw values, one range for all") == 2
    )
    own = " ".join(_words(sl.figure([_heat()], scale="per-image")))
    assert "lowest highest" in own and "own range" in own and " to 1" in own
    assert "Colour is" not in " ".join(_words(sl.figure(both, scale=False)))


def test_columns_of_one_method_are_told_apart_by_layer_or_model() -> None:
    one, two = _heat(layer="a", model="m"), _heat(layer="b", model="m")
    assert sheet._titles([one, two, _heat("rise")]) == [
        "grad-cam, layer a",
        "grad-cam, layer b",
        "rise",
    ]
    assert sheet._titles([_heat(model="m"), _heat(model="n")]) == ["grad-cam, m", "grad-cam, n"]
    assert {"left", "right"} <= set(_words(sl.figure([one, two], titles=["left", "right"])))


def test_targets_that_differ_stand_below_their_own_column() -> None:
    other = _heat("gradient", target_label=["robin"])
    words = _words(sl.figure([_heat(), other]))
    assert words.count("wren (90 %)") == words.count("robin (90 %)") == 1
    assert "robin (90 %)" not in _words(sl.figure([_heat(), other], caption=False))


def test_kinds_are_mixed_and_each_says_what_it_found() -> None:
    drawn = sl.figure([_heat(), _regions()], style=dict(colormap="viridis"), dark=True)
    words = " ".join(_words(drawn))
    assert "sag" in words and "patches is enough for wren" in words
    drawn.savefig(io.BytesIO(), format="png", dpi=30)


def test_one_explanation_and_a_refused_picture_have_a_figure_too() -> None:
    sl.figure(_heat())
    gone = sl.Heatmap(torch.full((1, 32, 32), torch.nan), provenance={"refused": ["dark."]})
    assert any("No result: dark." in word for word in _words(sl.figure([_heat(), gone])))


def test_what_makes_no_figure_is_an_error() -> None:
    for wrong in ([], "grad-cam", [1], None):
        with pytest.raises(BadField, match=r"made of explanations; got"):
            sl.figure(wrong)
    with pytest.raises(ShapeError, match="of 1, 2 pictures"):
        sl.figure([_heat(), _heat(count=2)])
    with pytest.raises(BadField, match="1 titles came for 2"):
        sl.figure([_heat(), _heat()], titles=["one"])
    with pytest.raises(BadField, match="at most 16 of 40"):
        sl.figure([_heat()] * 17)
    with pytest.raises(UnknownName, match="a style has no 'color'"):
        sl.figure(_heat(), style={"color": "red"})
    with pytest.raises(BadField, match="scale='best'"):
        sl.figure(_heat(), scale="best")


def test_patches_are_kept_where_they_lie_in_the_photograph() -> None:
    found = _regions()
    photo = photograph(found, 0)  # 100 x 200, enlarged twice
    shown = registry.view(sl.Regions, "tile")(found, 0, photo)
    bright = (shown == photo.pixels).all(-1)
    rows, cols = np.nonzero(bright)
    assert (rows.min(), rows.max()) == pytest.approx((0, 99), abs=3)  # the upper right quarter
    assert (cols.min(), cols.max()) == pytest.approx((200, 299), abs=3)
    assert bright.mean() == pytest.approx(100 * 100 / (200 * 400), rel=0.06)


def test_the_figure_of_patches_shows_the_whole_photograph() -> None:
    drawn = _regions().figure()
    assert drawn.axes[0].images[0].get_array().shape == (200, 400, 3)
    assert [t.get_text() for t in drawn.axes[0].get_xticklabels()] == ["A", "B"]
    assert drawn.axes[0].get_xticks() == pytest.approx([150, 250])


def test_a_region_of_words_lies_in_the_photograph() -> None:
    mask = np.zeros((32, 32), bool)
    mask[:16, :16] = True
    photo = photograph(_regions(), 0)
    kept = kept_of(photo, mask)
    assert kept[50, 150] and not kept[50, 250] and not kept[150, 150] and not kept[50, 50]
    assert isinstance(encode(mask), str)


def test_every_kind_that_is_no_map_has_a_tile() -> None:
    registry.discover_kinds()
    kinds = [k for k in Explanation.__subclasses__() if k.__module__.startswith("sightline.")]
    assert {Chain, sl.Regions, sl.Words} <= set(kinds)
    for kind in kinds:
        assert kind is sl.Heatmap or callable(registry.view(kind, "tile"))


def test_questions_stand_as_a_list_with_their_answers() -> None:
    few = plate.listed([("1. Is the wing blue?", "yes")], (120, 300))
    more = plate.listed([("1. Is the wing blue?", "yes"), ("2. A crest? " * 20, "no")], (120, 300))
    assert few.shape == more.shape == (120, 300, 3)
    first, second = few[:28] != 255, (more != few)[28:]
    assert first.any() and second.any() and (few[:26] == more[:26]).all()
