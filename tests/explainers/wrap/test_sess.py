"""SESS: its windows counted, its fusion written with loops, two far copies of one thing."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create
from sightline.errors import BadField, NotExplainable
from sightline.explainers.wrap._windows import Fusion, Window, scale_windows, stretched
from sightline.ops.blur import gaussian_blur
from sightline.ops.resize import resize
from sightline.targets.structured import Region, Unit
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]
GROWTH = 64 / 224


@pytest.mark.parametrize(("scales", "count"), [(1, 1), (2, 5), (5, 22), (12, 122)])
@pytest.mark.parametrize("size", [(224, 224), (128, 128), (32, 48), (384, 384)])
def test_windows_are_as_many_as_the_paper_s(scales: int, count: int, size: tuple[int, int]) -> None:
    found = scale_windows(size, scales, GROWTH)
    assert len(found) == count
    for window in found:
        top, left, bottom, right = window.corners
        assert (bottom - top, right - left) == size
        assert top >= 0 and left >= 0 and bottom <= window.size[0] and right <= window.size[1]
    sides = [224 + 64 * t for t in range(scales)]
    if size == (224, 224):
        assert sorted({w.size[0] for w in found}) == sides


def test_windows_cover_each_scale_and_the_last_is_shifted_back_inside() -> None:
    for scale in range(5):
        found = [w for w in scale_windows((20, 30), 5, GROWTH) if w.size[0] == found_rows(scale)]
        covered = torch.zeros(found[0].size)
        for window in found:
            window.cut(covered[None, None]).add_(1)
        assert covered.min() >= 1
    last = scale_windows((224, 224), 2, GROWTH)[1:]
    assert [w.corners for w in last] == [
        (0, 0, 224, 224), (0, 64, 224, 288), (64, 0, 288, 224), (64, 64, 288, 288),
    ]  # fmt: skip


def found_rows(scale: int) -> int:
    return round(20 * (1 + GROWTH * scale))


def test_a_constant_map_is_stretched_to_zero_not_to_nan() -> None:
    maps = torch.stack(
        [torch.full((3, 4), 0.7), torch.arange(12.0).view(3, 4) - 5, torch.zeros(3, 4)]
    )
    found = stretched(maps)
    assert found[0].eq(0).all() and found[2].eq(0).all()
    assert found[1].min() == 0 and found[1].max() == 1


def test_without_enlarging_and_blur_it_is_the_stretched_map_of_the_method() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    for name in ("grad-cam", "gradient", "occlusion"):
        base = create("explainer", name)(model, images, [0, 3, 4])
        for fusion in ("mean", "max"):
            explain = create(
                "explainer", "sess", explainer=name, scales=1, smooth=False, fusion=fusion
            )
            heat = explain(model, images, [0, 3, 4])
            assert_close(heat.values, stretched(base.values), atol=1e-5, rtol=1e-4)
            native = resize(base.native[:, None], CNN.size)[:, 0]
            assert_close(heat.native, native, atol=1e-6, rtol=1e-4)


def loops(
    model: Model, image: Tensor, index: int, fusion: str, least: float, prefilter: float
) -> Tensor:
    """The card's equations for one picture, window by window, nothing streamed."""
    size = tuple(image.shape[1:])
    maps, scores, places = [], [], []
    for window in scale_windows(size, 3, GROWTH):
        piece = window.cut(resize(image[None], window.size)).contiguous()
        scores.append(model.probabilities(piece)[0, index].item())
        found = create("explainer", "grad-cam")(model, piece, index).values[0].double()
        low, high = found.min(), found.max()
        maps.append((found - low) / (high - low) if high > low else torch.zeros_like(found))
        places.append(window)
    kept = sorted(range(len(maps)), key=lambda p: -scores[p])[
        : len(maps) - int(prefilter * len(maps))
    ]
    weighted = []
    for p in kept:
        canvas = torch.zeros(1, 1, *places[p].size, dtype=torch.float64)
        places[p].cut(canvas)[:] = maps[p] * scores[p] / max(scores)
        weighted.append(resize(canvas, size)[0, 0])
    values = torch.stack(weighted)
    if fusion == "max":
        return values.amax(0).float()
    result = torch.zeros(size, dtype=torch.float64)
    for i in range(size[0]):
        for j in range(size[1]):
            seen = [v for v in values[:, i, j].tolist() if v > least]
            result[i, j] = sum(seen) / len(seen) if seen else 0
    return result.float()


@pytest.mark.parametrize(
    ("fusion", "threshold", "prefilter"),
    [
        ("mean", 0.0, 0.0),
        ("max", 0.0, 0.0),
        ("mean", 0.3, 0.0),
        ("mean", 0.0, 0.5),
        ("max", 0.2, 0.3),
    ],
)
def test_it_is_the_paper_s_fusion(fusion: str, threshold: float, prefilter: float) -> None:
    net = CNN()
    with torch.no_grad():
        net.head.weight *= 8
    model, images = Model(net, size=CNN.size), torch.rand(2, 3, *CNN.size)
    explain = create(
        "explainer", "sess", scales=3, growth=GROWTH, smooth=False,
        fusion=fusion, threshold=threshold, prefilter=prefilter,
    )  # fmt: skip
    heat = explain(model, images, [0, 3])
    for i, index in enumerate([0, 3]):
        expected = loops(model, images[i], index, fusion, threshold, prefilter)
        assert_close(heat.values[i], expected, atol=1e-4, rtol=1e-3)
    assert heat.windows.tolist() == [9 - int(9 * prefilter)] * 2
    scored = 9 if threshold or prefilter else 0  # else scores and maps come from one pass
    kept = 9 - int(9 * prefilter)
    spent = {"forward": 2 * (1 + scored + kept), "backward": 2 * kept}
    assert heat.provenance["evaluations"] == spent


