"""`explain`, `look` and `page`: methods by name, one pass for all, findings as a report."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

import sightline as sl
from sightline import explain_pictures, registry, run
from sightline.artifact import WEIGHTS
from sightline.errors import BadField, MissingExtra, NotExplainable, SightlineWarning, UnknownName
from sightline.evaluation import measurement
from sightline.metric import Case, Truth
from sightline.ops.null_maps import NULLS
from sightline.pages.record import PageRecord
from sightline.pages.report.page import build
from sightline.pictures.reading import Picture
from sightline.worlds import aviary
from sightline.worlds.miniatures import MINIATURES


@pytest.fixture(scope="module")
def model() -> sl.Model:
    return sl.load("sightline:default")


@pytest.fixture(scope="module")
def bird() -> aviary.Bird:
    return aviary.bundle(1)[0]


@pytest.fixture
def black_box() -> sl.Model:
    return sl.Model.from_function(
        lambda x: torch.stack([x.mean((1, 2, 3)), x[:, 0, :8, :8].mean((1, 2))], 1), size=16
    )


def test_no_method_is_grad_cam_and_is_said_aloud(
    model: sl.Model, bird: aviary.Bird, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sightline"):
        heat = sl.explain(model, bird.image)
    assert heat.provenance["method"] == "grad-cam"
    assert "grad-cam" in caplog.text


def test_no_method_is_rise_for_a_black_box_and_is_said_aloud(
    black_box: sl.Model, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sightline"):
        heat = sl.explain(black_box, torch.rand(1, 3, 16, 16))
    assert heat.provenance["method"] == "rise"
    assert "no gradients" in caplog.text


def test_a_list_gives_a_list_in_order_and_equals_separate_calls(
    model: sl.Model, bird: aviary.Bird
) -> None:
    names = ["gradient", "score-cam", "grad-cam"]
    together = sl.explain(model, bird.image, method=names)
    assert [h.provenance["method"] for h in together] == names
    for name, heat in zip(names, together, strict=True):
        apart = sl.explain(model, bird.image, method=name)
        torch.testing.assert_close(heat.values, apart.values, rtol=1e-4, atol=1e-5)


def test_methods_on_one_picture_share_one_forward_pass(model: sl.Model, bird: aviary.Bird) -> None:
    images = model.prepare(bird.image)
    before = dict(model.evaluations)
    sl.explain(model, images, method=["grad-cam", "hires-cam", "gradient"])
    spent = {k: model.evaluations[k] - before[k] for k in before}
    assert spent["forward"] == 1
    assert spent["backward"] <= 2


def test_more_images_than_a_batch_give_what_each_gives_alone(model: sl.Model) -> None:
    images = torch.rand(18, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    cam, gradient = sl.explain(model, images, method=["grad-cam", "gradient"])
    assert len(cam) == len(gradient) == 18
    assert len(cam.provenance["target_index"]) == 18
    assert cam.provenance["evaluations"]["forward"] >= 18
    alone = sl.explain(model, images[17:], method="gradient")
    torch.testing.assert_close(gradient.values[17:], alone.values, rtol=1e-4, atol=1e-6)


def test_a_group_is_all_of_a_room_and_leaves_out_who_refuses() -> None:
    mini = MINIATURES["token-net"]  # no ReLU
    images = torch.rand((1, 3, *mini.size), generator=torch.Generator().manual_seed(0))
    wanted = registry.group("explainer", "all-gradient")
    with pytest.warns(SightlineWarning) as told:
        heats = sl.explain(mini(), images, "all-gradient", target=1)
    found = [h.provenance["method"] for h in heats]
    left = [str(w.message).split()[0] for w in told if "left out" in str(w.message)]
    assert found == [name for name in wanted if name not in left]
    assert "gradient" in found and "guided-backprop" in left


def test_a_group_of_which_nobody_can_is_refused(model: sl.Model, bird: aviary.Bird) -> None:
    with (
        pytest.warns(SightlineWarning, match="rollout is left out"),
        pytest.raises(NotExplainable, match="none of all-attention"),
    ):
        sl.explain(model, bird.image, "all-attention")


def test_who_lacks_what_it_has_learned_is_left_out_and_stops_nobody() -> None:
    mini = MINIATURES["pooled-cnn"]
    net, images = sl.Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size)
    learned, plain = (registry.create("explainer", n) for n in ("fixed-chain", "gradient"))
    with pytest.raises(NotExplainable, match="query network"):
        learned(net, images, 1)
    with pytest.warns(SightlineWarning, match="fixed-chain is left out"):
        found = run._willing(net, images, [learned, plain], 1)
    assert [heat.provenance["method"] for heat in found] == ["gradient"]
    picture = Picture(np.zeros((*mini.size, 3), np.uint8), "black")
    seen = explain_pictures.explain_picture(
        explain_pictures.plan(sl.Model(net.module, sl.Preprocess(mini.size)), [learned, plain]),
        picture,
    )
    assert [bool(e.error) for e in (*seen.item.panels, *seen.item.maps)] == [True, False]


def test_groups_are_named_after_rooms() -> None:
    cams = registry.group("explainer", "all-cam")
    assert {"cam", "grad-cam", "score-cam"} <= set(cams) < set(registry.available("explainer"))
    assert registry.group("explainer", "all") == registry.available("explainer")
    assert registry.group("explainer", "grad-cam") == []
    with pytest.raises(UnknownName, match="all-cam"):
        registry.group("explainer", "all-camera")


def test_a_method_that_refuses_stops_the_call_before_any_work(
    model: sl.Model, bird: aviary.Bird
) -> None:
    model.study((128, 128))
    before = dict(model.evaluations)
    with pytest.raises(NotExplainable, match="attention"):
        sl.explain(model, bird.image, method=["grad-cam", "rollout"])
    assert model.evaluations == before


def test_a_model_may_be_a_name_or_a_bare_module(bird: aviary.Bird) -> None:
    assert sl.explain("sightline:default", bird.image).values.shape == (1, 128, 128)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    assert sl.explain(net, torch.rand(2, 3, 4, 4), method="gradient").values.shape == (2, 4, 4)


@pytest.mark.parametrize("spelling", ["gradcam", "Grad-CAM", "grad_cam"])
def test_spellings_that_people_type_mean_the_same(
    spelling: str, model: sl.Model, bird: aviary.Bird
) -> None:
    assert sl.explain(model, bird.image, method=spelling).provenance["method"] == "grad-cam"


@pytest.mark.parametrize(
    ("method", "error"),
    [("gradcma", UnknownName), ([], BadField), (3, BadField), ([None], BadField)],
)
def test_a_wrong_method_is_a_clear_error(
    method: object, error: type[Exception], model: sl.Model, bird: aviary.Bird
) -> None:
    with pytest.raises(error):
        sl.explain(model, bird.image, method=method)


def test_names_take_their_approximations_in_fast_precision_and_objects_do_not() -> None:
    fast = sl.load("sightline:default", precision="fast")
    exact = sl.create("explainer", "score-cam")
    assert run.chosen(fast, ["score-cam", exact]) == [exact.fast(), exact]


@dataclass(frozen=True, kw_only=True)
class Failing(sl.Explainer):
    """Does one failing method take the others down?"""

    def explain(self, model, images, target):
        raise NotExplainable("this one never works")


@pytest.fixture
def failing() -> object:
    made = registry.register("failing")(Failing)
    yield made()
    registry._entries.pop(("explainer", "failing"))


def page_of(plan: explain_pictures.PicturePlan, look: explain_pictures.PictureResult) -> str:
    """The report of one picture."""
    facts = explain_pictures.facts(plan.model)
    return build(PageRecord(title="A test", items=(look.item,), facts=facts))


def test_a_look_has_classes_maps_numbers_and_reasons(
    model: sl.Model, bird: aviary.Bird, failing: Failing
) -> None:
    explainers = run.chosen(model, ["grad-cam", "rollout", failing])
    judges = [sl.create("metric", name) for name in ("deletion", "insertion", "pointing")]
    plan = explain_pictures.plan(model, explainers, metrics=judges)
    truth = Truth(masks=[bird.silhouette], boxes=None)
    look = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png"), truth)
    cam, failed = look.item.maps
    assert look.item.top[0][0] == look.item.target == bird.species
    assert look.item.probability == pytest.approx(look.item.top[0][1])
    assert list(look.results) == ["grad-cam"]
    assert cam.values is not None and cam.values.shape == (128, 128)
    assert [m.name for m in cam.metrics] == ["deletion", "insertion", "pointing"]
    assert all(set(m.nulls) == set(NULLS) for m in cam.metrics)
    assert failed.error == "this one never works" and len(look.errors) == 1
    ((name, reason),) = explain_pictures.refusals(plan)  # said once, not of each picture
    assert name == "Attention rollout" and "attention" in reason
    page = page_of(plan, look)
    assert bird.species in page and "this one never works" in page


@dataclass(frozen=True, eq=False, kw_only=True)
class Haiku(sl.Explanation):
    """An explanation that is no map."""

    lines: list[str]

    def __len__(self) -> int:
        return len(self.lines)

    def refused_if_empty(self, method: str, model: str) -> "Haiku":
        return self


@dataclass(frozen=True, kw_only=True)
class Poet(sl.Explainer):
    """Can the model be put into verse? Do not trust it."""

    gives: ClassVar[type[sl.Explanation]] = Haiku
    silent: bool = False

    def explain(self, model, images, target):
        if self.silent:
            raise NotExplainable("no line comes to mind")
        return Haiku(lines=[f"<i>line {i}</i>" for i in range(len(images))])


@pytest.fixture
def poet() -> object:
    made = registry.register("poet")(Poet)
    registry.drawn(Haiku, "panel")(lambda haiku, row: f"<p class='verse'>{haiku.lines[row]}</p>")
    yield made
    registry._entries.pop(("explainer", "poet"))
    registry._views.pop((Haiku, "panel"))


def test_a_result_that_is_no_map_is_a_panel_with_all_that_a_card_says(
    model: sl.Model, bird: aviary.Bird, poet: type[Poet]
) -> None:
    plan = explain_pictures.plan(model, [poet()], metrics=[sl.create("metric", "deletion")])
    look = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png"))
    (panel,) = look.item.panels
    assert not look.item.maps and list(look.results) == ["poet"]
    assert panel.seconds is not None and not panel.metrics and not look.errors
    text = page_of(plan, look)
    assert "<p class='verse'><i>line 0</i></p>" in text and "Do not trust it." in text
    assert "How it was made" in text and "1 picture, explained by" in text


def test_a_panel_that_fails_is_an_entry_with_its_reason(
    model: sl.Model, bird: aviary.Bird, poet: type[Poet]
) -> None:
    plan = explain_pictures.plan(model, [sl.create("explainer", "grad-cam"), poet(silent=True)])
    look = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png"))
    assert len(look.item.maps) == 1 and look.item.panels[0].error == "no line comes to mind"
    assert look.errors == ["bird.png, poet: no line comes to mind"]
    assert "no line comes to mind" in page_of(plan, look)


@pytest.mark.parametrize("name", ["attribute-words", "information-pursuit", "xnn"])
def test_weights_of_another_kind_cost_one_method_and_not_the_picture(
    model: sl.Model, bird: aviary.Bird, name: str
) -> None:
    wrong = sl.create("explainer", name, weights=WEIGHTS / "default-masks.safetensors")
    plan = explain_pictures.plan(model, [wrong, sl.create("explainer", "grad-cam")])
    look = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png"))
    assert list(look.results) == ["grad-cam"] and "holds no" in look.item.panels[0].error


def test_a_number_with_a_curve_is_the_metric_itself(model: sl.Model, bird: aviary.Bird) -> None:
    images = model.prepare(bird.image)
    explainer = sl.create("explainer", "grad-cam")
    target = model.aim(images, None)
    case = Case(model, images, target, explainer(model, images, target), explainer)
    for name in ("deletion", "insertion"):
        metric = sl.create("metric", name, steps=8)
        found = measurement.score(metric, case)
        assert found.value == pytest.approx(float(metric(case)[0]), abs=1e-5)
        assert found.curve is not None and len(found.curve) == 9


def test_a_large_picture_is_shown_smaller_with_its_box_in_place(model: sl.Model) -> None:
    picture = Picture(np.full((1000, 3000, 3), 128, np.uint8), "wide.png")
    plan = explain_pictures.plan(model, [])
    item = explain_pictures.explain_picture(plan, picture).item
    assert item.picture is not None and item.picture.shape == (480, 1440, 3)
    frame = model.frames(model.prepare([picture]))
    assert frame is not None and item.box is not None
    np.testing.assert_allclose(item.box, np.asarray(frame[0].box) * 0.48)


def test_sets_of_patches_stand_beside_maps_with_numbers_and_nulls_of_their_own(
    model: sl.Model, bird: aviary.Bird
) -> None:
    explainers = [sl.create("explainer", "sag", grid=3), *run.chosen(model, ["grad-cam"])]
    judges = [sl.create("metric", name) for name in ("sufficiency", "coherency")]
    plan = explain_pictures.plan(model, explainers, metrics=judges)
    look = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png"))
    (panel,), (card,) = look.item.panels, look.item.maps
    assert [m.name for m in panel.metrics] == ["sufficiency"]
    assert set(panel.metrics[0].nulls) == set(NULLS)
    assert [m.name for m in card.metrics] == ["coherency"]
    assert not card.metrics[0].nulls  # a blob is always coherent: that says nothing
    text = page_of(plan, look)
    assert "sufficiency" in text and "coherency" in text


def test_a_picture_is_judged_as_the_cell_of_a_table_is(
    model: sl.Model, bird: aviary.Bird, tmp_path: Path
) -> None:
    metrics = [sl.create("metric", name) for name in ("deletion", "energy-pointing", "coherency")]
    table = sl.evaluate(model, [(bird.image, bird.species)], ["grad-cam"], metrics, tmp_path)
    plan = explain_pictures.plan(
        model, run.chosen(model, ["grad-cam"]), metrics=metrics, target=bird.species
    )
    (card,) = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png")).item.maps
    row = {score.label: score.row("grad-cam")[0] for score in table.scores}
    told = {entry.name: entry.value for entry in card.metrics}
    assert told == pytest.approx({n: v for n, v in row.items() if np.isfinite(v)}, abs=1e-5)
    assert set(told) == {"deletion", "coherency"}  # nobody said where the object is
    (cost,) = table.costs
    assert (cost["forward"], cost["backward"]) == (1, 1) and sum(card.passes) <= 2


@dataclass(frozen=True, kw_only=True)
class Unusable(sl.Metric):
    """What becomes of a map whose metric cannot run here?"""

    def score(self, case):
        raise MissingExtra("its library is missing")


def test_a_metric_that_breaks_costs_the_method_and_one_that_lacks_something_itself(
    model: sl.Model, bird: aviary.Bird
) -> None:
    plan = explain_pictures.plan(model, run.chosen(model, ["grad-cam"]), metrics=[Unusable()])
    look = explain_pictures.explain_picture(plan, Picture(bird.image, "bird.png"))
    assert look.item.maps[0].error == "its library is missing"
    assert list(look.results) == ["grad-cam"]
