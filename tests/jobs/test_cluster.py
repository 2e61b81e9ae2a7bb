"""The engine `ray` on a cluster of two machines, started here: the numbers of the local engine, and
nothing lost when a worker or a whole machine is killed in mid-run.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sightline as sl
from evaluation.breaking import Dying, DyingOnce
from jobs.squares import LEDGER, Squares, notes, tasks
from sightline.errors import BadField, MissingExtra
from sightline.evaluation.plan import BLIND
from sightline.jobs.cluster import RayRunner
from sightline.jobs.ledger import open_ledger
from sightline.jobs.resume import finish
from sightline.worlds import analytic

ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
pytestmark = [
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

ROOM = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "wait": False}
STARTED = 180.0  # seconds for all machines; Ray's own 30 are too few where others compute


def wait_for(made: Any) -> None:
    """Skips the test, with the reason, where Ray does not come up on a busy machine."""
    try:
        made.wait_for_nodes(STARTED)
    except TimeoutError as late:
        pytest.skip(f"Ray's machines were not up after {STARTED:.0f} s: {late}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of one core each, as processes of this one."""
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            head = {**ROOM, "include_dashboard": False}
            made = Cluster(initialize_head=True, head_node_args=head)
            made.add_node(**ROOM)
        except Exception as late:  # a plain Exception of Ray's
            if "timed out" not in str(late):
                raise
            pytest.skip(f"Ray did not start: {late}")
        try:
            wait_for(made)
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def pictures() -> list[tuple[Tensor, int]]:
    drawn = torch.rand(8, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    return [(picture, k % 3) for k, picture in enumerate(drawn)]


def _evaluate(data: Any, methods: list[Any], out: Path, **fields: Any) -> Any:
    metric = sl.create("metric", "deletion", steps=4)
    return sl.evaluate(analytic.linear().model, data, methods, [metric], out, batch=4, **fields)


def _cells(out: Path) -> list[str]:
    lines = (out / "cells.jsonl").read_bytes().splitlines()
    return [json.loads(line.partition(b" ")[2])["cell"] for line in lines]


def test_a_killed_worker_loses_nothing_and_the_numbers_are_those_of_the_local_engine(
    cluster: Any, pictures: list[tuple[Tensor, int]], tmp_path: Path
) -> None:
    methods = [DyingOnce(folder=str(tmp_path)), sl.create("explainer", "gradient")]
    out = tmp_path / "ray"
    table = _evaluate(pictures, methods, out, engine="ray", address=cluster.address)
    assert (tmp_path / "killed").exists() and not table.errors
    local = _evaluate(pictures, methods, tmp_path / "local")
    assert [r["value"] for r in table.rows] == pytest.approx(
        [r["value"] for r in local.rows], abs=1e-5
    )
    cells = _cells(out)
    assert len(cells) == len(set(cells)) == 8 * (2 + len(BLIND))
    assert not ray.is_initialized()  # the connection was ours, and is closed


@pytest.mark.slow
def test_a_cell_that_kills_every_worker_is_a_row_with_its_reason(
    cluster: Any, pictures: list[tuple[Tensor, int]], tmp_path: Path
) -> None:
    methods = [Dying(parent=-1), sl.create("explainer", "gradient")]
    table = _evaluate(
        pictures[:3], methods, tmp_path, engine="ray", address=cluster.address, workers=1
    )
    (error,) = table.errors
    assert "process that computed it died" in error
    assert sum(r["value"] is not None for r in table.rows) == 3 * (2 + len(BLIND)) - 1


@pytest.mark.slow
def test_pictures_travel_and_a_run_goes_on_where_another_engine_stopped(
    cluster: Any, tmp_path: Path
) -> None:
    from PIL import Image

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 3))
    model = sl.Model(net, sl.Preprocess(size=8), name="tiny")
    for k in range(3):
        Image.new("RGB", (9, 10), (60 * k + 9, 80, 200)).save(tmp_path / f"{k}.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    told = {}
    for engine, limit in (("local", 2), ("ray", None), ("local", None)):
        address = cluster.address if engine == "ray" else None
        told[engine, limit] = sl.evaluate(
            model,
            str(tmp_path / "*.png"),
            ["gradient"],
            ["deletion"],
            tmp_path / "run",
            limit=limit,
            batch=4,
            engine=engine,
            address=address,
        )
    (error,) = told["ray", None].errors
    assert error.startswith("cut.png, gradient: cut.png is not a picture")
    assert told["ray", None].rows == told["local", None].rows
    assert len(_cells(tmp_path / "run")) == 4 * (1 + len(BLIND))


@pytest.mark.slow
def test_a_machine_that_goes_away_loses_nothing(
    cluster: Any, pictures: list[tuple[Tensor, int]], tmp_path: Path
) -> None:
    second = cluster.add_node(**ROOM)
    wait_for(cluster)
    done = []

    def watch(finished: int, _: int) -> None:
        done.append(finished)
        if finished == 9:
            cluster.remove_node(second, allow_graceful=False)

    methods = [sl.create("explainer", "gradient"), sl.create("explainer", "input-x-gradient")]
    table = _evaluate(
        pictures, methods, tmp_path, engine="ray", address=cluster.address, progress=watch
    )
    assert not table.errors and len(table.rows) == 8 * (2 + len(BLIND))
    assert done[-1] == 8 * (2 + len(BLIND))


@pytest.mark.slow
def test_another_piece_of_work_loses_a_part_at_most(cluster: Any, tmp_path: Path) -> None:
    runner, given = RayRunner(address=cluster.address, workers=2), tasks(24, parts=3, shard=2)
    (tmp_path / "file").write_bytes(b"content")
    digests = [hashlib.sha256(text).hexdigest() for text in (b"content", b"another file")]
    for k in (0, 1):
        given[k] = replace(given[k], file=tmp_path / "file", digest=digests[k])
    with open_ledger(tmp_path / LEDGER) as book:
        work = Squares(folder=tmp_path, dies=9, wrong=13)
        failed = finish(work, given, book, runner)
        assert sorted(result.record["cells"] for result in failed) == [("12", "13"), ("8", "9")]
        assert len(book) == 20 and notes(tmp_path / "begun").count("8") == 2
        assert {"name", "bytes"} == set(notes(tmp_path / "came_as"))
        assert not finish(Squares(folder=tmp_path), given, book, runner)
        squares = {k: (book.get(str(k)) or {})["squares"][k % 2] for k in range(24)}
    assert squares == {k: k * k for k in range(24)}


def test_a_cluster_that_is_not_there_is_said(
    pictures: list[tuple[Tensor, int]], tmp_path: Path
) -> None:
    with pytest.raises(BadField, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        _evaluate(pictures, ["gradient"], tmp_path, engine="ray", address="127.0.0.1:1")


def test_without_ray_the_extra_is_named(
    pictures: list[tuple[Tensor, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"sightline\[ray\]"):
        _evaluate(pictures, ["gradient"], tmp_path / "run", engine="ray")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["AuthenticationError", "ConnectionError"])
def test_a_cluster_that_wants_a_token_is_said_to(
    kind: str,
    pictures: list[tuple[Tensor, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray.exceptions

    made = getattr(ray.exceptions, kind, None) or ConnectionError
    text = "Status code: UNAUTHENTICATED, InvalidAuthToken: Authentication token is missing"

    def refused(**_: Any) -> None:
        raise made(text)

    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(BadField, match=r"asks for authentication.*RAY_AUTH_TOKEN") as told:
        _evaluate(pictures, ["gradient"], tmp_path, engine="ray")
    assert "no Ray cluster answers" not in str(told.value)
