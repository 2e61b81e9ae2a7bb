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
from sightline.evaluation.benchmark import run
from sightline.evaluation.benchmark.ranking import benchmark_ranking
from sightline.evaluation.benchmark.recommendation import recommended
from sightline.evaluation.comparison import Scores
from sightline.pages.leaderboard import page, sentences

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


def test_baselines_stand_in_their_place_and_the_sentence_says_who_is_worse() -> None:
    found = benchmark_ranking([_scores("insertion", ROWS)], NULLS)
    order = [place.name for place in found.places]
    assert set(order[:2]) == {"good", "twin"}
    assert order[2:] == ["centred blob", "grad-cam", "random"]
    assert [place.blind for place in found.places] == [False, False, True, False, True]
    assert [place.rank for place in found.places] == [1, 1, 3, 4, 5]
    assert found.level_with_first == ["twin"] and found.equal == [("good", "twin")]
    # equal ones are one opponent: grad-cam wins one of three comparisons, not one of four
    assert found.places[3].share.value == pytest.approx(1 / 3)
    text = " ".join(sentences.about(found))
    assert "counted once: `good` = `twin`" in text
    assert "ranks 3rd of 5" in text
    assert "**1 method is significantly worse: `grad-cam`.**" in text
    assert (
        "By `insertion` alone the centred blob is significantly better than `grad-cam` by" in text
    )
    assert "than a random map" not in text
    assert "significantly more than every method that is not equal to it" in text


def test_the_sentence_changes_with_the_numbers() -> None:
    better = benchmark_ranking([_scores("insertion", {**ROWS, "grad-cam": 0.6})], NULLS)
    text = " ".join(sentences.about(better))
    assert "ranks 4th of 5. No method is significantly worse." in text
    worse = benchmark_ranking([_scores("insertion", {**ROWS, "grad-cam": 0.05})], NULLS)
    text = " ".join(sentences.about(worse))
    assert "Significantly worse than a random map: `grad-cam`" in text
    assert "No method is significantly better" not in text
    best = benchmark_ranking([_scores("insertion", {**ROWS, "random": 0.9})], NULLS)
    text = " ".join(sentences.about(best))
    assert "No method is significantly better than a random map" in text
    # where less is better, the same numbers mean the opposite
    turned = benchmark_ranking([_scores("deletion", ROWS)], NULLS)
    assert [place.name for place in turned.places][:2] == ["random", "grad-cam"]
    nobody = {**ROWS, "good": 0.5, "twin": 0.5}
    text = " ".join(sentences.about(benchmark_ranking([_scores("pointing", nobody)], NULLS)))
    assert "By `pointing` alone the centred blob is significantly better than `grad-cam`" in text


def test_what_may_be_luck_is_not_called_a_loss() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.5, 0.3, (3, 9))
    columns = ["gradient", "rise", "centred blob"]
    noisy = Scores(
        label="insertion", metric=create("metric", "insertion"), columns=columns, values=values
    )
    text = " ".join(sentences.about(benchmark_ranking([noisy], ["centred blob"])))
    assert "No method is significantly worse" in text
    for pictures in (1, 7):
        few = benchmark_ranking([_scores("insertion", ROWS, pictures=pictures)], NULLS)
        assert "too few for a verdict" in sentences.first(few)[0]
        assert "significantly" not in " ".join(sentences.about(few))


def test_maps_that_differ_by_rounding_share_a_rank_and_count_once() -> None:
    rng = np.random.default_rng(2)
    cam, other, null = rng.random((3, 24))
    noise = 1 + 1e-7 * rng.choice([-1, 1], (2, 24))
    values = np.stack([cam, cam * noise[0], cam * noise[1], other, null])
    columns = ["grad-cam", "hires-cam", "recipro-cam", "rise", "centred blob"]
    scores = Scores(
        label="insertion", metric=create("metric", "insertion"), columns=columns, values=values
    )
    found = benchmark_ranking([scores], ["centred blob"])
    shares = {place.name: place.share for place in found.places}
    assert shares["grad-cam"] == shares["hires-cam"] == shares["recipro-cam"]
    expected = ((cam > other).mean() + (cam > null).mean()) / 2
    assert shares["grad-cam"].value == pytest.approx(expected)
    text = " ".join(sentences.about(found))
    assert "counted once: `grad-cam` = `hires-cam` = `recipro-cam`." in text


def test_an_expensive_method_is_ranked_on_the_pictures_that_it_has() -> None:
    scores = _scores("insertion", ROWS)
    scores.values[0, 10:] = np.nan
    scores.values[3:, 10:] = 0.99  # the baselines are good where the method was not asked
    found = benchmark_ranking([scores], NULLS)
    leads = {d.one: d for d in found.against["centred blob"]}
    assert leads["good"].count == 10 and leads["good"].word == "better"
    assert "good" not in [place.name for place in found.places]
    (good,) = found.apart
    assert (good.rank, good.of, good.pictures) == (1, 5, 10)
    assert {place.pictures for place in found.places} == {30}
    assert "`good` ranks 1st of 5 on 10 pictures" in " ".join(sentences.about(found))


def _outcome(key: str, family: str, rows: dict[str, float]) -> run.BenchmarkResult:
    return run.BenchmarkResult(
        key=key,
        track="known",
        title=key,
        about="",
        shown=["insertion"],
        model=key,
        weights=key,
        data="",
        pictures=30,
        few=8,
        scores=[_scores("insertion", rows)],
        nulls=["random", "centred blob"],
        costs={name: run.Cost(passes=4.0, seconds=0.1) for name in rows},
        family=family,
    )


def test_the_methods_to_use_follow_from_the_contests_of_that_kind_of_network() -> None:
    null = {"random": 0.1, "centred blob": 0.5}
    rows = {"a": 0.9, "b": 0.8, "captum:X": 0.95, "poor": 0.3, "c": 0.7, "d": 0.6, **null}
    other = {"a": 0.7, "b": 0.9, "captum:X": 0.95, "poor": 0.9, "c": 0.75, "d": 0.6, **null}
    outcomes = [_outcome("one", "cnn", rows), _outcome("two", "cnn", other)]
    outcomes.append(_outcome("three", "transformer", {"d": 0.9, "poor": 0.2, **null}))
    found = [(o, benchmark_ranking(o.scores, o.nulls)) for o in outcomes]
    assert [r.name for r in recommended(found, "cnn")] == ["b", "a", "c"]
    assert [r.name for r in recommended(found, "transformer")] == ["d"]
    made = page.BenchmarkRun(date="today", command="sightline benchmark", versions={})
    text = page.page([(o, made) for o in outcomes])
    head = text.split("## In short")[0]
    assert "**On a CNN**: `b` (" in head and "**On a transformer**: `d` (" in head
    assert "highest mean share of wins" in head


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
    rows = [line for line in text.splitlines() if line[:3].strip("| ").isdigit()]
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
    monkeypatch.setattr(run, "EXPENSIVE", 20)
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
    assert scores.level("a") == level and Counting.asked == once == 21  # all, and all but each
    assert scores.difference("a", "b").value == pytest.approx(values[0].mean() - values[1].mean())
    assert Counting.asked == 2 * once  # b's alone
