"""`sightline benchmark`: its table, what a second call computes, and what it says of the nulls."""

import json
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor
from typer.testing import CliRunner, Result

from sightline import create
from sightline.cli.app import app
from sightline.cli.benchmark import model_names
from sightline.engines.benchmark import contest
from sightline.engines.benchmark.standings import standings
from sightline.engines.standing import Scores
from sightline.views.leaderboard import page, sentences

NULLS = ("random", "centred blob")

MINE = """
from pathlib import Path

def explain(network, pictures, index):
    with (Path(__file__).parent / "asked").open("ab") as asked:
        asked.write(b".")
    return pictures

def broken(network, pictures, index):
    raise ValueError("no idea")
"""


def _sightline(*words: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, words)])


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def _asked(file: Path) -> int:
    counted = file.parent / "asked"
    return len(counted.read_bytes()) if counted.exists() else 0


def _scores(name: str, rows: dict[str, float], pictures: int = 30, spread: float = 0.1) -> Scores:
    """Numbers around these means; the same noise for all rows, so differences are certain."""
    noise = np.random.default_rng(0).normal(0, spread, pictures)
    values = np.array([np.full(pictures, mean) + noise for mean in rows.values()])
    return Scores(label=name, metric=create("metric", name), columns=list(rows), values=values)


ROWS = {"good": 0.8, "grad-cam": 0.4, "twin": 0.8, "random": 0.1, "centred blob": 0.5}


def test_nulls_stand_in_their_place_and_the_sentence_says_who_loses_to_them() -> None:
    found = standings([_scores("insertion", ROWS)], NULLS)
    order = [place.name for place in found.places]
    assert set(order[:2]) == {"good", "twin"}
    assert order[2:] == ["centred blob", "grad-cam", "random"]
    assert [place.blind for place in found.places] == [False, False, True, False, True]
    assert len(found.level_with_first) == 1 and "grad-cam" not in found.level_with_first
    told = " ".join(sentences.about(found))
    assert "is in place 3 of 5" in told
    assert "**1 method loses to it beyond doubt: `grad-cam`.**" in told
    assert "By `insertion` alone the centred blob beats `grad-cam` by 0.10" in told
    assert "To a random map" not in told
    assert "`twin` cannot be told from it" in told or "`good` cannot be told from it" in told


def test_the_sentence_changes_with_the_numbers() -> None:
    better = standings([_scores("insertion", {**ROWS, "grad-cam": 0.6})], NULLS)
    told = " ".join(sentences.about(better))
    assert "is in place 4 of 5. No method loses to it beyond doubt" in told
    worse = standings([_scores("insertion", {**ROWS, "grad-cam": 0.05})], NULLS)
    told = " ".join(sentences.about(worse))
    assert "To a random map loses beyond doubt: `grad-cam`" in told
    assert "No method beats" not in told
    best = standings([_scores("insertion", {**ROWS, "random": 0.9})], NULLS)
    assert "No method beats a random map beyond doubt" in " ".join(sentences.about(best))
    # where less is better, the same numbers mean the opposite
    turned = standings([_scores("deletion", ROWS)], NULLS)
    assert [place.name for place in turned.places][:2] == ["random", "grad-cam"]
    nobody = {**ROWS, "good": 0.5, "twin": 0.5}
    told = " ".join(sentences.about(standings([_scores("pointing", nobody)], NULLS)))
    assert "By `pointing` alone the centred blob beats `grad-cam`" in told


def test_what_may_be_luck_is_not_called_a_loss() -> None:
    dice = np.random.default_rng(1)
    values = dice.normal(0.5, 0.3, (3, 6))
    columns = ["gradient", "rise", "centred blob"]
    noisy = Scores(
        label="insertion", metric=create("metric", "insertion"), columns=columns, values=values
    )
    told = " ".join(sentences.about(standings([noisy], ["centred blob"])))
    assert "No method loses to it beyond doubt" in told
    single = _scores("insertion", ROWS, pictures=1)
    assert "too few pictures" in sentences.first(standings([single], NULLS))


def test_a_dear_method_is_compared_on_the_pictures_that_it_has() -> None:
    scores = _scores("insertion", ROWS)
    scores.values[0, 6:] = np.nan
    scores.values[3:, 6:] = 0.99  # the nulls are good where the method was not asked
    found = standings([scores], NULLS)
    leads = {d.one: d for d in found.against["centred blob"]}
    assert leads["good"].count == 6 and leads["good"].word == "beats"
    assert leads["twin"].word == "loses to"


