"""Runs that are killed at any moment: nothing finished is lost, nothing is done twice, and the
table is the same to the last byte.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sightline.evaluation.plan import BLIND

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are forked")


SHARES = (10, 30, 50, 70, 90)
"""Percent of the cells after which a run is killed."""


def _killed(folder: Path, workers: int, shares: Sequence[int] = SHARES) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "evaluation.killed_run", *map(str, (folder, workers, *shares))],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _assert_unharmed(told: dict, shares: Sequence[int] = SHARES) -> None:
    struck, total = told["struck"], told["total"]
    assert told["died"] >= len(shares) - 1  # the last one may have ended just before
    assert all(at >= total * share // 100 for at, share in zip(struck, shares, strict=True))
    assert struck[0] < total and len(set(struck)) > len(shares) // 2  # in the midst of the work
    assert told["lost"] == told["duplicated"] == 0
    assert told["cells"] == total == 3 * (2 + len(BLIND))
    assert told["unequal"] == []


def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    _assert_unharmed(_killed(tmp_path, workers=1))


@pytest.mark.slow
@pytest.mark.parametrize(("shares", "workers"), [(range(4, 99, 4), 1), (SHARES, 2)])
def test_a_run_killed_many_times_ends_in_the_same_bytes(
    tmp_path: Path, shares: Sequence[int], workers: int
) -> None:
    _assert_unharmed(_killed(tmp_path, workers, shares), shares)
