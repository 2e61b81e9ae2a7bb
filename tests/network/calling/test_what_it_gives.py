"""What the scores of a network are: logits, probabilities already, or features of no class."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.testing import assert_close

import sightline as sl
from network.calling.test_calling import SIZE, Net, pictures
from sightline import Model
from sightline.errors import BadModel, BadTarget, NotExplainable
from sightline.metric import Case


def softmax(y: Tensor) -> Tensor:
    return y.softmax(1)


def black_box(net: nn.Module) -> Model:
    return Model.from_function(lambda x: net(x).detach().numpy(), size=SIZE)


def measured(model: Model, target: Any) -> dict[str, Tensor]:
    """What a model says in all the ways that it can be asked."""
    images = pictures()
    rise = sl.explain(model, images, method="rise", target=target)
    case = Case(model, images, model.aim(images, target), rise, sl.create("explainer", "rise"))
    found = {
        "probabilities": model.probabilities(images),
        "probability": model.scores(images, target.with_probability(True)),
        "logit": model.scores(images, target.with_probability(False)),
        "map": rise.values,
        "score": torch.tensor(rise.provenance["score"]),
    }
    for name in ("deletion", "insertion", "average-drop", "adcc"):
        found[name] = sl.create("metric", name)(case)
    return found


@pytest.mark.parametrize("wrap", [Model, black_box], ids=["module", "function"])
def test_probabilities_are_kept_as_they_are(wrap: Callable[[nn.Module], Model]) -> None:
    inside, plain = wrap(Net(end=softmax)), wrap(Net())
    assert inside.gives == "probabilities" and plain.gives == "logits"
    assert_close(inside.probabilities(pictures()), Net()(pictures()).softmax(1).detach())
    assert_close(inside.outputs(pictures()), Net(end=softmax)(pictures()).detach())
    for target in (sl.Class(3), sl.Class([1, 4]), sl.Contrast(1, 0)):
        found, wanted = measured(inside, target), measured(plain, target)
        shift = wanted.pop("logit"), found.pop("logit")
        if isinstance(target, sl.Contrast):  # the logarithms differ by one number for all classes
            assert_close(*shift, rtol=1e-4, atol=1e-4)
        else:
            index = torch.tensor(target.which).expand(2)
            exact = Net()(pictures()).log_softmax(1).detach().gather(1, index[:, None])[:, 0]
            assert_close(shift[1], exact, rtol=1e-4, atol=1e-4)
        for name, value in wanted.items():
            assert_close(found[name], value, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_a_sigmoid_of_one_output_is_a_probability() -> None:
    for wrap in (Model, black_box):
        inside, plain = wrap(Net(1, torch.sigmoid)), wrap(Net(1))
        assert (inside.gives, plain.gives) == ("sigmoids", "logits")
        assert_close(inside.probabilities(pictures()), plain.probabilities(pictures()))
        for positive in (True, False):
            target = sl.Binary(positive)
            found, wanted = measured(inside, target), measured(plain, target)
            for name, value in wanted.items():
                assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_sigmoids_of_several_outputs_are_each_a_probability() -> None:
    inside, plain = Model(Net(end=torch.sigmoid)), Model(Net(), multilabel=True)
    assert inside.gives == "sigmoids"
    for model in (inside, Model(Net(end=torch.sigmoid), multilabel=True)):
        for name, value in measured(plain, sl.Class(3)).items():
            assert_close(measured(model, sl.Class(3))[name], value, rtol=1e-3, atol=1e-4, msg=name)
    # a function shows no last step: numbers in [0, 1] are probabilities where there is one of
    # them, or many classes at once
    assert black_box(Net(end=torch.sigmoid)).gives == "logits"


ENDS: dict[str, Callable[[Tensor], Any]] = {
    "squeezed": lambda y: y.softmax(1).squeeze(),
    "double": lambda y: y.double().softmax(1),
    "half": lambda y: y.softmax(1).half(),
    "average": lambda y: (y.softmax(1) + (2 * y).softmax(1)) / 2,
    "two-sided": lambda y: torch.stack([y[:, 0].sigmoid(), 1 - y[:, 0].sigmoid()], 1),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_probabilities_in_other_dress_are_recognised(end: Callable[[Tensor], Any]) -> None:
    model = Model(Net(end=end))
    assert model.gives == "probabilities"
    wanted = Net(end=end)(pictures(2)).detach().float()
    assert_close(model.probabilities(pictures(2)), wanted, rtol=1e-3, atol=1e-4)


LOGITS: dict[str, Callable[[Tensor], Any]] = {
    "small": lambda y: 0.5 + y / 1000,
    "positive": lambda y: y.relu(),
    "shares of a sum": lambda y: y / y.sum(1, keepdim=True),
    "log": lambda y: y.log_softmax(1),
    "tanh": lambda y: y.tanh(),
}


@pytest.mark.parametrize("end", LOGITS.values(), ids=LOGITS)
def test_scores_that_happen_to_be_small_or_positive_stay_logits(
    end: Callable[[Tensor], Any],
) -> None:
    for classes in (1, 4):
        assert Model(Net(classes, end)).gives == "logits"


def test_it_is_said_in_the_log_provenance_and_by_hand(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sightline"):
        heat = sl.explain(Net(end=softmax), pictures(), method="grad-cam", target=0)
    assert heat.provenance["gives"] == "probabilities"
    assert "probabilities" in heat.provenance["called"][0] and "probabilities" in caplog.text
    stated = Model(Net(end=softmax), gives="logits")
    assert stated.gives == "logits"
    assert_close(stated.probabilities(pictures()), stated.outputs(pictures()).softmax(1))
    assert Model(Net(), gives="probabilities").gives == "probabilities"
    with pytest.raises(BadModel, match="`gives` is one of logits, probabilities"):
        Model(Net(), gives="percent")


def test_an_axis_is_the_plain_value_and_regions_and_words_are_probabilities() -> None:
    model = Model(Net(end=softmax))
    assert_close(model.scores(pictures(), sl.Axis(2)), model.outputs(pictures())[:, 2])
    segmenter = nn.Conv2d(3, 4, 1)
    inside, plain = Model(nn.Sequential(segmenter, nn.Softmax(1))), Model(segmenter)
    mask = torch.zeros(SIZE)
    mask[2:5, 3:9] = 1
    for probability in (True, False):
        target = sl.Region(mask, 1, probability=probability)
        wanted = Model(nn.Sequential(segmenter, nn.LogSoftmax(1))).scores(pictures(), target)
        assert_close(inside.scores(pictures(), target), wanted, rtol=1e-4, atol=1e-5)
    assert plain.gives == "logits"


def test_weights_that_change_are_looked_at_again() -> None:
    net = nn.Sequential(Net(), nn.Identity())
    model = Model(net)
    assert model.gives == "logits"
    net[1] = nn.Softmax(1)
    assert model.gives == "probabilities"


BACKBONES = [
    "resnet10t",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "regnetx_002",
    "mobilenetv3_small_050",
]


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_without_a_head_have_no_top_class(name: str) -> None:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    extra = {"img_size": 64} if "vit" in name else {}
    net = timm.create_model(name, num_classes=0, **extra).eval()
    model = Model(net)
    with pytest.raises(BadTarget, match=r"features and no class scores.*sl\.Similarity"):
        sl.explain(model, images, method="gradient")
    like = sl.explain(model, images, method="gradient", target=sl.Similarity(images.flip(3)))
    assert like.provenance["probability"] == [None] and like.provenance["gives"] == "features"
    most = int(model.outputs(images).argmax())  # a number that is asked for is answered
    found = sl.explain(model, images, method="gradient", target=most)
    assert found.provenance["target_index"] == [most]
    labelled = Model(net, labels=[str(i) for i in range(net.num_features)])
    if model.outputs(images).shape[1] == net.num_features:
        assert labelled.gives == "logits"
    model = Model(timm.create_model(name, num_classes=9, **extra).eval())
    assert model.runner.meet(images).gives == "logits"


def test_heads_that_are_convolutions_are_classifiers_and_removed_ones_are_not() -> None:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    classifiers: list[nn.Module] = [
        torchvision.models.squeezenet1_1(),
        torchvision.models.alexnet(num_classes=20),
        nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Conv2d(3, 20, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 62 * 62, 20), nn.ReLU()),
        nn.Sequential(Net(20), nn.BatchNorm1d(20)),
    ]
    for net in classifiers:
        assert Model(net.eval()).runner.meet(images).gives == "logits", net
    resnet, mobile = torchvision.models.resnet18(), torchvision.models.mobilenet_v2()
    resnet.fc, mobile.classifier = nn.Identity(), nn.Identity()  # pyright: ignore
    said = Net(20)
    said.num_classes = 0  # pyright: ignore
    for net in (resnet, mobile, said, Net(20, nn.functional.normalize)):
        assert Model(net.eval()).runner.meet(images).gives == "features"


@pytest.mark.parametrize("wrap", [Model, black_box], ids=["module", "function"])
def test_maps_of_one_place_are_rows_of_scores(wrap: Callable[[nn.Module], Model]) -> None:
    model, plain = wrap(Net(end=lambda y: y[:, :, None, None])), wrap(Net())
    assert_close(model.outputs(pictures()), plain.outputs(pictures()))
    found, wanted = (sl.explain(m, pictures(), method="rise", target=3) for m in (model, plain))
    assert_close(found.values, wanted.values)
    assert found.provenance["target_index"] == [3, 3]


@pytest.mark.parametrize("target", [None, 1])
def test_a_decision_is_no_score(target: int | None) -> None:
    model = Model(Net(end=lambda y: y.argmax(1)))
    for method in ("grad-cam", "rise"):
        with pytest.raises((BadTarget, NotExplainable), match=r"whole number.*decision as"):
            sl.explain(model, pictures(), method=method, target=target)
