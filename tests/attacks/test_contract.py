"""What every registered attack promises: a new file is covered once it exists."""

from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks.shapes_net import pictures, trained
from sightline import Model, available, create
from sightline.errors import BadField, BadImage, BadTarget, NotExplainable
from sightline.registry import from_json, to_json
from sightline.worlds.miniatures import MINIATURES
from tiny import tiny

ATTACKS = available("attack")
FOLLOWED = ("adv-edge", "adv-edge+", "st-adv", "manipulation")


short = partial(tiny, kind="attack")


@cache
def clean() -> Tensor:
    return pictures(3, 21)[0]


@cache
def together(name: str) -> Tensor:
    return short(name)(trained(), clean(), None, "grad-cam")


@pytest.mark.parametrize("name", ATTACKS)
def test_pictures_keep_their_shape_and_range_and_change(name: str) -> None:
    fooled = together(name)
    assert fooled.shape == clean().shape and fooled.dtype == torch.float32
    assert fooled.min() >= 0 and fooled.max() <= 1 and not fooled.requires_grad
    assert short(name).keeps_class or not torch.equal(fooled, clean())


@pytest.mark.parametrize("name", ATTACKS)
def test_alone_is_as_in_a_batch_and_as_the_same_seed(name: str) -> None:
    torch.manual_seed(99)
    alone = short(name)(trained(), clean()[1:2], None, "grad-cam")
    assert torch.equal(alone[0], together(name)[1])


@pytest.mark.parametrize("name", ATTACKS)
def test_fields_survive_json(name: str) -> None:
    made = short(name)
    assert from_json("attack", to_json(made)) == made


@pytest.mark.parametrize("name", ATTACKS)
def test_the_model_and_the_pictures_come_back_unharmed(name: str) -> None:
    model, mine = trained(), clean().clone()
    module, weights = model.module, [p.detach().clone() for p in model.module.parameters()]
    module.train()
    try:
        fooled = short(name)(model, mine, None, "grad-cam")
        assert all(part.training for part in module.modules())
    finally:
        module.eval()
    assert torch.equal(fooled, together(name)) and torch.equal(mine, clean())
    for parameter, before in zip(module.parameters(), weights, strict=True):
        assert torch.equal(parameter, before)
        assert parameter.grad is None and parameter.requires_grad
    assert not mine.requires_grad
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    assert sum(hooks) == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_it_runs_under_no_grad_and_on_tokens(name: str) -> None:
    with torch.no_grad():
        assert torch.equal(short(name)(trained(), clean(), None, "grad-cam"), together(name))
    mini = MINIATURES["token-net"]
    model = Model(mini(), size=mini.size)
    images = torch.rand((1, 3, *mini.size), generator=torch.Generator().manual_seed(1))
    for explainer in ("grad-cam", "gradient"):
        assert torch.isfinite(short(name)(model, images, None, explainer)).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_wrong_input_is_refused(name: str) -> None:
    attack, model = short(name), trained()
    with pytest.raises(BadImage, match=r"within \[0, 1\]"):
        attack(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), 2 * torch.ones(1, 3, 2, 2))
    with pytest.raises(BadTarget, match="does not exist"):
        attack(model, clean(), 9)
    blind = Model.from_function(lambda x: x.mean((2, 3)), size=4)
    with pytest.raises(NotExplainable, match="gradients"):
        attack(blind, torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize("name", FOLLOWED)
def test_an_explainer_that_cannot_be_followed_is_refused(name: str) -> None:
    with pytest.raises(NotExplainable, match="rise gives no differentiable map"):
        short(name)(trained(), clean(), None, "rise")
    with pytest.raises(NotExplainable, match="needs a masking network"):
        short(name)(trained(), clean(), None, "realtime-saliency")
    with pytest.raises(BadTarget, match="needs a class to reach"):
        short(name)(trained(), clean(), -trained().aim(clean(), None), "grad-cam")


def test_manipulation_needs_an_explainer() -> None:
    with pytest.raises(BadField, match="none was given"):
        short("manipulation")(trained(), clean())


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("pgd", {"epsilon": -0.1}),
        ("adv-edge", {"step": 0.0}),
        ("adv-edge+", {"first": -1}),
        ("st-adv", {"rate": 0.0}),
        ("sparse-points", {"weight": 0.0}),
        ("manipulation", {"steps": 0}),
    ],
)
def test_bad_fields_are_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadField):
        create("attack", name, **fields)
