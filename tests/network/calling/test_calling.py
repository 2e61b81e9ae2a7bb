"""How a network is called: what it takes, what it raises, and whose row is whose."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import sightline as sl
from sightline import Model
from sightline.errors import BadModel, NetworkError, NotExplainable, ShapeError

SIZE = (16, 12)


class Net(nn.Module):
    """Convolution, pooling, linear: seeded, with scores that differ."""

    def __init__(self, classes: int = 5, end: Callable[[Tensor], Any] = lambda y: y) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, classes)
        self.end = end
        with torch.no_grad():
            self.head.weight *= 8

    def forward(self, images: Tensor) -> Any:
        return self.end(self.head(self.conv(images).relu().mean((2, 3))))


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))


class Alone(Net):
    def forward(self, images: Tensor) -> Any:
        return self.head(self.conv(images).relu().mean((2, 3)).view(1, -1))


class Turned(Net):
    def forward(self, images: Tensor) -> Any:
        return super().forward(images.permute(0, 3, 1, 2))


@pytest.mark.parametrize("method", ["rise", "occlusion", "input-x-gradient", "grad-cam"])
@pytest.mark.parametrize("odd", [Net(end=Tensor.squeeze), Alone(), Turned()], ids=["s", "a", "t"])
def test_networks_that_squeeze_go_alone_or_turn_give_the_plain_network_s_maps(
    odd: nn.Module, method: str
) -> None:
    for count in (1, 2):
        images, wanted = (
            pictures(count),
            sl.explain(Net(), pictures(count), method=method, target=3),
        )
        found = sl.explain(odd, images, method=method, target=3)
        assert_close(found.native, wanted.native, rtol=1e-4, atol=1e-6)
        assert_close(
            torch.tensor(found.provenance["score"]), torch.tensor(wanted.provenance["score"])
        )
        assert found.provenance["called"]
    assert not wanted.provenance["called"]


def test_a_squeezed_picture_keeps_its_axis_and_two_logits_are_two() -> None:
    squeezed, plain, image = Model(Net(end=Tensor.squeeze)), Model(Net()), pictures(1)
    assert squeezed.outputs(image).shape == squeezed.probabilities(image).shape == (1, 5)
    for i in range(5):
        found = sl.explain(squeezed, image, method="input-x-gradient", target=sl.Axis(i))
        wanted = sl.explain(plain, image, method="input-x-gradient", target=sl.Axis(i))
        assert_close(found.values, wanted.values)
    scores, gradients = squeezed.gradients(image, sl.Axis(0))
    assert scores.shape == (1,) and gradients.shape == image.shape
    binary, wanted = Model(Net(2, Tensor.squeeze)), Model(Net(2))
    assert_close(binary.scores(image, sl.Binary()), wanted.scores(image, sl.Binary()))
    assert binary.scores(image, sl.Binary()).shape == (1,)
    single, wanted = Model(Net(1, Tensor.squeeze)), Model(Net(1))
    for count in (1, 3):
        found = single.scores(pictures(count), sl.Binary())
        assert_close(found, wanted.scores(pictures(count), sl.Binary()))
    assert squeezed.anatomy.n_classes == 5 and squeezed.anatomy.spatial == plain.anatomy.spatial


def test_rows_that_belong_to_no_picture_are_refused_everywhere() -> None:
    for wrong in (lambda y: y.mean(), lambda y: torch.cat([y, y]), lambda y: y.T):
        model = Model(Net(4, wrong))
        asked: tuple[Callable[[Tensor], Any], ...] = (
            model.outputs,
            model.probabilities,
            lambda x, m=model: m.scores(x, sl.Axis(0)),
            lambda x, m=model: sl.explain(m, x, method="rise", target=0),
            lambda x, m=model: sl.explain(m, x, method="grad-cam", target=0),
        )
        for each in asked:
            with pytest.raises(BadModel, match=r"one row of scores per picture.*output="):
                each(pictures(3))


def test_a_black_box_for_one_picture_and_one_that_squeezes() -> None:
    net = Net()
    wanted = sl.explain(Model.from_function(net, size=SIZE), pictures(2), method="rise", target=1)

    def one(images: Tensor) -> Tensor:
        if len(images) > 1:
            raise ValueError("one at a time")
        return net(images)

    model = Model.from_function(one, size=SIZE)
    found = sl.explain(model, pictures(2), method="rise", target=1)
    assert_close(found.values, wanted.values, rtol=1e-4, atol=1e-6)
    assert found.provenance["called"] == ["the network takes one picture at a time"]


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_a_black_box_of_any_channels_is_hidden_by_its_mean(channels: int) -> None:
    images = torch.rand(2, channels, *SIZE, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(3, channels, *SIZE, generator=torch.Generator().manual_seed(1))

    def function(x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, weight)

    model = Model.from_function(function, size=SIZE, mean=0.25)
    box = sl.create("explainer", "occlusion", window=1, stride=1)
    found = box(model, images, sl.Class(2, probability=False)).values
    assert_close(found, (weight[2] * (images - 0.25)).sum(1), rtol=1e-3, atol=1e-4)
    assert sl.explain(model, images, method="rise", target=0).values.shape == (2, *SIZE)


class Broken(Net):
    """Raises what is in `errors`, which its copies share."""

    def __init__(self) -> None:
        super().__init__()
        errors: list[BaseException] = []
        self.errors = lambda: errors

    def forward(self, images: Tensor) -> Any:
        for error in self.errors():
            raise error
        return super().forward(images)


@pytest.mark.parametrize(
    "method", ["occlusion", "rise", "gradient", "grad-cam", "score-cam", "sag"]
)
@pytest.mark.parametrize("error", [RuntimeError, KeyError, TypeError, ValueError, IndexError])
def test_what_the_network_raises_is_one_error_of_ours_with_its_words(
    method: str, error: type[Exception]
) -> None:
    net = Broken()
    model = Model(net, size=SIZE)
    for met in (False, True):
        if met:
            net.errors().clear()
            sl.explain(model, pictures(1), method=method, target=0)
        net.errors().append(error("the network broke"))
        for caught in (BadModel, RuntimeError, NetworkError):
            with pytest.raises(caught, match=r"16x12 with 3 channels.*the network broke") as seen:
                sl.explain(model, pictures(1), method=method, target=0)
            assert seen.value.__cause__ is net.errors()[0]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError("out"), torch.OutOfMemoryError("out")]
)
def test_memory_that_ran_out_and_interrupts_pass_through(error: BaseException) -> None:
    for method in ("rise", "gradient", "grad-cam"):
        net = Broken()
        model = Model(net, size=SIZE)
        sl.explain(model, pictures(1), method=method, target=0)
        net.errors().append(error)
        with pytest.raises(type(error)) as seen:
            sl.explain(model, pictures(1), method=method, target=0)
        assert seen.value is error


class Named(Net):
    def forward(self, *, image: Tensor) -> Any:
        return super().forward(image)


class Asked(Net):
    def forward(self, images: Tensor, question: Tensor) -> Any:
        return super().forward(images) + question


class Keyed(Net):
    def forward(self, inputs: Any) -> Any:
        return super().forward(inputs.get("pixels"))


@pytest.mark.parametrize("method", ["rise", "occlusion", "gradient", "grad-cam"])
def test_another_call_is_refused_with_the_way_to_say_it_which_then_works(method: str) -> None:
    wanted = sl.explain(Net(), pictures(), method=method, target=2).native
    by_name = lambda module, x: module(image=x)  # noqa: E731
    by_key = lambda module, x: module({"pixels": x})  # noqa: E731
    odd = [(Named(), r"module\(image=images", by_name), (Keyed(), "forward=", by_key)]
    for net, remedy, forward in odd:
        with pytest.raises(NetworkError, match=remedy):
            sl.explain(net, pictures(), method=method, target=2)
        found = sl.explain(Model(net, forward=forward), pictures(), method=method, target=2)
        assert_close(found.native, wanted)
    with pytest.raises(
        NetworkError, match=r"also needs `question`.*model\.given\(question=\.\.\.\)"
    ):
        sl.explain(Asked(), pictures(), method=method, target=2)
    given = Model(Asked()).given(question=torch.zeros(2, 5))
    assert_close(sl.explain(given, pictures(), method=method, target=2).native, wanted)
    with pytest.raises(BadModel, match="layer '0' is lazy"):
        sl.explain(nn.Sequential(nn.LazyConv2d(4, 3)), pictures(), method=method, target=2)


def test_pictures_with_their_channels_last_are_refused_and_the_remedy_is_right() -> None:
    last = pictures().permute(0, 2, 3, 1)
    for method in ("rise", "grad-cam", "gradient"):
        with pytest.raises(ShapeError, match=r"channels last.*forward=lambda m, x: m\(x.permute"):
            sl.explain(Turned(), last, method=method, target=0)
        with pytest.raises(ShapeError, match=r"images\.permute\(0, 3, 1, 2\)"):
            sl.explain(Net(), last, method=method, target=0)
        model = Model(Turned(), forward=lambda m, x: m(x.permute(0, 2, 3, 1)))
        wanted = sl.explain(Net(), pictures(), method=method, target=0)
        found = sl.explain(model, pictures(), method=method, target=0)
        assert_close(found.values, wanted.values)


class Table(Net):
    """A network with a tensor that its forward may never meet, before its other parameters."""

    def __init__(self, first: Tensor) -> None:
        super().__init__()
        conv, head = self.conv, self.head
        del self.conv, self.head
        self.table = nn.Parameter(first, requires_grad=False)
        self.conv, self.head = conv, head


TYPES = [torch.uint8, torch.int8, torch.int64, torch.bool, torch.float64, torch.float16]
TYPES += [torch.bfloat16, torch.complex64]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("method", ["rise", "gradient", "grad-cam"])
def test_no_map_depends_on_an_unused_tensor(dtype: torch.dtype, method: str) -> None:
    wanted = sl.explain(Net(), pictures(), method=method, target=1)
    net = Table(torch.ones(3).to(dtype))
    found = sl.explain(net, pictures(), method=method, target=1)
    assert_close(found.native, wanted.native)
    buffered = Net()
    buffered.register_buffer("table", torch.ones(3).to(dtype))
    found = sl.explain(buffered, pictures(), method=method, target=1)
    assert_close(found.native, wanted.native)


def test_pictures_go_where_the_first_parameter_is_that_the_forward_meets() -> None:
    net = Table(torch.ones(3, device="meta"))
    assert Model(net).outputs(pictures()).device.type == "cpu"
    assert_close(Model(net).outputs(pictures()), Model(Net()).outputs(pictures()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_of_another_type_is_run_in_it(dtype: torch.dtype) -> None:
    net = Net().to(dtype)
    net.register_buffer("table", torch.ones(3))
    expected = Net().to(dtype)(pictures().to(dtype)).float()
    assert_close(Model(net).outputs(pictures()), expected, rtol=0.02, atol=0.02)
    only = nn.Sequential(nn.Flatten(), Buffers(dtype))
    assert Model(only).outputs(pictures()).dtype == torch.float32
    assert sl.explain(only, pictures(), method="occlusion", target=1).values.shape == (2, *SIZE)


class Buffers(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        weight = torch.rand(3 * SIZE[0] * SIZE[1], 3, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", weight.to(dtype))

    def forward(self, images: Tensor) -> Tensor:
        return images @ self.weight


def test_what_was_found_out_is_forgotten_when_the_weights_change() -> None:
    net = Net(end=Tensor.squeeze)
    model = Model(net)
    assert model.runner.meet(pictures(1)).conduct.squeezed
    net.end = nn.Softmax(1)
    assert model.gives == "probabilities" and not model.calling.conduct.squeezed


def test_layers_of_networks_that_go_alone_are_read_alone() -> None:
    model = Model(Alone())
    assert model.trace(pictures(1), read=["conv"]).maps["conv"].shape == (1, 8, *SIZE)
    with pytest.raises(NotExplainable, match="one picture at a time"):
        model.trace(pictures(2), read=["conv"])
