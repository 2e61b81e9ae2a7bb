"""Our metrics in Quantus' call form beside Quantus' own: where they agree, and where they differ
the reason, as `docs/differences.md` says it in words.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Heatmap, Model, create
from sightline.metric import Case
from sightline.metrics._quantus import quantus_form

pytestmark = [
    pytest.mark.filterwarnings("ignore:The settings for perturbing input"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
ROW, COL, PICTURES = 24, 36, 3
PIXELS = 24  # changed in one step; three times as many values, which must divide the area
QUIET = {"disable_warnings": True, "display_progressbar": False}


@pytest.fixture(scope="module")
def quantus() -> Any:
    return pytest.importorskip("quantus")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6),
    ).eval()  # fmt: skip
    with torch.no_grad():
        net[6].weight *= 8
    return net


def batch() -> dict[str, Any]:
    """Normalised pictures, classes and maps without equal values, as Quantus takes them."""
    dice = np.random.default_rng(0)
    return {
        "x_batch": dice.normal(size=(PICTURES, 3, ROW, COL)).astype(np.float32),
        "y_batch": np.array([1, 4, 2]),
        "a_batch": dice.random((PICTURES, ROW, COL)).astype(np.float32),
    }


def masks() -> np.ndarray:
    """A block for each picture, another one each."""
    found = np.zeros((PICTURES, 1, ROW, COL), dtype=bool)
    for row, mask in enumerate(found):
        mask[0, 4 * row : 4 * row + 12, 6 * row : 6 * row + 16] = True
    return found


def gradient(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    x = torch.as_tensor(inputs).float().detach().requires_grad_()
    chosen = model(x)[torch.arange(len(x)), torch.as_tensor(targets)]
    return torch.autograd.grad(chosen.sum(), x)[0].sum(1, keepdim=True).numpy()


def flipping(quantus: Any, **fields: Any) -> Any:
    return quantus.PixelFlipping(features_in_step=3 * PIXELS, normalise=False, **QUIET, **fields)


def curves(net: nn.Module, given: dict[str, Any]) -> Tensor:
    """Our deletion curves, one more point than changes."""
    target = Class(tuple(int(y) for y in given["y_batch"]))
    heat = Heatmap(torch.from_numpy(given["a_batch"]))
    case = Case(Model(net), torch.from_numpy(given["x_batch"]), target, heat)
    with torch.no_grad():
        return create("metric", "deletion", steps=ROW * COL // PIXELS).curves(case)


def test_pixel_flipping_is_our_deletion_curve_without_its_first_point(quantus: Any) -> None:
    net, given = network(), batch()
    theirs = torch.tensor(flipping(quantus, perturb_baseline=0.0)(model=net, **given))
    ours = curves(net, given)
    assert ours.shape[1] == theirs.shape[1] + 1 and ours.std() > 0.02
    assert_close(ours[:, 1:], theirs.float(), atol=1e-5, rtol=1e-4)
    whole = torch.softmax(net(torch.from_numpy(given["x_batch"])), 1).detach()
    assert_close(ours[:, 0], whole[torch.arange(PICTURES), torch.from_numpy(given["y_batch"])])


@pytest.mark.skipif("trapz" in dir(np), reason="this numpy still has what Quantus calls")
def test_the_area_under_pixel_flipping_needs_an_old_numpy(quantus: Any) -> None:
    net, given = network(), batch()
    with pytest.raises(AttributeError, match="trapz"):
        flipping(quantus, return_auc_per_sample=True)(model=net, **given)
    areas = quantus_form("deletion", steps=ROW * COL // PIXELS)(model=net, **given)
    assert_close(torch.tensor(areas), torch.trapezoid(curves(net, given)) * PIXELS / (ROW * COL))


def test_black_is_the_least_value_of_the_normalised_picture(quantus: Any) -> None:
    net, given = network(), batch()
    theirs = torch.tensor(flipping(quantus)(model=net, **given))[:, -1]
    rows, wanted = torch.arange(PICTURES), torch.from_numpy(given["y_batch"])
    least = torch.from_numpy(given["x_batch"]).amin((1, 2, 3)).view(-1, 1, 1, 1)
    shown = torch.softmax(net(least.expand(-1, 3, ROW, COL)), 1).detach()[rows, wanted]
    assert_close(theirs.float(), shown, atol=1e-5, rtol=1e-4)
    mean = torch.softmax(net(torch.zeros(PICTURES, 3, ROW, COL)), 1).detach()[rows, wanted]
    assert_close(curves(net, given)[:, -1], mean, atol=1e-5, rtol=1e-4)


def test_equal_values_cut_pixels_into_colours_there_and_stay_whole_here(quantus: Any) -> None:
    net, given, asked = network(), batch(), []

    def keep(arr: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
        asked.append(indices)
        return arr + 1e-6

    given["a_batch"] = np.full_like(given["a_batch"], 0.5)
    given["a_batch"][:, -1, -1] = 1  # a map without any difference they refuse
    flipping(quantus, perturb_func=keep)(model=net, **given)
    half = np.concatenate(asked[: len(asked) // 2], 1)[0] % (ROW * COL)
    _, colours = np.unique(half, return_counts=True)
    assert (colours < 3).mean() > 0.3
    model, seen = Model(network()), []
    model.module[0].register_forward_pre_hook(lambda _, x: seen.append(x[0].detach()))
    case = Case(
        model,
        torch.from_numpy(given["x_batch"][:1]),
        Class(1),
        Heatmap(torch.from_numpy(given["a_batch"][:1])),
    )
    create("metric", "deletion", steps=8)(case)
    gone = torch.cat([x for x in seen if x.shape[-1] == COL]) == 0
    assert gone.any() and (gone.any(1) == gone.all(1)).all()


def test_the_pointing_games_agree_where_one_place_is_highest(quantus: Any) -> None:
    given, inside = batch(), masks()
    given["a_batch"][1] *= masks()[1, 0]
    theirs = quantus.PointingGame(**QUIET)(model=network(), s_batch=inside, **given)
    ours = quantus_form("pointing", tolerance=0.0)(model=network(), s_batch=inside, **given)
    assert [float(hit) for hit in theirs] == ours and set(ours) == {0.0, 1.0}


def test_a_picture_without_an_object_is_a_hit_there_and_has_no_number_here(quantus: Any) -> None:
    given, inside = batch(), masks()
    inside[0] = False
    theirs = quantus.PointingGame(**QUIET)(model=network(), s_batch=inside, **given)
    assert bool(theirs[0]) is True
    ours = quantus_form("pointing", tolerance=0.0)(model=network(), s_batch=inside, **given)
    assert np.isnan(ours[0]) and np.isfinite(ours[1:]).all()


def test_one_of_many_maxima_is_enough_there_and_the_share_that_hits_counts_here(
    quantus: Any,
) -> None:
    given, inside = batch(), masks()
    given["a_batch"][:, :, : COL // 2] = 1  # half of the picture is highest
    given["a_batch"][0] = 0.5  # a flat map, unless all of the batch are
    theirs = quantus.PointingGame(normalise=False, **QUIET)
    assert all(bool(hit) for hit in theirs(model=network(), s_batch=inside, **given))
    shares = torch.from_numpy(inside[:, 0, :, : COL // 2].mean((1, 2))).float()
    shares[0] = 0  # it points nowhere
    form = quantus_form("pointing", tolerance=0.0)
    found = form(model=network(), s_batch=inside, **given)
    assert_close(torch.tensor(found), shares)


def test_mass_inside_the_object_agrees_for_maps_without_negative_values(quantus: Any) -> None:
    given, inside = batch(), masks()
    theirs = quantus.RelevanceMassAccuracy(**QUIET)(model=network(), s_batch=inside, **given)
    ours = quantus_form("energy-pointing")(model=network(), s_batch=inside, **given)
    assert_close(torch.tensor(ours), torch.tensor(np.array(theirs)).float(), atol=1e-5, rtol=1e-4)


def test_mass_with_evidence_against_leaves_the_range_there(quantus: Any) -> None:
    given, inside = batch(), masks()
    given["a_batch"] = np.where(inside[:, 0], given["a_batch"], -0.2 * given["a_batch"])
    theirs = quantus.RelevanceMassAccuracy(**QUIET)(model=network(), s_batch=inside, **given)
    assert max(abs(np.array(theirs))) > 1.05
    ours = quantus_form("energy-pointing")(model=network(), s_batch=inside, **given)
    assert_close(torch.tensor(ours), torch.ones(3))


def test_complexity_is_an_entropy_there_and_a_mean_here(quantus: Any) -> None:
    given = batch()
    given["a_batch"][0] = 1
    theirs = quantus.Complexity(**QUIET)(model=network(), **given)
    ours = quantus_form("complexity")(model=network(), **given)
    assert abs(theirs[0] - np.log(ROW * COL)) < 1e-3 and ours[0] == 1
    assert theirs[0] > max(theirs[1:]) and ours[0] > max(ours[1:])


def test_what_stands_beside_a_map_counts_there(quantus: Any) -> None:
    given = batch()
    alone = {k: v[:1] for k, v in given.items()}
    given["a_batch"][1:] *= 1e6
    metric = quantus.EffectiveComplexity(eps=0.01, **QUIET)
    assert metric(model=network(), **alone)[0] > 800
    assert metric(model=network(), **given)[0] == 0
    form = quantus_form("complexity")
    assert_close(form(model=network(), **alone)[0], form(model=network(), **given)[0])


def test_maps_are_changed_in_place_there(quantus: Any) -> None:
    given = batch()
    before = given["a_batch"].copy()
    quantus_form("complexity")(model=network(), **given)
    assert (given["a_batch"] == before).all()
    quantus.Complexity(abs=False, normalise=False, **QUIET)(model=network(), **given)
    assert not np.allclose(given["a_batch"], before)


def test_completeness_is_a_yes_or_no_of_equal_floats_there(quantus: Any) -> None:
    given = batch()
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * ROW * COL, 6, bias=False)).eval()
    model, images = Model(net), torch.from_numpy(given["x_batch"])
    heat = create("explainer", "input-x-gradient")(model, images, list(given["y_batch"]))
    given["a_batch"] = heat.native.numpy()  # exact for a linear network
    theirs = quantus.Completeness(perturb_baseline=0.0, **QUIET)(model=net, softmax=False, **given)
    assert not any(bool(each) for each in theirs)
    ours = quantus_form("completeness")(model=net, softmax=False, **given)
    assert max(ours) < 1e-4


class Attentive(nn.Module):
    """Attention over four strips, with a class token: what a reset by name forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.patch = nn.Conv2d(3, 8, (ROW, 9), stride=(ROW, 9))
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 6)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        return self.head(self.attend(tokens, tokens, tokens, need_weights=False)[0][:, 0])


