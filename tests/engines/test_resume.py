"""Runs that are killed at any moment: nothing finished is lost, nothing is done twice, and the
table is the same to the last byte.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.engines.setup import BLIND

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are forked")


def _killed(folder: Path, kills: int, workers: int) -> dict:
    script = Path(__file__).with_name("killed_run.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(kills), str(workers)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _assert_unharmed(told: dict) -> None:
    assert told["died"] > 0
    assert told["lost"] == told["duplicated"] == 0
    assert told["cells"] == 3 * (2 + len(BLIND))
    assert told["unequal"] == []


def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    _assert_unharmed(_killed(tmp_path, kills=5, workers=1))


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "workers"), [(100, 1), (10, 2)])
def test_a_run_killed_many_times_ends_in_the_same_bytes(
    tmp_path: Path, kills: int, workers: int
) -> None:
    _assert_unharmed(_killed(tmp_path, kills, workers))
