"""Randomised models: what is drawn, what stays untouched, and who passes."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Case, Explainer, Heatmap, Model, create
from sightline.errors import BadField, NotExplainable
from sightline.metric import judged
from sightline.metrics.sanity.model_randomisation import _seeds
from sightline.network.reinitialised import put, redrawn, tensors_of, weighted_layers
from sightline.target import Target
from sightline.worlds.miniatures import MINIATURES

SIZE = (32, 32)


def model() -> Model:
    return Model(MINIATURES["pooled-cnn"](), size=SIZE)


def case(method: str = "gradient", batch: int = 2, **fields: object) -> Case:
    return judged(create("explainer", method, **fields), model(), torch.rand(batch, 3, *SIZE), 1)


class Attentive(nn.Module):
    """Everything that a careless reset forgets: an in-projection, a class token, places, scales."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 17, 8))
        self.scale = nn.Parameter(torch.full((8,), 0.1))
        self.patch = nn.Conv2d(3, 8, 8, stride=8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.batch = nn.BatchNorm1d(17)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1) + self.place
        mixed = self.norm(tokens + self.scale * self.attend(tokens, tokens, tokens)[0])
        return self.head(self.batch(mixed)[:, 0])


def test_every_parameter_is_drawn_and_none_of_the_network_given() -> None:
    net = Attentive()
    with torch.no_grad():
        net.batch.running_mean.fill_(3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    drawn = redrawn(net, 0, True)
    names = {f"{layer}.{key}".strip(".") for layer, part in drawn.items() for key in part}
    assert names == {k for k in before if k != "batch.num_batches_tracked"}
    for layer, part in drawn.items():
        for key, value in part.items():
            old = before[f"{layer}.{key}".strip(".")]
            changed = (value != old).double().mean()
            assert changed == 1 or key == "running_var", f"{layer}.{key}"
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert drawn["batch"]["running_mean"].abs().max() == 0
    assert "running_mean" not in redrawn(net, 0, False)["batch"]


def test_each_tensor_has_a_stream_of_its_own_that_the_seed_decides() -> None:
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.LayerNorm(6), nn.LayerNorm(6))
    one, same, other = redrawn(net, 0, True), redrawn(net, 0, True), redrawn(net, 1, True)
    for layer, part in one.items():
        for key, value in part.items():
            assert torch.equal(value, same[layer][key])
            assert not torch.equal(value, other[layer][key])
    assert not torch.equal(one["0"]["weight"], one["1"]["weight"])
    assert not torch.equal(one["2"]["weight"], one["3"]["weight"])


def test_an_initialiser_of_its_own_is_used() -> None:
    class Even(nn.Linear):
        def reset_parameters(self) -> None:
            nn.init.uniform_(self.weight, 7, 8)
            nn.init.uniform_(self.bias, -8, -7)

    drawn = redrawn(nn.Sequential(Even(4, 4)), 0, True)["0"]
    assert 7 <= drawn["weight"].min() and drawn["bias"].max() <= -7


def test_layers_go_from_the_output_back_and_one_alone_changes_nothing_else() -> None:
    net = Attentive()
    names = weighted_layers(net)
    assert names[0] == "head" and names[-1] == ""
    metric = create("metric", "model-randomisation", mode="independent", steps=None)
    plain = {k: v.clone() for k, v in net.state_dict().items()}
    runs = metric.layers(Model(net, size=SIZE))
    assert [run[0] for run in runs] == names
    for run, other in zip(runs, metric._random(Model(net, size=SIZE), runs, 0), strict=True):
        changed = {
            k.rpartition(".")[0]
            for k, v in other.module.state_dict().items()
            if not torch.equal(v, plain[k])
        }
        assert changed <= set(run) and changed
    put(net, tensors_of(net), names)
    assert all(torch.equal(v, plain[k]) for k, v in net.state_dict().items())


def test_runs_cover_every_layer_once_and_start_with_the_last_alone() -> None:
    for steps in (2, 3, 8, None):
        runs = create("metric", "model-randomisation", steps=steps).layers(model())
        names = weighted_layers(model().module)
        assert [n for run in runs for n in run] == names and runs[0] == names[:1]
        assert len(runs) == min(steps or 99, len(names))


def test_weights_are_bit_equal_afterwards_and_a_seed_repeats_the_curve() -> None:
    whole = case()
    before = {k: v.clone() for k, v in whole.model.module.state_dict().items()}
    metric = create("metric", "model-randomisation", steps=3)
    first = metric.curves(whole)
    assert torch.equal(first, metric.curves(whole))
    assert not torch.equal(first, replace(metric, seed=1).curves(whole))
    assert all(torch.equal(v, before[k]) for k, v in whole.model.module.state_dict().items())
    assert_close(first[:, 0], torch.ones(2))
    assert_close(metric(whole), first[:, -1])


