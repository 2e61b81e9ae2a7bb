"""Running a network on boxes: the geometry against brute force, every local operation, the tape."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline.network.incremental.map_boxes import Boxes, Interval, Reach, cut, paste, whole
from sightline.network.incremental.tape import Tape, Unrepeatable
from sightline.network.incremental.windows import Plan, Replay, Untouched
from sightline.ops.masks import blend, cut_windows, windows

SIZE = (21, 26)


@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_the_outputs_that_a_change_reaches_are_those_that_differ(
    kernel: int, stride: int, padding: int, dilation: int
) -> None:
    length, reach = 23, Reach(kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    lines = [(start, start + size) for size in (1, 4, 23) for start in range(0, 24 - size)]
    changed = torch.zeros(len(lines), 1, length)
    for i, (start, end) in enumerate(lines):
        changed[i, 0, start:end] = 1
    seen = F.conv1d(changed, torch.ones(1, 1, kernel), None, stride, padding, dilation)[:, 0] > 0
    found = reach.outputs(Interval.of(lines, length), seen.shape[1])
    for i, (start, end) in enumerate(found.exact):
        reached = seen[i].nonzero().flatten().tolist()
        if reached:  # a stride may step over the change; then the box holds one output anyway
            assert start <= reached[0] and reached[-1] + 1 <= end
            assert dilation > 1 or (start, end) == (reached[0], reached[-1] + 1)
        assert 0 <= found.starts[i] <= start
        assert end <= found.starts[i] + found.size <= found.length
    assert reach.inputs(1) == dilation * (kernel - 1) + 1


def test_boxes_of_one_size_stay_inside_and_around_what_is_exact() -> None:
    interval = Interval.of([(0, 2), (7, 9), (3, 8)], 9)
    assert interval.size == 5 and interval.starts == (0, 4, 3)
    assert interval.hull(Interval.of([(1, 3), (0, 1), (3, 4)], 9)).exact == ((0, 3), (0, 9), (3, 8))


def test_boxes_are_cut_and_pasted_where_they_belong() -> None:
    maps = torch.rand(1, 4, *SIZE).contiguous(memory_format=torch.channels_last)
    places = [(0, 0), (3, 4), (4, 5), (16, 20)]
    boxes = cut(maps, places, (5, 6))
    assert boxes.is_contiguous(memory_format=torch.channels_last)
    for box, (row, col) in zip(boxes, places, strict=True):
        assert torch.equal(box, maps[0, :, row : row + 5, col : col + 6])
    assert torch.equal(whole(maps, boxes, places), maps.expand(4, -1, -1, -1))
    patches = torch.zeros(4, 4, 3, 3)
    paste(patches, [(4, 5), (4, 5), (5, 6), (0, 0)], boxes, places)  # the last two never meet
    for i, (row, col) in enumerate([(4, 5), (4, 5), (5, 6)]):
        wanted = maps[0, :, row : row + 3, col : col + 3].clone()
        if i == 0:  # only one cell of the box lies there
            wanted[:, 1:], wanted[:, :, 1:] = 0, 0
        assert torch.equal(patches[i], wanted)
    assert not patches[3].any()


class Run(nn.Module):
    """A function as a network, with a weight of its own."""

    def __init__(self, function: Callable[[Tensor, "Run"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.norm = nn.BatchNorm2d(4).eval()
        self.norm.running_mean = torch.tensor([0.1, 0.2, -0.1, 0.3])
        self.many = nn.Parameter(torch.randn(8, 4, 3, 3))
        self.apart = nn.Parameter(torch.randn(8, 2, 3, 3))
        self.single = nn.Parameter(torch.randn(4, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(F.conv2d(x - 0.5, self.single), self).flatten(1)


LOCAL: dict[str, Callable[[Tensor, Run], Tensor]] = {
    "convolution": lambda x, r: F.conv2d(x, r.many, padding=1),
    "padding of two kinds": lambda x, r: F.conv2d(x, r.many, padding=(2, 0)),
    "stride": lambda x, r: F.conv2d(x, r.many, stride=2, padding=1),
    "dilation and groups": lambda x, r: F.conv2d(x, r.apart, None, (1, 2), 2, 2, groups=2),
    "strided shortcut": lambda x, r: F.conv2d(x, r.many[:, :, :1, :1], stride=2),
    "batch norm": lambda x, r: r.norm(x),
    "max pooling of negatives": lambda x, r: F.max_pool2d(-x.abs() - 1, 3, 2, 1),
    "max pooling, ceiled": lambda x, r: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "mean pooling": lambda x, r: F.avg_pool2d(x, 2),
    "mean pooling, padded": lambda x, r: F.avg_pool2d(x, 3, 2, 1),
    "smooth activations": lambda x, r: F.silu(F.gelu(F.hardswish(x))) + F.elu(x) * x.sigmoid(),
    "clipped activations": lambda x, r: F.relu6(x) + F.hardtanh(x) + F.leaky_relu(x).clamp(0, 1),
    "in place": lambda x, r: F.conv2d(F.relu_(x.mul_(2)), r.many).relu_(),
    "a value that is used before it is overwritten": lambda x, r: (
        F.conv2d(x, r.many, padding=1)[:, :4] + F.conv2d(x.relu_(), r.many, padding=1)[:, :4]
    ),
    "residual": lambda x, r: (
        x + F.conv2d(F.conv2d(x, r.many, padding=1)[:, :4], r.many[:4], padding=1)
    ),
    "residual in place": lambda x, r: F.conv2d(x, r.many, padding=1)[:, :4].clone().add_(x),
    "two strides meet": lambda x, r: (
        F.conv2d(x, r.many, stride=2, padding=1) + F.conv2d(x, r.many[:, :, :1, :1], stride=2)
    ),
    "concatenation": lambda x, r: torch.cat([x, F.conv2d(x, r.many, padding=1), F.relu(x)], 1),
    "split": lambda x, r: torch.cat(list(x.chunk(2, 1))[::-1], 1),
    "border": lambda x, r: F.conv2d(F.pad(x, (0, 1, 2, 1)), r.many, stride=2),
    "constants per filter": lambda x, r: x * r.single[:, :1].view(1, 4, 1, 1) - r.single.mean(),
}  # fmt: skip
GLOBAL: dict[str, Callable[[Tensor, Run], Tensor]] = {
    "squeeze-excite": lambda x, r: F.conv2d(x * x.mean((2, 3), keepdim=True), r.many),
    "group norm": lambda x, r: F.group_norm(F.conv2d(x, r.many), 2),
    "permuted": lambda x, r: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "attention": lambda x, r: (x.flatten(2).transpose(1, 2) @ x.flatten(2)).softmax(-1),
    "adaptive pooling": lambda x, r: F.adaptive_avg_pool2d(F.conv2d(x, r.many), (5, 4)),
    "uneven mean pooling": lambda x, r: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "roll": lambda x, r: x.roll(1, 2),
    "transposed convolution": lambda x, r: F.conv_transpose2d(x, r.many.transpose(0, 1)),
    "interpolation": lambda x, r: F.interpolate(x, scale_factor=2.0),
    "places": lambda x, r: x + torch.arange(26.0),
}


def both(net: nn.Module, corners: Tensor, largest: float = 1.0) -> tuple[Tensor, Tensor, Plan]:
    """The network on windows of noise, in full and on boxes."""
    picture, hidden = torch.rand(2, 1, 3, *SIZE)
    with torch.no_grad():
        plan = Plan.of(Tape.of(net, picture), (3, *SIZE), corners, largest)
        wanted = net(blend(picture, cut_windows(corners, SIZE), hidden))
        untouched = Untouched(plan, picture)
        half = len(corners) // 2
        parts = (range(half), range(half, len(corners)))
        got = torch.cat([Replay(plan, untouched, part).run(hidden) for part in parts])
        assert not torch.allclose(wanted[0], wanted[-1])
    return wanted, got, plan


@pytest.mark.parametrize("window, stride", [((4, 4), (2, 3)), ((5, 3), (3, 3)), ((1, 1), (4, 5))])
@pytest.mark.parametrize("name", [*LOCAL, *GLOBAL])
def test_boxes_give_what_full_forwards_give(
    name: str, window: tuple[int, int], stride: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    net = Run({**LOCAL, **GLOBAL}[name])
    wanted, got, plan = both(net, windows(SIZE, window, stride))
    assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    tail = {"aten.view", "aten._unsafe_view"}
    left = {s.name for i, s in enumerate(plan.tape.steps) if i not in plan.locals} - tail
    assert bool(left) == (name in GLOBAL), left


def test_boxes_that_are_too_large_are_whole_maps() -> None:
    net = Run(LOCAL["residual"])
    for largest in (0.0, 0.5, 0.8, 1.0):
        wanted, got, plan = both(net, windows(SIZE, (15, 15), (3, 3)), largest)
        assert_close(got, wanted, atol=1e-5, rtol=1e-5)
        assert len(plan.locals) == {0.0: 0, 0.5: 0, 0.8: 2, 1.0: 6}[largest]
    corners = torch.tensor([[0, 0, *SIZE]] * 2)
    with torch.no_grad():
        tape = Tape.of(net, torch.rand(1, 3, *SIZE))
        picture, hidden = torch.rand(2, 1, 3, *SIZE)
        plan = Plan.of(tape, (3, *SIZE), corners, 1.0)
        got = Replay(plan, Untouched(plan, picture), [0, 1]).run(hidden)
        assert_close(got, net(hidden).expand(2, -1))
    with pytest.raises(Unrepeatable, match="several sizes"):
        Plan.of(tape, (3, *SIZE), torch.tensor([[0, 0, 2, 2], [0, 0, 2, 3]]))


def test_many_windows_share_their_lines() -> None:
    boxes = Boxes.around(windows(SIZE, (2, 2), (1, 1)), SIZE)
    assert (len(boxes.grid), len(boxes.rows.starts), len(boxes.cols.starts)) == (20 * 25, 20, 25)
    assert boxes.places([26]) == [(1, 1)] and boxes.size == (2, 2)


def test_the_gain_follows_the_area_that_is_left() -> None:
    net = nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)], nn.Flatten())
    small, large = (
        Plan.of(Tape.of(net, torch.rand(1, 3, 64, 64)), (3, 64, 64), windows((64, 64), w, (8, 8)))
        for w in ((2, 2), (40, 40))
    )
    assert small.gain > 3 and 0.9 < large.gain < 2
    assert small.bytes_per_window <= large.bytes_per_window


def test_a_tape_runs_any_batch_and_leaves_out_what_the_output_does_not_need() -> None:
    def run(x: Tensor) -> Tensor:
        torch.arange(len(x)) + 1
        y = x.view(len(x) * 3, -1).softmax(1).reshape(len(x), 3, -1)
        return torch.cat([y.mean(2), torch.zeros(len(x), 1), torch.ones(1, 2).expand(len(x), 2)], 1)

    x = torch.rand(1, 3, 4, 4)
    tape = Tape.of(run, x)
    assert not any(step.name == "aten.arange" for step in tape.steps)
    for n in (1, 2, 7):
        many = torch.rand(n, 3, 4, 4)
        assert_close(tape.outputs(many), run(many))


@pytest.mark.parametrize(
    "run, said",
    [
        (lambda x: x * float(x.sum()), "number out of a tensor"),
        (lambda x: F.dropout(x, 0.5), "random"),
        (lambda x: x.mul_(2), "kept"),
        (lambda x: [x + 1], "not one tensor"),
        (lambda x: torch.ones(2), "not one tensor"),
        (lambda x: torch.stack([v * 2 for v in x]), "size of the batch"),
        (lambda x: (y := x * 2, y[:, :1].mul_(3), y)[2], "through a view"),
        (lambda x: x + torch.from_numpy(x.numpy().copy()), "outside"),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_is_refused(run: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(Unrepeatable, match=said):
        Tape.of(run, torch.rand(1, 3, 5, 5))
