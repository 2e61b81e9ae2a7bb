"""The birds of the demonstration: chosen by a rule, the last one shows a method that fails."""

import pytest

from sightline import explain_pictures
from sightline.cli import parse
from sightline.cli.demo import METRICS
from sightline.data.drawn_worlds import shown_bird
from sightline.errors import BadField
from sightline.pages.record import PictureEntry
from sightline.pages.report import summary
from sightline.worlds import demonstration
from sightline.worlds.aviary import Aviary


def explained(number: int, methods: str) -> PictureEntry:
    net = parse.model(parse.DEFAULT, device="cpu", precision="exact")
    plan = explain_pictures.plan(net, parse.methods(net, methods), metrics=parse.judges(METRICS))
    drawn = shown_bird(Aviary(seed=demonstration.SEED, count=1000, masks=True)[number])
    picture = drawn.load()
    return explain_pictures.explain_picture(
        plan, picture, drawn.truth(net.preprocess, picture)
    ).item


def test_the_birds_are_those_of_the_draw_one_of_each_species() -> None:
    draw = Aviary(seed=demonstration.SEED, count=100, size=32)
    chosen = [draw.scene(k).species for k in demonstration.CHOSEN]
    assert [bird.species for bird in demonstration.birds(4, 32)] == chosen
    assert [bird.species for bird in demonstration.birds(2, 32)] == chosen[:2]
    many = [bird.species for bird in demonstration.birds(14, 32)]
    assert len(set(many)) == 14
    assert many[:3] == chosen[:3] and many[-1] == chosen[-1]
    assert all(bird.masks for bird in demonstration.birds(4, 32))


@pytest.mark.parametrize("count", [0, 15])
def test_other_numbers_of_birds_are_refused(count: int) -> None:
    with pytest.raises(BadField, match="1 to 14 birds"):
        demonstration.birds(count)


def test_on_the_last_bird_smooth_grad_fails_and_the_title_says_so() -> None:
    item = explained(demonstration.CHOSEN[-1], "grad-cam,smooth-grad")
    assert summary.failing(item) == ["SmoothGrad"]
    assert summary.failure(item) == (
        "SmoothGrad fails here: it does not beat the baselines on deletion, insertion or"
        " energy-pointing."
    )


def test_on_the_first_bird_no_method_fails() -> None:
    item = explained(demonstration.CHOSEN[0], "grad-cam,integrated-gradients")
    assert summary.failing(item) == []
    assert all(any(map(summary.beats, entry.metrics)) for entry in item.maps)