def test_the_blur_is_the_paper_s_at_224_and_in_proportion_elsewhere() -> None:
    for side, kernel in ((224, 11), (112, 5)):
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        model, images = Model(net, size=side), torch.rand(1, 3, side, side)
        sharp = create("explainer", "sess", scales=2, smooth=False)(model, images, 1)
        blurred = create("explainer", "sess", scales=2)(model, images, 1)
        expected = gaussian_blur(sharp.values[:, None], kernel, 5 * side / 224)[:, 0]
        assert_close(blurred.values, expected)
        assert blurred.values.min() >= 0 and blurred.values.max() <= 1
        assert torch.equal(blurred.native, sharp.native)


class Detector(nn.Module):
    """Brightness of cells of 4 x 4; a global mean, then a class for and one against."""

    def __init__(self) -> None:
        super().__init__()
        self.match = nn.Conv2d(1, 1, 4, stride=4, bias=False)
        self.maps = nn.ReLU()
        with torch.no_grad():
            self.match.weight.fill_(1 / 16)

    def forward(self, images: Tensor) -> Tensor:
        found = 40 * self.maps(self.match(images)).mean((2, 3))
        return torch.cat([found, -found], 1)


def test_two_far_copies_of_a_thing_have_like_peaks() -> None:
    images = torch.zeros(1, 1, 56, 56)
    images[0, 0, 6:12, 6:12] = 1
    images[0, 0, 41:48, 40:46] = 1
    model = Model(Detector(), size=56)
    peaks = []
    for prefilter in (0.0, 0.5):
        values = create("explainer", "sess", prefilter=prefilter)(model, images, 0).values[0]
        one, two = values[:28, :28].max(), values[28:, 28:].max()
        assert abs(float(one - two)) < 0.1 * float(torch.maximum(one, two))
        peaks.append(int(values.argmax()))
    assert peaks[0] == peaks[1]


def test_pictures_are_fused_one_at_a_time_and_windows_taken_in_one_at_a_time() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(2, 3, *CNN.size)
    whole = create("explainer", "sess", scales=4)(model, images, [0, 3])
    model.batch = 3
    few = create("explainer", "sess", scales=4)(model, images, [0, 3])
    assert_close(few.values, whole.values, atol=1e-5, rtol=1e-4)
    assert few.provenance["evaluations"] == whole.provenance["evaluations"]
    fusion = Fusion(images, 0.0)
    held = {k: v.shape for k, v in vars(fusion).items() if isinstance(v, Tensor)}
    for window in scale_windows(CNN.size, 4, GROWTH):
        fusion.add(window, torch.rand(CNN.size), torch.rand(CNN.size), torch.rand(()))
    assert {k: v.shape for k, v in vars(fusion).items() if isinstance(v, Tensor)} == held


def test_a_pasted_window_lies_where_it_was_cut() -> None:
    window = Window((64, 64), (32, 0, 64, 32))
    found = window.pasted(torch.ones(32, 32), (32, 32))
    assert found[17:, :15].eq(1).all() and found[:15].eq(0).all() and found[:, 17:].eq(0).all()


def test_louder_logits_silence_unsure_windows_and_a_constant_changes_nothing() -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    with torch.no_grad():
        net.head.weight.abs_().mul_(8)
    explain = create("explainer", "sess", scales=3)

    def with_output(factor: float, shift: float) -> Tensor:
        told = Model(net, size=CNN.size, output=lambda y: factor * y + shift)
        return explain(told, images, 1).native / factor

    plain = with_output(1, 0)
    assert_close(with_output(1, 50), plain, atol=1e-5, rtol=1e-3)
    assert not torch.allclose(with_output(100, 0), plain, rtol=0.01)


def test_what_cannot_be_weighed_or_moved_is_refused() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(1, 3, *CNN.size)
    explain = create("explainer", "sess", scales=1)
    with pytest.raises(NotExplainable, match="above 0"):
        explain(model, images, -Class(1))
    region = Model(CNN(), size=CNN.size, output=lambda y: y[:, :, None, None].expand(-1, -1, 2, 2))
    with pytest.raises(NotExplainable, match="is a place in it"):
        explain(region, images, Region(torch.ones(32, 32), 1))
    for place in (Unit("first", 0, at=(0, 0)), [Unit("first", 0, at=(1, 1))]):
        with pytest.raises(NotExplainable, match="is a place in it"):
            explain(model, images, place)
    assert explain(model, images, Unit("relu:2", 3))
    for fields in ({"scales": 0}, {"growth": 0.0}, {"prefilter": 1.0}, {"threshold": -0.1}):
        with pytest.raises(BadField, match="sess needs"):
            create("explainer", "sess", **fields)
