"""Networks that fold frames or views into the batch: a map for each picture, or a refusal that
names the layer and both counts."""

import warnings
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline import Model, available, create
from sightline.errors import NotExplainable, SightlineError
from sightline.network.trace import Fan

pytestmark = pytest.mark.usefixtures("learned_parts")


def features() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, padding=1), nn.ReLU()
    )


class Frames(nn.Module):
    """Four frames, side by side in the channels: rows are picture by picture."""

    def __init__(self) -> None:
        super().__init__()
        self.features = features()
        self.lstm, self.head = nn.LSTM(8, 7, batch_first=True), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        count, _, rows, cols = x.shape
        frames = self.features(x.reshape(count * 4, 3, rows, cols)).mean((2, 3))
        return self.head(self.lstm(frames.reshape(count, 4, -1))[0][:, -1])


class Views(nn.Module):
    """The picture and its mirror image: rows are view by view."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = features(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        both = self.features(torch.cat([x, x.flip(3)])).mean((2, 3))
        return self.head(both.unflatten(0, (2, -1)).sum(0))


@cache
def network(kind: type[nn.Module]) -> tuple[Model, Tensor, int]:
    """A folding network, two pictures, and how many rows it makes of one."""
    channels, rows = (12, 4) if kind is Frames else (3, 2)
    images = torch.rand((2, channels, 24, 32), generator=torch.Generator().manual_seed(1))
    return Model(kind()), images, rows


@pytest.mark.parametrize("kind", [Frames, Views])
@pytest.mark.parametrize("name", available("explainer"))
def test_there_is_a_result_for_each_picture_or_a_refusal(name: str, kind: type[nn.Module]) -> None:
    model, images, rows = network(kind)
    explain = create("explainer", name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert len(explain(model, images, [1, 2])) == 2
        except SightlineError as error:
            if "rows for" in str(error):
                assert f"layer 'features' has {rows} rows for 1 picture" in str(error)


@pytest.mark.parametrize("kind", [Frames, Views])
@pytest.mark.parametrize("name", ["grad-cam", "score-cam", "eigen-cam", "ablation-cam", "cam"])
def test_what_reads_a_folded_layer_names_it_and_both_counts(
    name: str, kind: type[nn.Module]
) -> None:
    model, images, rows = network(kind)
    with pytest.raises(NotExplainable, match=f"'features' has {rows} rows for 1 picture"):
        create("explainer", name)(model, images, 1)


@pytest.mark.parametrize("kind", [Frames, Views])
def test_nothing_gets_past_the_door(kind: type[nn.Module]) -> None:
    model, images, rows = network(kind)
    both = f"'features' has {2 * rows} rows for 2 pictures"
    with pytest.raises(NotExplainable, match=both):
        model.trace(images, read=("features",))
    with pytest.raises(NotExplainable, match=both):
        model.trace(images, edit={"features": lambda maps: maps / 2})
    with pytest.raises(NotExplainable, match=f"'features' has {rows} rows for 1 picture"):
        model.trace(
            images, edit={"features": Fan(3, lambda maps, part: maps.expand(3, -1, -1, -1))}
        )
    with pytest.raises(NotExplainable, match=both):
        model.scores(images, sl.Unit("features", 1))


@pytest.mark.filterwarnings("ignore:.*has no result for")
def test_one_method_s_folded_layer_is_no_reason_to_refuse_the_others() -> None:
    model, images, _ = network(Views)
    cam, fine = sl.explain(model, images, method=["grad-cam", "gradient"], target=1)
    assert cam.lost and "'features'" in cam.refused[0] and cam.values.isnan().all()
    alone = create("explainer", "gradient")(model, images, 1)
    torch.testing.assert_close(fine.native, alone.native)


class Infinite(nn.Module):
    """One place of a layer is infinite; the scores are not."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.features, self.wide, self.head = features(), nn.Identity(), nn.Linear(8, 5)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)
        place = torch.zeros_like(maps)
        place[:, :, 3, 4] = self.value
        maps = self.wide(maps + place)
        return self.head(torch.nan_to_num(maps, nan=0.0, posinf=1.0).mean((2, 3)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["eigen-cam", "grad-cam", "score-cam", "layer-cam"])
def test_a_layer_that_holds_no_numbers_is_named(name: str, value: float) -> None:
    images = network(Views)[1]
    explain = create("explainer", name, layer="wide")
    with pytest.raises(NotExplainable, match="layer 'wide' has NaN or infinite values"):
        explain(Infinite(value), images, 1)
