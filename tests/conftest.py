"""What every test gets: one thread, fixed seeds, a private cache, and the real pictures where they
are.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Threads that wait must not spin: on a busy machine that made the same test six times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import jaxtyping
import torch

from shape_checks import checked

_CACHE = tempfile.TemporaryDirectory(prefix="sightline-tests-")
os.environ["SIGHTLINE_CACHE"] = _CACHE.name  # nobody's own cache is read or written

# Two threads gain nothing on networks of a few weights, and lose much on a machine that is shared.
torch.set_num_threads(1)

_REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Checks shapes in this test and its fixtures, or does not."""
    jaxtyping.config.update("jaxtyping_disable", not checked(item.path))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers for each test, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real photographs and networks."""
    if not (_REAL / "imagenet").is_dir():
        pytest.skip("the shared data folder is not here")
    return _REAL


@pytest.fixture
def two_threads() -> Iterator[None]:
    """For networks that are large enough to use them."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def learned_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny untrained networks for methods with learned parts, made for whatever model comes."""
    import learned

    learned.install(monkeypatch, tmp_path)
