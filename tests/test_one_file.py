"""Adding a method is one file: in a copy of the project, four new files and `make golden`.

The explainer is the example of CONTRIBUTING.md. The suites that apply to a method run on these four
as on all others, and nothing but golden files may have changed for them.
"""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = "src/sightline/"
METRIC = '''"""Concentration: how much of a map lies where it is high.

Project definition: the share of the positive values that the highest tenth of the pixels holds.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...metric import Case, Metric
from ...registry import register


@register("concentration", paper="none")
@dataclass(frozen=True, kw_only=True)
class Concentration(Metric):
    """What share of the map's positive values do its highest pixels hold? In [0, 1].

    Do not trust it as faithfulness: a map of one wrong pixel has the best number.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share of the map"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def score(self, case: Case) -> Tensor:
        values = case.heat.flatten(1).relu().double()
        highest = values.topk(max(1, values.shape[1] // 10)).values.sum(1)
        total = values.sum(1)
        return torch.where(total > 0, highest / total, torch.nan).float()
'''
TEST = '''"""Concentration, by hand."""

import torch

from sightline import create
from test_metric_contract import case


def test_one_pixel_is_all_and_an_even_map_a_tenth() -> None:
    metric, whole = create("metric", "concentration"), case()
    dot = torch.zeros_like(whole.heat)
    dot[:, 3, 4] = 2
    assert metric(whole.with_heat(dot)).tolist() == [1, 1, 1]
    assert metric(whole.with_heat(torch.ones_like(dot))).tolist() == [102 / 1024] * 3
'''
ATTACK = '''"""Signed step: one step along the sign of the gradient.

Paper: Goodfellow et al., 2015. Deviations: none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attack import Attack
from ..explainer import Explainer
from ..model import Model
from ..registry import register
from ..target import Target


@register("signed-step", paper="arXiv:1412.6572")
@dataclass(frozen=True, kw_only=True)
class SignedStep(Attack):
    """Does one small step along the gradient change the prediction?

    epsilon: the change of each pixel value. Do not trust a picture that survives it: more steps
    reach farther.
    """

    epsilon: float = 0.03

    def deceive(
        self, model: Model, images: Tensor, target: Target, explainer: Explainer | None
    ) -> Tensor:
        _, gradients = model.gradients(images, target)
        return (images + self.epsilon * torch.sign(gradients)).clamp(0, 1)
'''
RECIPE = '''"""Small scores: a network that is kept from saying too much.

Project definition: weight times the mean squared logit is added to the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ..recipe import Recipe
from ..registry import register


@register("small-scores", paper="none")
@dataclass(frozen=True, kw_only=True)
class SmallScores(Recipe):
    """Does a penalty on large scores make a network less sure where it is wrong?

    weight: of the mean squared logit; 0 is plain training. Do not trust it as calibration: it
    lowers all scores alike.
    """

    control: ClassVar[Mapping[str, Any]] = {"weight": 0.0}

    weight: float = 0.1

    def loss(self, module: nn.Module, images: Tensor, labels: Tensor, step: int) -> Tensor | None:
        return self.weight * module(images).square().mean() if self.weight else None
'''
NAMES = ("gradient-x-input", "concentration", "signed-step", "small-scores")
GOLDEN = {
    "README.md",
    "docs/metrics.md",
    "src/sightline/cli/costs.json",
    *(f"tests/golden/{kind}.json" for kind in ("passes", "refusals", "undefined")),
}
SUITES = (
    "tests/test_contract.py",
    "tests/test_default_settings.py",
    "tests/claims/test_claims.py",
    "tests/test_costs.py",
    "tests/test_metric_contract.py",
    "tests/attacks/test_contract.py",
    "tests/recipes/test_contract.py",
)
WHOLE = {  # tests that look at all methods at once; a room that is full splits, so not its size
    "tests/test_docs.py": "has_a_page or when_not_to_trust or every_claim or readme_names",
    "tests/test_layers.py": "imports_point or short_enough or says_what_it_is_for",
    "tests/metrics/test_metrics_page.py": "stands_on_the_page_once",
    "tests/metrics/test_sanity.py": "has_a_check_of_its_own",
    "tests/cli/test_methods.py": "every_method_stands_in_a_group",
    "tests/test_concentration.py": "one_pixel_is_all",
}


def example() -> str:
    """The method that CONTRIBUTING.md prints."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return block


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with four methods more."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("src", "tests", "docs", "benchmarks"):
        unwanted = shutil.ignore_patterns("__pycache__", "methods")
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for path in [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "Makefile"]:
        shutil.copy(path, folder)
    written = {
        f"{ROOMS}explainers/gradient/gradient_x_input.py": example(),
        f"{ROOMS}metrics/quality/concentration.py": METRIC,
        f"{ROOMS}attacks/signed_step.py": ATTACK,
        f"{ROOMS}recipes/small_scores.py": RECIPE,
        "tests/test_concentration.py": TEST,
    }
    for name, text in written.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python command in the copy, whose package comes before the installed one."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


def digests(project: Path) -> dict[str, str]:
    """File -> what it holds."""
    files = [path for path in project.rglob("*") if path.is_file()]
    return {
        path.relative_to(project).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in files
        if "__pycache__" not in path.parts
    }


def checked(project: Path, *places: str, names: str) -> subprocess.CompletedProcess[str]:
    there = [place for place in places if (project / place).exists()]
    return run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *there, "-k", names)


def test_four_methods_need_four_files_and_one_command(project: Path) -> None:
    early = checked(project, "tests/test_docs.py", names="readme_names")
    assert early.returncode == 1 and "run `make golden` and review the diff" in early.stdout
    before = digests(project)
    written = run(project, "tests/golden.py", *NAMES)
    assert written.returncode == 0, written.stderr
    after = digests(project)
    assert {name for name in after if before.get(name) != after[name]} == GOLDEN
    found = checked(project, *SUITES, *WHOLE, names=" or ".join((*NAMES, *WHOLE.values())))
    assert found.returncode == 0, found.stdout[-6000:]
    assert int(re.findall(r"(\d+) passed", found.stdout)[0]) > 60
