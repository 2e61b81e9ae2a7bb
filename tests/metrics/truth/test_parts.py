"""What parts of drawn birds do: effects by hand, credit, and scenes that are not the picture's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Case, Class, Heatmap, Model, Preprocess, Truth, create
from sightline.errors import BadField, NotExplainable
from sightline.metrics.truth._parts import parts_of
from sightline.worlds.aviary import Bird, render, sample

SIDE = 64


class Looks(nn.Module):
    """Class 1 is the redness of some pixels: what changes them is known."""

    def __init__(self, mask: np.ndarray) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.from_numpy(mask).float())

    def forward(self, images: Tensor) -> Tensor:
        logit = (images[:, 0] * self.mask).sum((1, 2)) / self.mask.sum()
        return torch.stack([0 * logit, logit], 1)


def bird(**fields: object) -> Bird:
    return render(sample(7, 2, **fields), SIDE, masks=True)


def case(seen: Bird, part: str, heat: Tensor) -> Case:
    """A network that looks at one part of the bird only."""
    images = torch.from_numpy(seen.image).movedim(2, 0)[None].float() / 255
    truth = Truth(scenes=[seen.scene])
    return Case(
        Model(Looks(seen.masks[part]), size=(SIDE, SIDE)), images, Class(1), Heatmap(heat),
        truth=truth,
    )  # fmt: skip


def share(whole: Case, **fields: object) -> float:
    return create("metric", "false-credit", **fields)(whole).item()


def test_the_effect_of_a_part_is_the_fall_of_the_score_without_it() -> None:
    seen = bird()
    whole = case(seen, "wing", torch.rand(1, SIDE, SIDE))
    (known,) = parts_of(whole, "part-importance")
    assert known is not None and set(known.names) == {k for k, m in seen.masks.items() if m.any()}
    whole_score = whole.probabilities(whole.images)
    for name, effect in zip(known.names, known.effects, strict=True):
        gone = torch.from_numpy(render(seen.scene.without(name), SIDE).image).movedim(2, 0)
        assert_close(effect, (whole_score - whole.probabilities(gone[None].float() / 255))[0])
    assert known.names[int(known.effects.abs().argmax())] in ("wing", "wing-bars", "belly", "back")


def test_importance_is_the_rank_correlation_of_credit_and_effect() -> None:
    seen = bird()
    whole = case(seen, "wing", torch.rand(1, SIDE, SIDE))
    (known,) = parts_of(whole, "part-importance")
    credit = [float(whole.heat[0][torch.from_numpy(seen.masks[n])].sum()) for n in known.names]
    effects = (known.effects / known.effects.abs().max()).numpy().round(6)
    expected = float(spearmanr(credit, effects)[0])
    found = create("metric", "part-importance")(whole).item()
    assert_close(found, expected, atol=1e-4, rtol=0)


def test_credit_on_the_part_that_matters_is_right_and_on_others_false() -> None:
    seen = bird()
    wing, head = (torch.from_numpy(seen.masks[p]).float()[None] for p in ("wing", "crown"))
    assert share(case(seen, "wing", wing)) == 0
    assert share(case(seen, "wing", head)) == 1
    both = wing / wing.sum() + head / head.sum()
    assert_close(share(case(seen, "wing", both)), 0.5, atol=1e-5, rtol=0)
    assert np.isnan(share(case(seen, "wing", 1 - torch.ones_like(wing))))


def test_a_planted_mark_is_a_part() -> None:
    seen = bird(shortcut="planted")
    whole = case(seen, "mark", torch.from_numpy(seen.masks["mark"]).float()[None])
    (known,) = parts_of(whole, "part-importance")
    assert known is not None and known.names[int(known.effects.abs().argmax())] == "mark"
    assert share(whole) == 0


def test_pictures_that_were_cut_and_enlarged_keep_their_parts() -> None:
    seen = render(sample(7, 2), 96, masks=True)
    how = Preprocess(size=(56, 56), resize=64, crop="center")
    inside = np.zeros((56, 56), dtype=bool)
    inside[20:36, 20:36] = True
    model = Model(Looks(inside), how)
    images = model.prepare([Image.fromarray(seen.image)])
    heat = Heatmap(
        torch.ones(1, 56, 56), images=images, pictures=model.pictures(images),
        frames=model.frames(images),
    )  # fmt: skip
    whole = Case(model, images, Class(1), heat, truth=Truth(scenes=[seen.scene]))
    (known,) = parts_of(whole, "part-importance")
    assert known is not None
    for name, credit in zip(known.names, known.credits, strict=True):
        resized = np.asarray(
            Image.fromarray(seen.masks[name]).resize((64, 64), Image.Resampling.NEAREST)
        )[4:60, 4:60]
        assert_close(float(credit), float(resized.sum()), atol=0.1 * resized.sum() + 6, rtol=0)


def test_what_was_not_drawn_has_no_number_and_other_scenes_are_refused() -> None:
    seen = bird()
    whole = case(seen, "wing", torch.rand(1, SIDE, SIDE))
    for name in ("part-importance", "false-credit"):
        metric = create("metric", name)
        assert metric(replace(whole, truth=Truth(scenes=[None]))).isnan().all()
        with pytest.raises(NotExplainable, match="scenes"):
            metric(replace(whole, truth=Truth(labels=[1])))
        with pytest.raises(NotExplainable, match="does not draw"):
            metric(replace(whole, truth=Truth(scenes=[sample(7, 3)])))
    with pytest.raises(BadField, match="matters"):
        create("metric", "false-credit", matters=0.0)
