"""A new kind of explanation is a small dataclass: split, joined, saved, loaded by its fields."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from sameness import assert_same, told
from sightline import Chain, Heatmap, Regions
from sightline.errors import BadModel, FileProblem, NotExplainable, ShapeError, UnknownName
from sightline.explanation import Explanation
from sightline.pictures.preprocess import Frame


@dataclass(frozen=True, eq=False, kw_only=True)
class Chord(Explanation):
    """A kind of explanation that nobody draws."""

    whole: ClassVar[tuple[str, ...]] = ("names",)

    notes: Tensor
    names: Sequence[str] = ("c", "e", "g", "b")
    words: Sequence[str] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    below: Heatmap | None = None
    loudness: float = 0.5

    def __len__(self) -> int:
        return len(self.notes)

    def refused_if_empty(self, method: str, model: str) -> "Chord":
        return self


def chord(batch: int = 3) -> Chord:
    steps = torch.arange(batch, dtype=torch.float32)
    return Chord(
        notes=steps[:, None].expand(batch, 4).clone(),
        words=[f"word {i}" for i in range(batch)],
        extras={"pairs": [[i, i + 1] for i in range(batch)], "level": steps.double(), "mode": "x"},
        below=Heatmap(steps[:, None, None].expand(batch, 2, 2) + 1),
        provenance={"method": "chord", "score": steps.tolist(), "versions": ["1", "2"]},
        images=torch.rand(batch, 3, 2, 2),
        frames=[Frame(original=(4, 6), size=(2, 2), box=(1.0, 0.0, 5.0, 4.0))] * batch,
    )


def test_rows_are_taken_from_everything_that_belongs_to_an_image() -> None:
    found = chord().take([2, 0])
    assert found.notes[:, 0].tolist() == [2, 0] and found.words == ["word 2", "word 0"]
    assert found.extras["pairs"] == [[2, 3], [0, 1]] and found.extras["level"].tolist() == [2, 0]
    assert found.extras["mode"] == "x" and found.names == ("c", "e", "g", "b")
    assert found.below is not None and found.below.values[:, 0, 0].tolist() == [3, 1]
    assert found.provenance == {"method": "chord", "score": [2, 0], "versions": ["1", "2"]}
    assert found.images is not None and len(found.images) == 2 and len(found.frames or ()) == 2
    assert_same(told(chord().take(slice(1, None))), told(chord().take([1, 2])))


def test_a_field_without_entries_stays_empty() -> None:
    found = Chain(
        questions=["q"], classes=["a", "b"], asked=[[0], [0]], answers=[["yes"], ["no"]],
        posterior=[[[0.5, 0.5], [0.1, 0.9]], [[0.5, 0.5], [0.8, 0.2]]],
    )  # fmt: skip
    assert found.take([1]).prediction == [0] and len(found.take([1]).known) == 0
    assert len(Chain.join([found.take([0]), found.take([1])]).known) == 0


def test_parts_joined_are_the_whole() -> None:
    whole = chord()
    again = Chord.join([whole.take([0]), whole.take([1, 2])])
    assert_same(again.to_json(), whole.to_json())
    assert torch.equal(again.images, whole.images)


def test_tensors_of_unequal_size_are_left_out_of_the_whole() -> None:
    maps = [Heatmap(torch.ones(1, 4, 4), native=torch.ones(1, n, n)) for n in (2, 3)]
    joined = Heatmap.join(maps)
    assert joined.values.shape == (2, 4, 4) and joined.native is None


def test_detached_has_no_graph_and_no_half_precision() -> None:
    weights = torch.ones(2, 4, dtype=torch.bfloat16, requires_grad=True)
    found = replace(chord(2), notes=weights * 2, extras={"level": weights * 3}).detached()
    assert found.notes.dtype == torch.float32 and not found.notes.requires_grad
    assert not found.extras["level"].requires_grad
    assert found.words == ["word 0", "word 1"]


def test_a_folder_holds_all_of_it(tmp_path: Path) -> None:
    whole = chord()
    again = Chord.load(whole.save(tmp_path / "chord"))
    assert_same(again.to_json(), whole.to_json())
    assert torch.equal(again.images, whole.images)
    assert again.frames == whole.frames and again.extras["level"].dtype == torch.float64
    assert isinstance(again.below, Heatmap)
    with pytest.raises(BadModel, match="is a Chord"):
        Heatmap.load(tmp_path / "chord")
    with pytest.raises(FileProblem, match="holds no saved explanation"):
        Chord.load(tmp_path)


def test_a_heatmap_survives_a_folder_with_its_details_and_partner(tmp_path: Path) -> None:
    heat = Heatmap(
        torch.rand(2, 4, 4),
        native=torch.rand(2, 2, 2),
        details={"masks": torch.tensor([3, 4]), "fill": "mean"},
        partner=Heatmap(torch.rand(2, 4, 4)),
        images=torch.rand(2, 3, 4, 4),
    )
    folder = heat.save(tmp_path / "heat")
    again = Heatmap.load(folder)
    assert_same(again.to_json(), heat.to_json())
    assert again.masks.dtype == torch.int64 and again.channels is None
    assert {p.name for p in folder.iterdir()} == {
        "arrays.safetensors",
        "manifest.json",
        "overlay-000.png",
        "overlay-001.png",
    }


def test_plain_data_and_forms_that_a_kind_does_not_have(tmp_path: Path) -> None:
    saved = json.loads(chord(1).save(tmp_path / "chord.json").read_text("utf-8"))
    assert saved["explanation"] == "Chord" and saved["notes"] == [[0, 0, 0, 0]]
    assert "images" not in saved
    with pytest.raises(UnknownName, match="no view draws Chord"):
        chord(1).save(tmp_path / "chord.png")
    with pytest.raises(ShapeError, match="3 pictures do not fit"):
        chord().save(tmp_path / "chord.png")


def regions() -> Regions:
    node = [{"cells": [[0, 1]], "confidence": 0.95, "root": True}]
    edge = {"from": 0, "to": 1, "removed": [0, 1]}
    blank = {"cells": [], "confidence": 0.05, "root": False}
    return Regions(
        grid=(2, 2),
        minimal=[[[(0, 1)]], [[(1, 1), (0, 0)], [(1, 0), (0, 0)], [(0, 1)]]],
        confidences=[[0.95], [0.9, 0.9, 0.9]],
        necessary=[[(0, 1)], None],
        remaining=[0.1, None],
        links=[{"nodes": [*node, blank], "edges": [edge]}, {"nodes": node, "edges": []}],
        outcome=["sufficient", "sufficient"],
        notes=[["a"], []],
        evaluations=[7, 8],
    )


def test_regions_survive_splitting_and_files(tmp_path: Path) -> None:
    found = regions()
    again = Regions.load(found.save(tmp_path / "regions"))
    assert_same(again.to_json(), found.to_json())
    assert again.minimal == found.minimal and again.grid == (2, 2)
    assert again.take([1]).minimal == [[{(0, 0), (1, 1)}, {(0, 0), (1, 0)}, {(0, 1)}]]
    assert Regions.join([found.take([0]), found.take([1])]).agree == [True, None]


def test_a_graph_has_sets_as_nodes_and_removals_as_edges() -> None:
    graph = regions().take([0]).graph
    assert graph.nodes[((0, 1),)] == {"confidence": 0.95, "root": True}
    assert graph.edges[((0, 1),), ()]["removed"] == (0, 1)
    assert graph.edges[((0, 1),), ()]["drop"] == pytest.approx(0.9)
    with pytest.raises(ShapeError, match="2 images"):
        _ = regions().graph


def test_counts_bound_the_patches_that_two_sets_share() -> None:
    assert regions().counts() == [
        {"sets": 1, "sizes": [1], "overlap 0": 1, "overlap 1": 1, "overlap 2": 1},
        {"sets": 3, "sizes": [2, 2, 1], "overlap 0": 2, "overlap 1": 3, "overlap 2": 3},
    ]


def test_agreement_is_a_shared_patch_with_every_sufficient_set() -> None:
    apart = Regions(grid=(1, 3), minimal=[[[(0, 0)], [(0, 1)]]], necessary=[[(0, 0)]])
    assert apart.agree == [False]
    assert replace(apart, necessary=[[(0, 0), (0, 1)]]).agree == [True]
    assert replace(apart, necessary=[None]).agree == [None]


def test_regions_without_anything_to_show_or_off_the_grid_are_refused() -> None:
    empty = Regions(grid=(1, 1), minimal=[[]], links=[{"nodes": [], "edges": []}])
    with pytest.raises(NotExplainable, match="sag on net measured no set"):
        empty.refused_if_empty("sag", "net")
    with pytest.raises(ShapeError, match=r"\(2, 0\) is not on a grid of 2 x 2"):
        Regions(grid=(2, 2), minimal=[[[(2, 0)]]])


def test_a_folder_of_any_kind_is_loaded_by_the_root_name(tmp_path: Path) -> None:
    folder = regions().save(tmp_path / "sets")
    again = Explanation.load(folder)
    assert type(again) is Regions and again.minimal == regions().minimal
    with pytest.raises(BadModel, match="takes every kind"):
        Heatmap.load(folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["explanation"] = "Horoscope"
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BadModel, match="no kind of explanation is named Horoscope"):
        Explanation.load(folder)


@pytest.mark.parametrize(
    ("told", "short"),
    [
        ({}, "<Heatmap: 2 images>"),
        (
            {"method": "rise", "model": "a net", "target_label": ["owl", "owl"]},
            "<Heatmap: 2 images, by rise of a net, for owl>",
        ),
        (
            {"method": "rise", "target": "-Class(3)", "target_label": ["3", "5"]},
            "<Heatmap: 2 images, by rise, against class 3, class 5>",
        ),
        ({"target": "Axis(0)", "target_label": [None, None]}, "<Heatmap: 2 images, for Axis(0)>"),
    ],
)
def test_it_is_one_line_where_it_is_printed(told: dict[str, Any], short: str) -> None:
    assert repr(Heatmap(torch.rand(2, 3, 4), provenance=told)) == short
    many = Heatmap(torch.rand(9, 3, 4), provenance={"target_label": list("abcdefghi")})
    assert repr(many) == "<Heatmap: 9 images, for a, b, c, ...>"
    for kind in Explanation.__subclasses__():
        if kind.__module__.startswith("sightline."):
            assert kind.__repr__ is Explanation.__repr__