def test_three_birds_and_two_methods_make_a_table_and_a_second_call_computes_nothing(
    mine: Path, tmp_path: Path
) -> None:
    words = ["--model", "sightline:default", "--methods", f"grad-cam,outside:{mine}:explain"]
    words += ["--limit", "3", "--workers", "1", "--out", str(tmp_path / "o")]
    done = _sightline(*words)
    assert done.exit_code == 0, done.output
    assert "Drawn birds, sightline:default, 3 pictures" in done.stdout
    board = tmp_path / "o" / "leaderboard.md"
    text = board.read_text("utf-8")
    assert "### Drawn birds, sightline:default" in text and "| `grad-cam` |" in text
    assert "| `outside:explain` |" in text and "| *centred blob* |" in text
    assert "--limit 3" in text and "3 pictures" in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "±" in line]
    assert [line.split("|")[1].strip() for line in rows] == list("12345678")
    folder = tmp_path / "o" / "known-default"
    kept, asked = (folder / "cells.jsonl").read_bytes(), _asked(mine)
    assert asked >= 3
    told = json.loads(_sightline(*words, "--json").stdout)
    assert (folder / "cells.jsonl").read_bytes() == kept and _asked(mine) == asked
    assert board.read_text("utf-8") == text
    (found,) = told["contests"]
    assert found["pictures"] == 3 and len(found["order"]) == 8 and not told["errors"]
    # another contest in the same folder joins the page
    words[1] = "planted"
    assert _sightline(*words).exit_code == 0
    joined = board.read_text("utf-8")
    assert "### A planted pattern" in joined and "### Drawn birds, sightline:default" in joined


def test_a_method_that_fails_is_left_out_with_its_reason(mine: Path, tmp_path: Path) -> None:
    names = f"gradient,cam,rollout,outside:{mine}:broken"
    words = ("--track", "known", "--model", "planted", "--limit", 3, "--out", tmp_path / "o")
    done = _sightline("--methods", names, *words)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "o" / "leaderboard.md").read_text("utf-8")
    assert "`outside:broken`: raised ValueError: no idea" in text
    assert "`rollout`: " in text and "| `gradient` |" in text


def test_what_gives_no_map_is_named_and_what_holds_a_cam_reads_the_contests_layer(
    tmp_path: Path,
) -> None:
    names = "gradient,sag,part-words,flip-average,guided-grad-cam"
    words = ("--track", "known", "--model", "planted", "--limit", 2, "--out", tmp_path / "o")
    done = _sightline("--methods", names, *words)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "o" / "leaderboard.md").read_text("utf-8")
    assert "`sag`: gives Regions, which no metric of this contest reads" in text
    assert "`part-words`: gives Words" in text
    assert "| `flip-average` |" in text and "| `guided-grad-cam` |" in text


def test_expensive_methods_stand_on_the_first_pictures_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "EXPENSIVE", 20)
    monkeypatch.setattr(page, "EXPENSIVE", 20)
    words = ("--model", "planted", "--limit", 5, "--few", 3, "--out", tmp_path / "o")
    done = _sightline("--methods", "gradient,occlusion", *words, "--workers", 1)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "o" / "leaderboard.md").read_text("utf-8")
    assert "`occlusion` †" in text and "`gradient` |" in text
    assert "5 pictures, 3 for the expensive methods" in text
    assert (tmp_path / "o" / "known-planted" / "first-3-pictures.html").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--track", "unknown"), "--track is known, real or all"),
        (("--track", "real"), "the real track needs photographs"),
        (("aviary", "--track", "real"), "aviary is drawn"),
        (("--model", "timm:resnet18"), "nothing to measure"),
        (("--methods", "gradcma"), "did you mean"),
        (("--methods", "outside:nothing.py:f"), "there is no file"),
    ],
)
def test_wrong_use_ends_with_2(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = _sightline(*words, "--out", tmp_path / "o")
    assert done.exit_code == 2 and told in done.stderr
    assert not (tmp_path / "o").exists()


def test_commas_between_numbers_do_not_part_models() -> None:
    file = "file:a.safetensors?arch=timm:x&mean=0.4,0.5,.6&std=0.2,0.2, 0.2"
    assert model_names(f"sightline:default, {file},planted") == [
        "sightline:default",
        file,
        "planted",
    ]
    assert model_names("") == []


def test_what_a_metric_sums_up_by_its_own_rule_is_summed_up_once() -> None:
    class Counting(type(create("metric", "insertion"))):
        asked = 0

        def summary(self, values: Tensor, curves: Tensor | None) -> float:
            Counting.asked += 1
            return float(values.mean())

    values = np.random.default_rng(0).random((3, 20))
    scores = Scores(label="x", metric=Counting(), columns=["a", "b", "c"], values=values)
    level = scores.level("a")
    once = Counting.asked
    assert scores.level("a") == level and Counting.asked == once > 100
    assert scores.difference("a", "b").value == pytest.approx(values[0].mean() - values[1].mean())
    assert Counting.asked == 2 * once  # b's alone
