"""Windows on several recorded pictures at once, each with what it shows itself."""

import torch
from torch import nn
from torch.testing import assert_close

from sightline.network.incremental.map_boxes import cut, whole
from sightline.network.incremental.tape import Tape
from sightline.network.incremental.windows import Plan, Replay, Untouched
from sightline.ops.masks import blend, cut_windows, windows

SIZE = (21, 26)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 5 * 6, 7),
    )


def test_each_window_lies_on_its_own_picture_and_shows_its_own() -> None:
    net, corners = network(), windows(SIZE, (4, 5), (3, 4))
    on = [i % 3 for i in range(len(corners))]
    pictures, hidden = torch.rand(3, 3, *SIZE), torch.rand(len(corners), 3, *SIZE)
    with torch.no_grad():
        wanted = net(blend(pictures[on], cut_windows(corners, SIZE), hidden))
        plan = Plan.of(Tape.of(net, pictures), (3, *SIZE), corners, 1.0)
        untouched = Untouched(plan, pictures)
        replay = Replay(plan, untouched, range(len(corners)), on)
        assert_close(replay.run(hidden), wanted, atol=1e-5, rtol=1e-5)
        alone = Replay(plan, untouched, range(5), on[:5]).play(hidden_boxes(plan, hidden))
    assert_close(alone, wanted[:5], atol=1e-5, rtol=1e-5)
    assert plan.bytes_per_picture == sum(m[:1].numel() * 4 for m in untouched.maps.values())


def hidden_boxes(plan: Plan, hidden: torch.Tensor) -> torch.Tensor:
    places, (rows, cols) = plan.boxes[0].places(range(5)), plan.boxes[0].size
    return torch.stack(
        [hidden[i, :, r : r + rows, c : c + cols] for i, (r, c) in enumerate(places)]
    )


def test_boxes_and_whole_maps_are_of_the_picture_that_is_named() -> None:
    maps, places, on = torch.rand(3, 2, *SIZE), [(0, 0), (3, 4), (16, 20)], [2, 0, 2]
    boxes = cut(maps, places, (5, 6), on)
    for box, (row, col), picture in zip(boxes, places, on, strict=True):
        assert torch.equal(box, maps[picture, :, row : row + 5, col : col + 6])
    assert torch.equal(whole(maps, boxes, places, on), maps[on])
    assert torch.equal(cut(maps, places, (5, 6)), cut(maps[:1], places, (5, 6)))