def test_randomised_models_are_judged_alike(quantus: Any) -> None:
    """Their layers, drawn their way: their rank correlation is the one that we take."""
    from quantus.helpers.utils import get_wrapped_model

    from sightline.metrics.sanity._similarity import similarity

    net, given = network(), {k: v[:1] for k, v in batch().items()}
    given["a_batch"] = gradient(net, given["x_batch"], given["y_batch"])[:, 0]
    metric = quantus.MPRT(similarity_func=quantus.correlation_spearman, abs=True, normalise=False,
                          seed=42, **QUIET)  # fmt: skip
    theirs = metric(model=net, explain_func=gradient, **given)
    wrapped = get_wrapped_model(net, channel_first=True, softmax=False, device="cpu")
    for name, drawn in wrapped.get_random_layer_generator(order="top_down", seed=42):
        again = torch.from_numpy(gradient(drawn, given["x_batch"], given["y_batch"])[:, 0])
        ours = similarity("rank-absolute", torch.from_numpy(given["a_batch"]), again)
        assert_close(torch.tensor(theirs[name]).double(), ours, atol=1e-4, rtol=0)
    assert theirs["original"][0] > 0.999


def test_their_randomisation_keeps_attention_and_class_token_and_seeds_everything(
    quantus: Any,
) -> None:
    from quantus.helpers.utils import get_wrapped_model

    from sightline.network.reinitialised import redrawn

    net = Attentive().eval()
    plain = {k: v.clone() for k, v in net.state_dict().items()}
    wrapped = get_wrapped_model(net, channel_first=True, softmax=False, device="cpu")
    state = torch.get_rng_state()
    *_, (_, last) = wrapped.get_random_layer_generator(order="top_down", seed=42)
    kept = [k for k, v in last.state_dict().items() if torch.equal(v, plain[k])]
    assert {"token", "attend.in_proj_weight"} <= set(kept)
    assert torch.initial_seed() == 43 and not torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(state)
    drawn = redrawn(net, 0, True)
    changed = {f"{layer}.{key}".strip(".") for layer, part in drawn.items() for key in part}
    assert changed == set(plain) and torch.equal(torch.get_rng_state(), state)


