"""What every test gets: one thread, fixed seeds, a private cache, and the real pictures where they
are.
"""

import atexit
import os
import tempfile
from collections import Counter
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
atexit.register(_CACHE.cleanup)

# Two threads gain nothing on networks of a few weights, and lose much on a machine that is shared.
torch.set_num_threads(1)

_REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


MANY = 100  # tests of a file from which it is shared out between the workers, method by method


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a file on one worker, so that what they share is made once."""
    count = Counter(item.path for item in items)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            file = str(item.path.relative_to(Path(__file__).parent))
            method = getattr(item, "callspec", None) and item.callspec.params.get("name")
            group = f"{file}, {method}" if method and count[item.path] >= MANY else file
            item.add_marker(pytest.mark.xdist_group(group))


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


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A folder with two drawn birds, each in the folder of its species."""
    from PIL import Image

    from sightline.worlds import aviary

    folder = tmp_path / "birds"
    for bird in aviary.bundle(2):
        (folder / bird.species).mkdir(parents=True)
        Image.fromarray(bird.image).save(folder / bird.species / "one.png")
    return folder
