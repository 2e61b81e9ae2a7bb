"""PyTorch's defaults are the user's: another default type or device changes no answer."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import sightline as sl
from sameness import assert_same, told
from sightline import Model, available
from sightline.worlds.miniatures import MINIATURES
from test_contract import EXPLAINERS, first_kind, loud, network
from test_metric_contract import case_for, metric_called
from tiny import tiny

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(no evidence for the target is pos|no step lowered)"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]

SOURCE = Path(sl.__file__).parent


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def fresh(kind: str) -> tuple[Model, Tensor]:
    """The network of `network(kind)` in a model that has found out nothing yet."""
    model, images = network(kind)
    if kind == "black-box":
        net = loud(MINIATURES["pooled-cnn"]())
        return Model.from_function(lambda x: net(x).detach().numpy(), size=model.size), images
    return Model(model.module, size=model.size), images


@pytest.mark.parametrize("name", EXPLAINERS)
def test_another_default_type_or_device_changes_no_answer(name: str) -> None:
    explain, kind = tiny(name), first_kind(name)
    wanted = told(explain(*fresh(kind), [0, 3, 4]))  # what it has learned is made here
    for world in (default_type(torch.float64), torch.device("meta")):
        model, images = fresh(kind)
        with world:
            found = explain(model, images, [0, 3, 4])
        assert_same(told(found), wanted)


@pytest.mark.parametrize("name", available("metric"))
def test_another_default_type_or_device_changes_no_number(name: str) -> None:
    metric, case = metric_called(name), case_for(name)
    wanted = metric(case)
    for world in (default_type(torch.float64), torch.device("meta")):
        same = replace(case, model=Model(case.model.module, size=case.model.size))
        with world:
            found = metric(same)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, equal_nan=True, rtol=1e-4, atol=1e-5)


CREATED = {"rand", "randn", "zeros", "ones", "empty", "eye", "linspace", "logspace"}
PLACED = {*CREATED, "randint", "randperm", "arange", "full", "tensor", "as_tensor"}


def test_every_new_tensor_says_its_type_and_device() -> None:
    silent = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            maker, said = node.func, {k.arg for k in node.keywords}
            ours = isinstance(maker.value, ast.Name) and maker.value.id == "torch"
            needed = {"device"} if ours and maker.attr in PLACED else set()
            needed |= {"dtype"} if ours and maker.attr in CREATED else set()
            if not needed <= said:
                place = f"{path.relative_to(SOURCE)}:{node.lineno}"
                silent.append(f"{place}: {ast.unparse(node)[:60]}")
    assert not silent