def test_a_map_of_zeros_ends_the_run_there_and_has_no_number_here(quantus: Any) -> None:
    """As clipped maps of random networks often are."""
    net, given = network(), {k: v[:1] for k, v in batch().items()}
    weights = float(sum(part.detach().abs().sum() for part in net.parameters()))

    def trained(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        same = float(sum(part.detach().abs().sum() for part in model.parameters())) == weights
        return same * gradient(model, inputs, targets)

    del given["a_batch"]
    maps = trained(net, given["x_batch"], given["y_batch"])
    with pytest.raises(AssertionError, match="all equal to zero"):
        quantus.MPRT(**QUIET)(model=net, explain_func=trained, a_batch=maps, **given)
    ours = quantus_form("model-randomisation", steps=2)(model=net, explain_func=trained, **given)
    assert np.isnan(ours[0])


def test_sensitivity_has_no_seed_there(quantus: Any) -> None:
    given = {k: v[:1] for k, v in batch().items()}
    given["a_batch"] = gradient(network(), given["x_batch"], given["y_batch"])
    metric = quantus.MaxSensitivity(nr_samples=2, **QUIET)
    theirs = [metric(model=network(), explain_func=gradient, **given) for _ in range(2)]
    assert theirs[0] != theirs[1]
    form = quantus_form("sensitivity", samples=2)
    ours = [form(model=network(), explain_func=gradient, **given) for _ in range(2)]
    assert ours[0] == ours[1] and np.isfinite(ours[0]).all()


@pytest.mark.filterwarnings("ignore:Using quantus 'explain' function")
@pytest.mark.filterwarnings("ignore:Passed explain_func_kwargs will be ignored")
def test_a_table_of_named_methods_has_the_same_row_for_all_of_them(quantus: Any) -> None:
    pytest.importorskip("captum")
    net, given = network(), batch()
    table = quantus.evaluate(
        metrics={"complexity": quantus.Complexity(**QUIET)},
        xai_methods={"Saliency": {}, "IntegratedGradients": {}, "Occlusion": {"window": (1, 8, 8)}},
        model=net,
        x_batch=given["x_batch"],
        y_batch=given["y_batch"],
        agg_func=np.mean,
        call_kwargs={"plain": {"softmax": False}},
    )
    rows = [float(row["complexity"]) for row in table.values()]
    assert len(rows) == 3 and max(rows) - min(rows) < 1e-6


PAGE = Path(__file__).parents[2] / "docs" / "differences.md"


def test_the_section_of_the_page_names_every_test_and_its_code_runs() -> None:
    text = PAGE.read_text("utf-8").partition("## Quantus")[2]
    own = re.findall(r"^def (test_\w+)", Path(__file__).read_text("utf-8"), re.MULTILINE)
    assert set(own[:-1]) == set(re.findall(r"`(test_[a-z0-9_]+)`", text))
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block
    given = batch()
    place = {"net": network(), "x": given["x_batch"], "y": given["y_batch"]}
    place |= {"maps": given["a_batch"], "masks": masks()}
    exec(compile(block[1], PAGE.name, "exec"), place)
    assert len(place["scores"]) == PICTURES and np.isfinite(place["scores"]).all()
