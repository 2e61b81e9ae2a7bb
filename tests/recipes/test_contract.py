"""What every registered recipe promises: a new file is covered once it exists.

`fit` has no resume of its own: a run that ends early keeps its weights, where `epoch_done` has seen
them, and a second `fit` counts its steps from 0 again. The runs that can be resumed
(`saliency_masks` and `embedded`) do so in loops of their own, and have tests of their own for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from recipes.lessons import Lesson, lesson
from sightline import available, registry
from sightline.errors import BadModel
from sightline.recipe import Recipe, fit
from sightline.registry import from_json, register, to_json
from tiny import tiny

RECIPES = available("recipe")
State = dict[str, Tensor]


def sgd(module: nn.Module) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
    return torch.optim.SGD(module.parameters(), 0.05, momentum=0.9), lambda step: None


def state(module: nn.Module) -> State:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def trained(given: Lesson, recipes: list[Recipe], epochs: int = 2) -> State:
    """The weights after so many epochs of the lesson, of a copy of its network."""
    rounds = [given.batches] * epochs
    return state(fit(deepcopy(given.module), rounds, sgd, recipes, base_loss=given.base_loss))


def control(recipe: Any) -> Recipe:
    return replace(recipe, **recipe.control)


def shown(recipe: Recipe, given: Lesson, epochs: int) -> Lesson:
    """The lesson with its batches as the recipe shows them, step by step."""
    batches = [recipe.augment(*b, step) for step, b in enumerate(given.batches * epochs)]
    return replace(given, batches=batches)


def without_its_terms_it_is_the_plain_loop_bit_for_bit(recipe: Recipe) -> None:
    given, plain = lesson(recipe), control(recipe)
    assert same(trained(given, [plain]), trained(shown(plain, given, 2), [], 1))


def its_terms_change_what_is_learned(recipe: Recipe) -> None:
    given = lesson(recipe)
    assert not same(trained(given, [recipe]), trained(given, [control(recipe)]))


def the_control_differs_in_the_terms_alone(recipe: Recipe) -> None:
    given, plain = lesson(recipe), control(recipe)
    assert recipe.control, "a class variable says which fields turn the terms off"
    for step, batch in enumerate(given.batches):
        pairs = zip(recipe.augment(*batch, step), plain.augment(*batch, step), strict=True)
        assert all(torch.equal(mine, other) for mine, other in pairs)
        built = plain.build(deepcopy(given.module))
        assert plain.loss(built, *batch, step) is None
    one, other = (each.build(deepcopy(given.module)) for each in (recipe, plain))
    assert type(one) is type(other) and same(state(one), state(other))
    assert type(recipe.finish(one)) is type(plain.finish(other))


def a_run_can_be_repeated_and_draws_no_random_number_of_others(recipe: Recipe) -> None:
    given = lesson(recipe)
    torch.manual_seed(5)
    before, first = torch.get_rng_state(), trained(given, [recipe])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert same(first, trained(given, [recipe]))


class Interrupted(Exception):
    """What the tests stop a run with."""


def interrupt() -> None:
    raise Interrupted


@contextmanager
def unharmed(module: nn.Module) -> Iterator[None]:
    """A network in a state that users leave them in; all but its weights is the same after."""
    module.train()
    list(module.modules())[-1].eval()
    next(iter(module.parameters())).requires_grad_(False)

    def facts() -> list[Any]:
        parts = [
            (name, id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks))
            for name, m in module.named_modules()
        ]
        return [
            *parts,
            *((n, id(p), p.requires_grad, p.grad) for n, p in module.named_parameters()),
        ]

    before = facts()
    yield
    assert facts() == before


def an_interruption_between_epochs_keeps_weights_and_harms_nothing(recipe: Recipe) -> None:
    given, seen = lesson(recipe), {}

    def stop(epoch: int, module: nn.Module, loss: float) -> None:
        seen[len(seen)] = state(module)
        raise Interrupted

    with unharmed(given.module):
        for rounds in (1, 3):  # what comes later does not matter
            run = replace(given, module=deepcopy(given.module)) if rounds == 1 else given
            with suppress(Interrupted):
                epochs = [given.batches] * rounds
                fit(run.module, epochs, sgd, [recipe], base_loss=given.base_loss, epoch_done=stop)
    assert same(seen[0], seen[1])
    assert seen[0].keys() == state(recipe.build(given.module)).keys()


def an_interruption_within_a_step_harms_nothing(recipe: Recipe) -> None:
    given, calls = lesson(recipe), []
    last = list(given.module.modules())[-1]
    whole = last.register_forward_hook(lambda *_: calls.append(0))
    trained(given, [recipe], 1)
    whole.remove()
    count = len(calls)
    assert count >= len(given.batches)

    for at in range(count):
        again, left = lesson(recipe), iter(range(at))
        handle = list(again.module.modules())[-1].register_forward_pre_hook(
            lambda *_, left=left: None if next(left, None) is not None else interrupt()
        )
        with unharmed(again.module), pytest.raises(Interrupted):
            fit(again.module, [again.batches], sgd, [recipe], base_loss=again.base_loss)
        handle.remove()


def fields_survive_json(recipe: Any) -> None:
    assert from_json("recipe", to_json(recipe)) == recipe and hash(recipe) is not None
    assert set(recipe.control) <= {field.name for field in fields(recipe)}


CHECKS = (
    without_its_terms_it_is_the_plain_loop_bit_for_bit,
    its_terms_change_what_is_learned,
    the_control_differs_in_the_terms_alone,
    a_run_can_be_repeated_and_draws_no_random_number_of_others,
    an_interruption_between_epochs_keeps_weights_and_harms_nothing,
    an_interruption_within_a_step_harms_nothing,
    fields_survive_json,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_keeps_the_contract(name: str, check: Callable[[Recipe], None]) -> None:
    check(tiny(name, "recipe"))


@dataclass(frozen=True, kw_only=True)
class ThrowAway(Recipe):
    """Do small weights help? One file's worth of a recipe: a penalty on the weights."""

    control: ClassVar[dict[str, Any]] = {"weight": 0.0}

    weight: float = 0.1

    def loss(self, module: nn.Module, images: Tensor, labels: Tensor, step: int) -> Tensor | None:
        if not self.weight:
            return None
        return self.weight * sum(w.square().sum() for w in module.parameters() if w.requires_grad)


