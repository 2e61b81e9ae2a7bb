"""The recipe of query networks on tiny things: what it reads, learns, orders and writes down."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline.errors import FileProblem
from sightline.explainers.chain.knowledge import ExactTable
from sightline.nets.query_vae import QUESTIONS
from sightline.ops.pursuit.questions import Questions
from sightline.recipes import _bird_questions as birds
from sightline.recipes._chain_quality import foresight, wilson
from sightline.recipes.query_chains import (
    AnswerSplit,
    ChainPlan,
    fixed_order,
    main,
    of_table,
    read_arrays,
    run,
    shares,
    train,
)

TINY = ChainPlan(steps=150, batch=32, rate=1e-2, latent=2, width=16, fixed=3, things=8)


def table(path: Path, count: int = 60) -> Path:
    """Cats and dogs: cats purr, dogs bark, either may be wet."""
    rows = ["class,purrs,wet,barks"]
    rows += [f"{('cat', 'dog')[i % 2]},{1 - i % 2},{i // 2 % 2},{i % 2}" for i in range(count)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_becomes_a_network_with_a_log_and_a_control(tmp_path: Path) -> None:
    blueprint, things = of_table(TINY, table(tmp_path / "pets.csv"))
    assert blueprint.labels == ("cat", "dog") and blueprint.questions == ("purrs", "wet", "barks")
    assert len(things.labels) == 48 and len(things.test_labels) == 12
    out = tmp_path / "pets.safetensors"
    run(TINY, blueprint, things, out)
    found = QUESTIONS.load(out)
    assert found.blueprint.order[0] in (0, 2) and len(found.blueprint.order) == 3
    log = json.loads(out.with_suffix(".json").read_text())
    for one in ("trained", "naive Bayes, as long"):
        reached = log["measured"][one]
        assert reached["with the stop rules"]["accuracy"] == 1.0
        assert reached["accuracy after questions"]["information-pursuit"]["1"] == 1.0
        assert -0.7 < reached["log probability of an answer"] < 0


def test_training_is_reproducible_and_learns() -> None:
    bits = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(20, 1)
    labels = torch.tensor([0, 1]).repeat(20)
    things = AnswerSplit(bits, labels, bits, labels)
    from sightline.nets.query_vae import QueryBlueprint

    blueprint = QueryBlueprint(
        labels=("a", "b"), prior=(0.5, 0.5), questions=("p", "q"), latent=2, width=8
    )
    one, same = train(TINY, blueprint, things), train(TINY, blueprint, things)
    first, again = one.state_dict(), same.state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert foresight(one, bits, labels) > -0.2
    plain = train(TINY, replace(blueprint, latent=0), things)
    exact = foresight(plain, bits, labels)
    slow = [
        float(plain.decode(torch.zeros(1, 0), labels[i : i + 1])[0, k]) * (1 if bits[i, k] else -1)
        for i in range(40)
        for k in range(2)
    ]
    assert exact == pytest.approx(-np.mean([np.log1p(np.exp(-x)) for x in slow]), rel=1e-4)


def test_the_fixed_order_asks_what_tells_most_on_average() -> None:
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
    right = torch.tensor([[0.4, 0.0, 0.2], [0.6, 1.0, 0.8]], dtype=torch.float64)
    noisy = ExactTable.naive(prior, right, Questions.single(3))
    order = fixed_order(noisy, torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), 3)
    assert order[0] == 1 and sorted(order) == [0, 1, 2]


def test_class_shares_are_smoothed() -> None:
    found = shares(torch.tensor([0, 0, 1]), 3)
    assert sum(found) == pytest.approx(1) and found[2] == pytest.approx(0.1 / 3 / 3.1)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)


def test_arrays_are_binary_pictures(tmp_path: Path) -> None:
    images = np.zeros((4, 6, 6), np.uint8)
    images[:, :3] = 255
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([0, 1, 0, 1]))
    bits, labels, names = read_arrays(tmp_path / "a.npz", (3, 3))
    assert bits.shape == (4, 9) and names == ["0", "1"] and labels.tolist() == [0, 1, 0, 1]
    assert bits[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    with pytest.raises(FileProblem, match="no `images`"):
        read_arrays(tmp_path / "none.npz", (3, 3))


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, said in (("a,b\n1,0\n", "no column `class`"), ("class,p\nx,2\n", "holds '2'")):
        path.write_text(text)
        with pytest.raises(FileProblem, match=said):
            of_table(TINY, path)
    with pytest.raises(FileProblem, match="cannot be read"):
        of_table(TINY, tmp_path / "absent.csv")


def test_the_command_wants_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["query_chains", "--model", "timm:resnet18"])
    with pytest.raises(SystemExit):
        main()


def test_the_questions_about_birds_are_words_and_mixed_birds_have_parts_of_any_species() -> None:
    asked = birds.questions()
    words = [birds.wording(*q) for q in asked]
    assert len(set(words)) == len(words) == len(birds.truth(birds.SPECIES[0].attributes)) == 55
    assert "Is the crown teal?" in words and "Has it two wing bars?" in words
    assert "Is the bill a dagger?" in words and "Is it without eye ring?" in words
    scenes = [birds.mixed_scene(0, i) for i in range(20)]
    species = [s.attributes for s in birds.SPECIES]
    assert sum(scene.attributes in species for scene in scenes) <= 1