def test_the_spread_of_random_networks_is_in_the_interval_over_pictures() -> None:
    """Networks that all pictures share move the mean of all of them at once: for one network the
    means of other seeds lie far outside of the interval."""
    dice = torch.Generator().manual_seed(2)
    images = torch.rand(10, 3, 4, 4, generator=dice)
    images = nn.functional.interpolate(images, SIZE, mode="bilinear")
    whole = judged(create("explainer", "grad-cam"), model(), images, 1)
    found = [
        create("metric", "model-randomisation", steps=2, draws=1, seed=seed)(whole).double()
        for seed in range(6)
    ]
    means = torch.stack([f.mean() for f in found])
    error = torch.stack([f.std() / len(images) ** 0.5 for f in found]).mean()
    assert means.std() < 1.5 * error


def test_more_draws_are_a_mean_and_the_picture_decides_them_not_its_batch() -> None:
    whole = case("grad-cam", batch=3)
    metric = create("metric", "model-randomisation", steps=2)
    assert metric.draws == 3
    together = metric(whole)
    assert_close(metric(whole.take([2])), together[2:], atol=1e-5, rtol=1e-5)
    rows = [
        torch.stack([metric._of_draw(whole.take([0]), metric.layers(whole.model), s)[-1]])
        for s in _seeds(whole.images[0], 0, 3)
    ]
    assert torch.stack(rows).std() > 1e-3
    assert_close(together[0], torch.stack(rows).mean().float(), atol=1e-5, rtol=1e-5)
    with pytest.raises(BadField, match="draws"):
        create("metric", "model-randomisation", draws=0)


def test_a_constant_map_that_stays_is_the_same_map() -> None:
    whole = judged(Edges(), model(), torch.rand(2, 3, *SIZE), 1)
    for name in ("rank-absolute", "rank-signed", "ssim", "hog", "hog-pearson"):
        metric = create("metric", "model-randomisation", similarity=name, steps=2, draws=1)
        assert_close(metric(metric.null("uniform map", whole, 0)), torch.ones(2))
    coherent = create("metric", "coherency").null_levels(whole)["uniform map"]
    assert_close(coherent, torch.ones(2))


def test_a_linear_network_forgets_its_weights_and_so_its_gradient() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 2))
    images = torch.rand(1, 3, 24, 24)
    whole = judged(create("explainer", "gradient"), Model(net, size=(24, 24)), images, 1)
    found = create("metric", "model-randomisation", similarity="rank-signed")(whole)
    assert abs(found.item()) < 3 / 24  # 3 / sqrt(n)


def test_a_map_of_a_middle_layer_stays_whatever_happens_above_and_is_flagged() -> None:
    whole = case("eigen-cam", layer="second")
    metric = create("metric", "model-randomisation", steps=None)
    curves = metric.curves(whole)
    runs = [run[0] for run in metric.layers(whole.model)]
    above = runs.index("second")
    assert_close(curves[:, : above + 1], torch.ones(2, above + 1), atol=1e-6, rtol=0)
    assert curves[:, above + 1].max() < 0.999
    assert metric.verdict(curves) == "insensitive"


@dataclass(frozen=True, kw_only=True)
class Edges(Explainer):
    """The picture's brightness, whatever the model."""

    def explain(self, model: Model, images: Tensor, target: Target) -> Heatmap:
        return Heatmap(images.mean(1))


def test_a_map_of_the_picture_alone_is_flagged_by_every_similarity() -> None:
    whole = judged(Edges(), model(), torch.rand(2, 3, *SIZE), 1)
    for name in ("rank-absolute", "rank-signed", "ssim", "hog", "hog-pearson"):
        metric = create("metric", "model-randomisation", similarity=name, steps=2)
        curves = metric.curves(whole)
        assert_close(curves, torch.ones(2, 3), atol=1e-6, rtol=0)
        assert metric.verdict(curves) == "insensitive"


def test_the_verdict_asks_for_a_fall_at_the_top_and_nothing_left_at_the_end() -> None:
    metric = create("metric", "model-randomisation")
    fallen = torch.tensor([[1.0, 0.5, 0.05], [1.0, 0.6, 0.12], [1.0, 0.4, -0.02]])
    assert metric.verdict(fallen) == "sensitive"
    stuck = fallen.clone()
    stuck[:, 1] = 0.95
    assert metric.verdict(stuck) == "insensitive"
    assert metric.verdict(fallen + 0.3) == "insensitive"
    assert metric.verdict(fallen * torch.nan) == "insensitive"
    with pytest.raises(BadField, match="cascading"):
        create("metric", "model-randomisation", mode="independent").verdict(fallen)


