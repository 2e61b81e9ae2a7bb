"""The record of a finished cell and its layout on the disk, which later versions read."""

import json
from pathlib import Path

import pytest
import torch

import sightline as sl
from sightline.evaluation.record import Measurement, Score
from sightline.worlds import analytic

STORED = [
    {"cell": "a", "error": "no gradient", "metrics": {}},
    {
        "cell": "b",
        "error": "",
        "target": 3,
        "prediction": "x = 0.5",
        "notes": ["taken as RGB"],
        "passes": [1, 2],
        "seconds": 0.25,
        "metrics": {
            "k": {"value": 0.5, "error": "", "curve": [1.0, None]},
            "m": {"value": None, "error": "undefined: no object", "strange": True},
            "n": {"value": 1.0, "error": "", "nulls": {"random": None, "edge map": 0.5}},
        },
        "map": {"rows": 1},
    },
]


@pytest.mark.parametrize("stored", STORED, ids=["failed", "finished"])
def test_the_layout_of_a_record_stays(stored: dict) -> None:
    again = json.loads(json.dumps(stored))
    found = Measurement.from_json(again)
    assert found.to_json() == stored and list(found.to_json()) == list(stored)
    assert {key: list(score.to_json()) for key, score in found.scores.items()} == {
        key: list(score) for key, score in stored["metrics"].items()
    }


def test_a_record_of_another_version_is_read_as_far_as_it_is_known() -> None:
    found = Measurement.from_json({"cell": "a", "metrics": {"k": {"value": 1.0}}, "later": 2})
    assert found.scores["k"].value == 1.0
    assert found.passes is None and found.error == ""
    assert Score.from_json({"value": 0.0, "error": "", "later": 1}).value == 0.0


def test_the_ledger_holds_what_a_record_writes(tmp_path: Path) -> None:
    metrics = [sl.create("metric", "deletion", steps=4), sl.create("metric", "evaluations")]
    pictures = list(torch.rand(1, 3, 6, 7))
    sl.evaluate(analytic.linear().model, pictures, ["gradient"], metrics, tmp_path, cache=False)
    lines = (tmp_path / "cells.jsonl").read_text("utf-8").splitlines()  # checksum, then JSON
    records = [json.loads(line[line.index("{") :]) for line in lines]
    assert len(records) > 1
    for record in records:
        assert Measurement.from_json(record).to_json() == record
