"""The training commands as people meet them: their help, their mistakes, their files."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline.artifact import WEIGHTS
from sightline.errors import FileProblem
from sightline.recipes import attributes, query_chains, saliency_masks, steady_maps, x_features
from sightline.recipes._command import command, place_for, stem_of

RECIPES = (attributes, query_chains, x_features, steady_maps)


def exit_of(main: Callable[[], None], *given: str) -> int:
    """The exit status of a recipe's command."""
    before, sys.argv = sys.argv, ["recipe", *given]
    try:
        command(main)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_explains_the_recipe_and_every_option(recipe) -> None:
    parser = recipe.options()
    assert all(action.help for action in parser._actions)
    told = parser.format_help()
    assert recipe.RECIPE in told and "interrupted" in told
    assert ("file:OUT" if recipe is steady_maps else "`weights`") in told


@pytest.mark.parametrize(
    "case",
    [
        (x_features.main, ("--label", "no such bird"), 2, "no such bird"),
        (x_features.main, ("--label", "0", "--data", "nowhere"), 1, "nowhere"),
        (x_features.main, ("--label", "0", "--epochs", "0"), 2, "epochs"),
        (attributes.main, ("--table", "nowhere.csv"), 1, "nowhere.csv"),
        (attributes.main, ("--batch", "0"), 2, "batch"),
        (query_chains.main, ("--table", "nowhere.csv"), 1, "nowhere.csv"),
        (query_chains.main, ("--folder", "nowhere"), 1, "nowhere"),
        (query_chains.main, ("--table", "any.csv", "--side", "2"), 2, "3 x 3"),
        (saliency_masks.main, ("--folder", "nowhere"), 1, "nowhere"),
        (steady_maps.main, ("--folder", "nowhere"), 1, "nowhere"),
        (steady_maps.main, ("--exam", "0"), 2, "exam"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(
    case: tuple[Callable[[], None], tuple[str, ...], int, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    main, given, status, named = case
    monkeypatch.chdir(tmp_path)
    assert exit_of(main, *given) == status
    said = capfd.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ") and named in said[-1]
    assert not any("Traceback" in line for line in said)


def test_an_interruption_has_its_own_status(capfd: pytest.CaptureFixture[str]) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    assert exit_of(stopped) == 130
    assert capfd.readouterr().err == "interrupted\n"


def test_where_nothing_can_be_written_is_known_before_training(tmp_path: Path) -> None:
    assert place_for(tmp_path / "new" / "a.safetensors").parent.is_dir()
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "a.safetensors"):
        with pytest.raises(FileProblem, match="--out"):
            place_for(out)


def test_a_short_run_does_not_touch_the_weights_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for recipe in (query_chains, saliency_masks):
        written: list[Path] = []
        stop = lambda out, written=written: written.append(out) or sys.exit(0)  # noqa: E731
        monkeypatch.setattr(recipe, "place_for", stop)
        exit_of(recipe.main)
        assert not (Path.cwd() / written[0]).is_relative_to(WEIGHTS)
        assert written[0].parent == Path()


def test_a_model_gives_its_file_a_plain_name() -> None:
    assert stem_of("timm:resnet50") == "timm-resnet50"
    assert stem_of("file:/some/where/net.safetensors?arch=timm:resnet50&mean=0.5") == "net"
