"""A Heatmap draws itself: figure, notebook form, file; and leaves matplotlib as it was."""

import io

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from sightline.explanation import Heatmap
from sightline.views import heatmap


def heat(batch: int = 2, *, sign: float = 1.0, label: str = "wren") -> Heatmap:
    values = sign * torch.rand(batch, 20, 30)
    return Heatmap(
        values,
        images=torch.rand(batch, 3, 20, 30),
        provenance={
            "method": "grad-cam",
            "layer": "layer4",
            "target_label": [label] * batch,
            "probability": [0.9] * batch,
        },
    )


def test_the_figure_shows_picture_and_map_of_every_image() -> None:
    drawn = heat(3).figure()
    assert sum(len(ax.images) == 1 for ax in drawn.axes) == 9  # picture, overlay and bar of each
    drawn.savefig(io.BytesIO(), format="png", dpi=40)


def test_the_figure_says_what_was_done_and_carries_numbers() -> None:
    drawn = heat(1).figure()
    drawn.canvas.draw()
    words = [t.get_text() for t in drawn.findobj(matplotlib.text.Text)]
    assert "grad-cam, layer layer4" in words
    assert any(w.startswith("wren (90") for w in words)
    assert "0" in words and "percentile of the evidence" in words


def test_settings_and_pyplot_are_left_alone() -> None:
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    heat().figure(dark=True, contours=True)
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_given_axes_are_drawn_into() -> None:
    from matplotlib.figure import Figure

    own = Figure()
    axes = own.subplots()
    assert heat().figure(ax=axes, i=1) is own
    assert len(axes.images) == 1


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_the_notebook_form_is_small_self_contained_and_without_script(sign: float) -> None:
    text = heat(sign=sign)._repr_html_()
    assert len(text) < 400_000
    assert "<script" not in text and "http" not in text
    assert text.count("<img") == 4


def test_a_label_cannot_bring_html_into_a_notebook() -> None:
    text = heat(label='<img src=x onerror="alert(1)">')._repr_html_()
    assert "<img src=x" not in text


def test_a_long_batch_is_cut_short_in_a_notebook() -> None:
    assert "4 more" in heat(12)._repr_html_()


def test_the_file_without_a_plate_is_the_overlay_in_the_models_frame() -> None:
    one = heat(1)
    for suffix, form in ((".png", "PNG"), (".jpg", "JPEG")):
        data = heatmap.encoded(one, 0, suffix, caption=False, scale=False)
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == (form, (360, 240))  # enlarged twelve times
    assert (np.asarray(one.pil()) == one.overlay(0)).all()


def test_a_map_without_images_still_has_a_figure() -> None:
    bare = Heatmap(torch.rand(1, 9, 9), provenance={"method": "nobody-knows"})
    assert heatmap.caption(bare, 0) == "nobody-knows."
    bare.figure()
    assert "<img" in bare._repr_html_()
