"""The wheel, in a fresh environment: everything is in it, and the demo runs from it."""

import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel; the libraries are borrowed."""
    home = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [home / "bin" / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    return home / "bin"


def test_the_wheel_has_weights_page_assets_and_types_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    package = ROOT / "src" / "sightline"
    assets = [p for kind in ("js", "css", "j2") for p in package.rglob(f"*.{kind}")]
    assert len(assets) > 15
    for wanted in ("py.typed", "nets/weights/default.safetensors"):
        assert f"sightline/{wanted}" in names
    assert not {f"sightline/{p.relative_to(package).as_posix()}" for p in assets} - set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sightline"}
    assert wheel.stat().st_size < 20e6


def test_the_demo_runs_from_the_installed_wheel_in_under_a_minute(
    fresh: Path, tmp_path: Path
) -> None:
    where = [fresh / "python", "-c", "import sightline; print(sightline.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert str(fresh.parent) in found.stdout
    started = time.perf_counter()
    done = subprocess.run(
        [fresh / "sightline", "demo"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 60
    assert (tmp_path / "sightline-demo" / "report.html").stat().st_size < 5e6
    assert "sightline-demo/report.html" in done.stdout
    page = (tmp_path / "sightline-demo" / "report.html").read_text("utf-8")
    *shown, failing = page.split('<article class="item"')[1:]
    assert "SmoothGrad fails here: it does not beat the baselines" in failing
    assert not any("fails here" in part for part in shown)
    for part in shown:  # most methods beat every baseline on two or three of the three metrics
        won = [int(k) for k in re.findall(r"Beats every baseline on (\d) of 3 metrics", part)]
        assert len(won) == 6 and sum(k >= 2 for k in won) >= 4
    assert "exactly one method beats no baseline" in page
