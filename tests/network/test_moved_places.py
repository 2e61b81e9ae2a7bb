"""Networks that move the picture before they look: a map must lie on the picture, or be refused."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

import sightline as sl
from sightline.errors import NotExplainable

SIZE = (48, 64)
MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "turned over": lambda x: x.flip(3),
    "upside down": lambda x: x.flip(2),
    "rolled": lambda x: x.roll((x.shape[2] // 2, x.shape[3] // 2), (2, 3)),
    "transposed": lambda x: x.transpose(2, 3),
    "padded": lambda x: F.pad(x, (32, 0, 24, 0), value=0.4),
}


class Moving(nn.Module):
    """Sees red behind two convolutions, in a picture that was moved before or between them."""

    def __init__(self, move: Callable[[Tensor], Tensor], *, between: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.head = nn.Linear(4, 3)
        self.move = lambda: move
        self.between = between
        with torch.no_grad():
            for weight in self.parameters():
                weight *= 0.1
            self.first.weight[0] = torch.tensor([0.3, -0.2, -0.2])[:, None, None].expand(3, 3, 3)
            self.second.weight[0, 0], self.head.weight[1, 0] = 0.2, 3.0

    def forward(self, images: Tensor) -> Tensor:
        move = self.move()
        maps = self.first(images if self.between else move(images)).relu()
        maps = self.second(move(maps) if self.between else maps).relu()
        return self.head(maps.mean((2, 3)))


def spot() -> Tensor:
    """A red square above and to the right."""
    image = torch.full((1, 3, *SIZE), 0.4)
    image[:, :, 4:16, 44:56] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    return image


@pytest.mark.parametrize("move", list(MOVES))
@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam", "score-cam"])
def test_maps_of_a_moved_picture_are_refused_with_that_reason(move: str, method: str) -> None:
    model = sl.Model(Moving(MOVES[move]), size=SIZE)
    with pytest.raises(NotExplainable, match="the network moves places"):
        sl.explain(model, spot(), method=method, target=1)
    heat = sl.create("explainer", "occlusion", window=12, stride=4)(model, spot(), 1)
    row, col = divmod(int(heat.values[0].argmax()), SIZE[1])
    assert 4 <= row < 16 and 44 <= col < 56


@pytest.mark.parametrize("move", ["turned over", "rolled"])
def test_the_last_layer_before_the_move_is_read(move: str) -> None:
    model = sl.Model(Moving(MOVES[move], between=True), size=SIZE)
    assert model.spatial == "first"
    heat = sl.explain(model, spot(), method="grad-cam", target=1)
    assert float(heat.values[0, :24, 36:].sum() / heat.values.sum()) > 0.95


def test_a_mirror_image_beside_the_picture_is_no_part_of_its_map() -> None:
    class Both(Moving):
        def forward(self, images: Tensor) -> Tensor:
            one, other = (
                self.second(self.first(x).relu()).relu().mean((2, 3))
                for x in (images, images.flip(3))
            )
            return self.head(one + other)

    model = sl.Model(Both(MOVES["rolled"]), size=SIZE)
    with pytest.warns(sl.errors.SightlineWarning, match="only a part of the score"):
        heat = sl.explain(model, spot(), method="grad-cam", target=1)
    assert heat.provenance["partial"]
    assert float(heat.values[0, :24, 36:].sum() / heat.values.sum()) > 0.9


def test_a_network_that_resizes_its_picture_keeps_places() -> None:
    model = sl.Model(Moving(lambda x: F.interpolate(x, scale_factor=1.5)), size=SIZE)
    plain = sl.Model(Moving(lambda x: x), size=SIZE)
    assert model.spatial == plain.spatial == "second"
    found, wanted = (
        sl.explain(m, spot(), method="grad-cam", target=1).values for m in (model, plain)
    )
    assert_close(found.sum((1, 2)) > 0, wanted.sum((1, 2)) > 0)
    assert float(found[0, :24, 36:].sum() / found.sum()) > 0.95