def test_a_clipped_map_that_comes_out_empty_is_compared_before_the_clip() -> None:
    whole = case("grad-cam", batch=3)
    for similarity in ("rank-absolute", "ssim"):
        metric = create("metric", "model-randomisation", similarity=similarity, steps=4)
        assert torch.isfinite(metric.curves(whole)).all()


def test_what_has_no_weights_is_refused_and_bad_fields_too() -> None:
    images = torch.rand(1, 3, *SIZE)
    box = Model.from_function(lambda x: x.mean((2, 3)), size=SIZE)
    with pytest.raises(NotExplainable, match="no weights"):
        create("metric", "model-randomisation")(judged(Edges(), box, images, 1))
    with pytest.raises(BadField, match="steps"):
        create("metric", "model-randomisation", steps=1)


def test_data_randomisation_needs_a_second_network_and_knows_equal_ones() -> None:
    whole = case()
    with pytest.raises(NotExplainable, match="other"):
        create("metric", "data-randomisation")(whole)
    same = create("metric", "data-randomisation", other=model())
    assert_close(same(whole), torch.ones(2), atol=1e-4, rtol=0)
    net = model().module
    put(net, redrawn(net, 0, True), weighted_layers(net))
    assert create("metric", "data-randomisation", other=Model(net, size=SIZE))(whole).max() < 0.9


def quadrants(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """16 x 16 noise with a bright square in the upper left quadrant for class 1, none for 0."""
    dice = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.rand((n, 3, 16, 16), generator=dice)
    labels = torch.randint(0, 2, (n,), generator=dice)
    for i in labels.nonzero()[:, 0]:
        row, col = torch.randint(0, 5, (2,), generator=dice).tolist()
        images[i, :, row : row + 4, col : col + 4] += 0.6
    return images, labels


def learned(images: Tensor, labels: Tensor) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(768, 64), nn.ReLU(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        loss = nn.functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (net(images).argmax(1) == labels).double().mean() > 0.95
    return net


def test_networks_of_true_and_of_random_labels_have_other_maps_and_edges_have_the_same() -> None:
    images, labels = quadrants(200, 0)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    true, random = (learned(images, y) for y in (labels, labels[order]))
    test, wanted = quadrants(40, 2)
    test = test[wanted == 1]

    def energy(net: nn.Module) -> float:
        heat = create("explainer", "input-x-gradient")(Model(net, size=(16, 16)), test, 1).values
        heat = heat.clamp(min=0)
        return float((heat[:, :8, :8].sum((1, 2)) / heat.sum((1, 2))).mean())

    assert energy(true) > 0.5 and energy(random) < energy(true) - 0.1
    metric = create("metric", "data-randomisation", other=Model(random, size=(16, 16)))
    gradient, edges = (
        judged(e, Model(true, size=(16, 16)), test, 1)
        for e in (create("explainer", "gradient"), Edges())
    )
    assert_close(metric(edges), torch.ones(len(test)))
    assert metric(gradient).mean() < 0.5


@dataclass(frozen=True, kw_only=True)
class Noise(Explainer):
    """A map that the smallest change of the picture throws over."""

    def explain(self, model: Model, images: Tensor, target: Target) -> Heatmap:
        return Heatmap((images.mean(1) * 1e6).sin())


def test_sensitivity_is_nothing_for_a_map_that_stays_and_much_for_noise() -> None:
    images = torch.rand(2, 3, *SIZE)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))
    steady = judged(create("explainer", "gradient"), Model(net, size=SIZE), images, 1)
    metric = create("metric", "sensitivity", samples=4)
    assert metric(steady).max() < 1e-5
    wild = metric(judged(Noise(), model(), images, 1))
    assert ((wild > 1.2) & (wild < 1.7)).all()
    real = metric(case())
    assert ((real > 1e-4) & (real < 1)).all()


def test_sensitivity_grows_with_the_radius_and_takes_the_worst_or_the_mean() -> None:
    whole = case()
    found = [
        create("metric", "sensitivity", samples=4, radius=r)(whole) for r in (0.002, 0.02, 0.2)
    ]
    assert (found[0] < found[1]).all() and (found[1] < found[2]).all()
    metric = create("metric", "sensitivity", samples=4)
    curves = metric.curves(whole)
    assert_close(metric(whole), curves.amax(1))
    assert_close(replace(metric, over="mean")(whole), curves.mean(1))
    with pytest.raises(BadField, match="radius"):
        create("metric", "sensitivity", radius=0.0)