@dataclass(frozen=True, kw_only=True)
class Faulty(ThrowAway):
    """The same with every fault that the contract forbids."""

    def build(self, module: nn.Module) -> nn.Module:
        if self.weight:
            next(iter(module.parameters())).data.add_(1)
        module.register_forward_hook(lambda *_: None)
        return module

    def loss(self, module: nn.Module, images: Tensor, labels: Tensor, step: int) -> Tensor:
        term = sum(w.square().sum() for w in module.parameters())
        return (self.weight + torch.rand(())) * term


@pytest.fixture
def registered() -> Iterator[None]:
    before = dict(registry._entries)
    yield
    registry._entries.clear()
    registry._entries.update(before)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.usefixtures("registered")
def test_a_recipe_in_one_file_keeps_it_too(check: Callable[[Recipe], None]) -> None:
    register("throw-away", paper="none")(ThrowAway)
    assert "throw-away" in available("recipe")
    check(tiny("throw-away", "recipe"))


@pytest.mark.parametrize("check", [c for c in CHECKS[:6] if "terms_change" not in c.__name__])
def test_the_contract_finds_faults(check: Callable[[Recipe], None]) -> None:
    with pytest.raises(AssertionError):
        check(Faulty())


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step() -> None:
    given = lesson(ThrowAway())
    batches = [*given.batches[:1], (given.batches[1][0] * torch.inf, given.batches[1][1])]
    with pytest.raises(BadModel, match=r"the loss is nan at step 1.*\. Lower the learning rate"):
        fit(given.module, [batches], sgd)
