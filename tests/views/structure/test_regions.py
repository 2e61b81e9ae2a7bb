"""Regions draw themselves: a panel without a script, a file that stands alone, a figure."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from sightline import registry
from sightline.explanations.regions import Regions
from sightline.views.structure.drawing import GridPlate, SetLayer, name, rules, score_line, stage
from sightline.views.structure.layout import laid_out
from sightline.views.structure.regions import counting, finding
from sightline.views.structure.sentences import shown_first

EVIL = '<script>alert("x")</script> & co'
LINK = {
    "nodes": [
        {"cells": [[0, 0], [0, 1]], "confidence": 0.97, "root": True},
        {"cells": [[0, 1], [1, 1]], "confidence": 1.08, "root": True},
        {"cells": [[0, 1]], "confidence": 0.6, "root": False},
        {"cells": [[0, 0]], "confidence": 0.1, "root": False},
        {"cells": [], "confidence": 0.0, "root": False},
    ],
    "edges": [
        {"from": 0, "to": 2, "removed": [0, 0]},
        {"from": 0, "to": 3, "removed": [0, 1]},
        {"from": 1, "to": 2, "removed": [1, 1]},
        {"from": 2, "to": 4, "removed": [0, 1]},
    ],
}


def regions(label: str = "wren", size: tuple[int, int] = (40, 60)) -> Regions:
    return Regions(
        grid=(2, 3),
        minimal=[[[(0, 0), (0, 1)], [(0, 1), (1, 1)]]],
        confidences=[[0.97, 0.93]],
        necessary=[[(0, 1)]],
        remaining=[0.05],
        links=[LINK],
        outcome=["sufficient"],
        notes=[[f"A note on {label}."]],
        evaluations=[31],
        images=torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)),
        provenance={"method": "sag", "target_label": [label], "probability": [0.8]},
    )


def test_a_panel_has_a_layer_for_each_node_and_each_set_and_no_script() -> None:
    text = registry.view(Regions, "panel")(regions(EVIL), 0)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    shown = 5 + 2 + 1  # nodes, minimal sets, what the necessary set leaves
    for k in range(shown):
        assert f"layer k{k}" in text and re.search(rf'class="node n{k}\b', text)
    assert f"layer k{shown}" not in text
    assert text.count('tabindex="0"') == shown
    assert text.count("<image ") == 1


def test_outlines_are_as_long_as_the_confidence_and_weak_sets_are_faded() -> None:
    text = registry.view(Regions, "panel")(regions(), 0)
    lengths = re.findall(r'stroke-dasharray="([\d.]+) 100"', text)
    assert lengths == ["97", "100", "60", "10", "0"]
    assert re.findall(r'class="node n(\d)[^"]*faded', text) == ["3", "4"]
    assert re.findall(r'class="percent"[^>]*>([^<]*)<', text)[1] == "full score"


def test_the_file_is_well_formed_and_escaped() -> None:
    root = ET.fromstring(registry.view(Regions, "svg")(regions(EVIL), 0))
    assert root.tag.endswith("svg")
    said = "".join(root.itertext())
    assert EVIL in said
    assert not [each for each in root.iter() if each.tag.endswith("script")]


def test_a_page_of_its_own_has_the_colours_and_all_images() -> None:
    one = regions()
    both = Regions.join([one, one])
    text = both._repr_html_()
    assert text.count('class="sag"') == 2 and "--accent:" in text and ".sag-strip" in text


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (30, 30)])
def test_nodes_stand_below_what_they_come_from_and_do_not_overlap(size: tuple[int, int]) -> None:
    layout = laid_out(LINK, size[1] / size[0])
    for edge in layout.edges:
        assert layout.nodes[edge.above].y < edge.y < layout.nodes[edge.below].y
    rows: dict[float, list[float]] = {}
    for node in layout.nodes:
        rows.setdefault(node.y, []).append(node.x)
        assert node.x >= 0 and node.x + layout.picture[0] <= layout.width
        assert node.y >= 0 and node.y + layout.picture[1] <= layout.height
    for places in rows.values():
        assert all(np.diff(sorted(places)) >= layout.picture[0])


def test_a_set_that_is_reached_twice_is_drawn_once() -> None:
    layout = laid_out(LINK, 1.5)
    assert len(layout.nodes) == 5
    assert [edge.below for edge in layout.edges].count(2) == 2


def test_the_veil_covers_what_is_not_in_the_set_and_the_border_runs_around_it() -> None:
    plate = GridPlate(address="data:,", size=(60, 40), grid=(2, 3))
    assert plate.veil([(0, 0), (1, 2)]).count("z") == 4
    assert plate.border([(0, 0)]).count("M") == 4
    assert plate.border([(0, 0), (0, 1)]).count("M") == 6


def test_cells_are_named_as_on_a_chess_board() -> None:
    assert [name((0, 0)), name((6, 2)), name((1, 30))] == ["A1", "C7", "31.2"]
    assert score_line([(0, 0)], 0.5) == "A1: keeps 50\N{NARROW NO-BREAK SPACE}% of the score"
    assert score_line([(r, 0) for r in range(9)], 0.5).startswith("9 patches: ")


def test_what_keeps_more_than_the_score_keeps_the_full_score() -> None:
    said = score_line([(0, 0)], 1.01, 0.92).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert said == "A1: keeps the full score (93 %; whole picture 92 %)"
    assert score_line([(0, 0)], 1.0) == "A1: keeps the full score"
    assert "100" not in score_line([(0, 0)], 0.999)
    assert "108\N{NARROW NO-BREAK SPACE}%" not in registry.view(Regions, "panel")(regions(), 0)


def test_hovering_goes_before_focus_and_the_first_set_is_shown_alone() -> None:
    css = rules(2)
    assert ".sag:not(:has(.node:hover,.node:focus)) .k0" in css
    assert ".sag:has(.n1:hover) .k1" in css
    assert ".sag:not(:has(.node:hover)):has(.n1:focus) .k1" in css


def test_the_findings_are_sentences() -> None:
    told_ = finding(regions(), 0)
    assert told_.startswith(
        "Any one of 2 sets of patches is enough for wren; one of the 2 smallest (A1 B1) is"
    )
    counted = counting(regions(), 0)
    assert "2 minimal sets of 2 patches." in counted
    assert (
        "Largest group of sets that share no patch: 1; at most one patch: 2; at most two patches:"
        " 2." in counted
    )
    assert "Without B1 only 5" in counted
    assert "Every sufficient set contains at least one of these patches." in counted


def several(first: list[list[int]]) -> Regions:
    """Three minimal sets; the graph starts from the first, which need not be the smallest."""
    sets = [[(0, 2)], [(0, 0), (0, 1)], [(0, 1), (1, 1)]]
    starts = [first, [[0, 1], [1, 1]]]
    nodes = [{"cells": c, "confidence": 0.95 + k / 100, "root": True} for k, c in enumerate(starts)]
    nodes += [{"cells": [[0, 1]], "confidence": 0.2, "root": False}]
    edges = [{"from": k, "to": 2, "removed": cells[0]} for k, cells in enumerate(starts)]
    return replace(
        regions(),
        minimal=[sets],
        confidences=[[0.91, 0.95, 0.96]],
        links=[{"nodes": nodes, "edges": edges}],
    )


@pytest.mark.parametrize(
    ("first", "named"),
    [([[0, 2]], "the smallest (C1)"), ([[0, 0], [0, 1]], "the one shown first (A1 B1)")],
)
def test_headline_large_picture_and_first_root_are_one_set(
    first: list[list[int]], named: str
) -> None:
    found = several(first)
    assert named in finding(found, 0)
    lead = shown_first(found, 0)
    assert [list(c) for c in laid_out(found.links[0], 1.0).nodes[lead].cells] == first
    text = registry.view(Regions, "panel")(found, 0)
    assert f".sag:not(:has(.node:hover,.node:focus)) .k{lead}{{" in text
    shown = re.search(rf'<g class="layer k{lead}">.*?<text[^>]*>([^<]*)<', text)
    assert shown and shown[1].split(":")[0] in named


def test_the_set_of_the_headline_stands_on_the_left() -> None:
    turned = replace(several([[0, 0], [0, 1]]), minimal=[[[(0, 1), (1, 1)], [(0, 0), (0, 1)]]])
    lead = shown_first(turned, 0)
    nodes = laid_out(turned.links[0], 1.0, lead).nodes
    assert lead == 1 and nodes[1].x < nodes[0].x
    assert "one of the 2 smallest (B1 B2)" in finding(turned, 0)


def test_a_long_line_below_the_picture_is_wrapped_and_has_room() -> None:
    plate = GridPlate(address="data:,", size=(480, 480), grid=(7, 7))
    cells = tuple((r, 0) for r in range(7))
    text = stage(plate, [SetLayer(cells=cells, line=score_line(cells, 1.01, 0.92))])
    lines = re.findall(r'<text class="line" x="0" y="([\d.]+)" font-size="([\d.]+)">([^<]*)<', text)
    assert len(lines) == 2 and max(len(words) for _, _, words in lines) <= 47
    _, top, _, high = map(float, re.findall(r'viewBox="([^"]*)"', text)[0].split())
    assert all(float(y) + 0.3 * float(size) <= top + high for y, size, _ in lines)


def test_the_graph_shrinks_only_as_far_as_its_text_is_readable() -> None:
    text = registry.view(Regions, "panel")(regions(), 0)
    width, least = re.findall(
        r'class="graph-of-sets"[^>]*width="([\d.]+)"[^>]*min-width:(\d+)px', text
    )[0]
    assert 12 * float(least) / float(width) >= 11


@pytest.mark.parametrize("outcome", ["none", "fill"])
def test_an_ending_without_a_set_is_drawn_and_said(outcome: str) -> None:
    link = {"nodes": [{"cells": [], "confidence": 0.95, "root": True}], "edges": []}
    bare = Regions(
        grid=(2, 3),
        minimal=[[[]] if outcome == "fill" else []],
        confidences=[[0.95] if outcome == "fill" else []],
        necessary=[None],
        remaining=[None],
        links=[link],
        outcome=[outcome],
        notes=[[]],
        evaluations=[1],
    )
    assert {"none": "No set", "fill": "No patch is needed"}[outcome] in finding(bare, 0)
    assert "no patch: keeps 95" in registry.view(Regions, "panel")(bare, 0)


def test_figures_and_files_leave_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figure = regions().figure(dark=True)
    assert len(figure.axes) == 2 and dict(matplotlib.rcParams) == before
    for suffix in (".png", ".svg", ".html", ".json", ".jpg"):
        assert regions().save(tmp_path / f"r{suffix}").stat().st_size > 500
    folder = regions().save(tmp_path / "all")
    assert {"overlay-000.png", "picture-000.svg"} <= {p.name for p in folder.iterdir()}


def test_an_edge_over_several_layers_passes_beside_the_nodes_between() -> None:
    cells = [[[0, 0]], [[0, 1], [0, 2]], [[0, 1]], []]
    nodes = [{"cells": c, "confidence": 0.9 - 0.2 * k, "root": k < 2} for k, c in enumerate(cells)]
    ends = [(0, 3, [0, 0]), (1, 2, [0, 2]), (2, 3, [0, 1])]
    edges = [{"from": a, "to": b, "removed": r} for a, b, r in ends]
    found = laid_out({"nodes": nodes, "edges": edges}, 1.0)
    assert [len(edge.through) for edge in found.edges] == [1, 0, 0]
    x, upper, lower = found.edges[0].through[0]
    passed = [n for n in found.nodes if n.y < lower and n.y + found.picture[1] > upper]
    assert [n.cells for n in passed] == [((0, 1),)]
    assert not passed[0].x - 4 < x < passed[0].x + found.picture[0] + 4
    assert found.nodes[2].y == pytest.approx(upper) and 0 < x < found.width
