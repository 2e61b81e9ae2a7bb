"""What is told of an attack: success, likeness, norms; and what countermeasures do."""

import pytest
import torch
from torch.testing import assert_close

from attacks.shapes_net import pictures, trained
from sightline import Top, create
from sightline.attacks import countermeasures, outcome
from sightline.errors import BadField


def test_a_picture_that_did_not_change_fools_nobody() -> None:
    images = outcome.eight_bit(pictures(3, 2)[0])
    aim = trained().aim(images, Top(1))
    found = outcome.judge(trained(), images, images, aim, [create("explainer", "gradient")])
    assert not found.success.any() and (found.before == found.after).all()
    assert (found.largest == 0).all() and (found.changed == 0).all()
    assert_close(found.alike, torch.ones(3, dtype=torch.float64))
    own = outcome.judge(trained(), images, images, trained().aim(images, None), [])
    assert own.success.all()
    assert repr(found) == "<Outcome: 0 of 3 pictures fooled>"
    assert repr(own) == "<Outcome: 0 of 0 pictures fooled, 3 were there before>"
    left = outcome.judge(trained(), images, images, trained().aim(images, -Top()), [])
    assert not left.success.any() and left.leaves.all()
    row = found.rows()[0]
    assert row["on_edges"] is None and row["before"] == row["after"]


def test_equal_maps_are_alike_and_opposite_ones_are_not() -> None:
    maps = torch.rand(2, 6, 6)
    same = outcome.compared_maps(maps, 3 * maps)
    assert_close(same["l1"], torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)
    assert_close(same["overlap"], torch.ones(2).float(), check_dtype=False)
    assert (same["rank"] > 0.999).all()
    gone = maps.clone()
    gone[1] = torch.nan
    lost = outcome.compared_maps(maps, gone)
    assert all(numbers[1].isnan() and numbers[0].isfinite() for numbers in lost.values())
    turned = outcome.compared_maps(maps, -maps)
    assert (turned["overlap"] == 0).all() and (turned["rank"] < -0.999).all()


def test_rounding_to_eight_bits_keeps_within_the_change() -> None:
    images = outcome.eight_bit(torch.rand(2, 3, 8, 8))
    fooled = (images + 0.031 * torch.randn(2, 3, 8, 8).sign()).clamp(0, 1)
    fooled[:, :, :2] = images[:, :, :2]
    back = outcome.rounded(images, fooled)
    assert_close(back, outcome.eight_bit(back))
    assert (back - images).abs().max() <= 0.031
    assert torch.equal(back[:, :, :2], images[:, :, :2])


def test_an_outcome_counts_passes_and_says_which_method_gave_no_map() -> None:
    made = create("attack", "pgd", steps=5)
    explainers = [create("explainer", name) for name in ("gradient", "rollout")]
    found = outcome.run(made, trained(), pictures(2, 2)[0], None, explainers)
    assert found.passes == {"forward": 6.0, "backward": 5.0}
    assert [m.method for m in found.maps] == ["gradient"]
    assert "attention" in found.reasons["rollout"]
    assert found.rows()[0]["maps"]["gradient"]["l1"] >= 0


@pytest.mark.parametrize("name", list(countermeasures.TRANSFORMATIONS))
def test_transformations_keep_the_frame_and_change_little(name: str) -> None:
    images = pictures(2, 2)[0]
    made = countermeasures.TRANSFORMATIONS[name](images)
    assert made.shape == images.shape and made.min() >= 0 and made.max() <= 1
    assert 0 < (made - images).abs().mean() < 0.1
    flat = torch.full((1, 3, 16, 16), 102 / 255)
    assert_close(countermeasures.TRANSFORMATIONS[name](flat), flat, atol=3e-3, rtol=0)


def test_the_median_is_that_of_nine_pixels() -> None:
    images = torch.rand(1, 1, 5, 5)
    expected = images[0, 0, 1:4, 2:5].flatten().median()
    assert countermeasures.median(images)[0, 0, 2, 3] == expected


def test_blur_undoes_a_part_of_the_attack() -> None:
    images = pictures(6, 2)[0]
    fooled = create("attack", "pgd", steps=20)(trained(), images)
    change = countermeasures.TRANSFORMATIONS["4 bits"]
    found = countermeasures.undo(trained(), images, fooled, change, create("explainer", "gradient"))
    assert found.right > 0.8 and 0 <= found.fooled <= 1 and 0 <= found.back <= 1
    assert found.steady <= 1
    nothing = countermeasures.undo(trained(), images, fooled, lambda x: x)
    assert nothing.right == nothing.fooled == 1 and nothing.back < 1


def test_a_detector_needs_pictures_and_two_explainers() -> None:
    with pytest.raises(BadField, match="at least two explainers"):
        countermeasures.disagreements(trained(), pictures(1, 1)[0], [create("explainer", "cam")])
    with pytest.raises(BadField, match="at least 4"):
        countermeasures.detect(torch.rand(3, 4), torch.rand(3, 4))


def test_a_detector_finds_what_differs_and_guesses_what_does_not() -> None:
    clean = torch.randn(40, 3)
    assert countermeasures.detect(clean, clean + 5).auc == 1.0
    assert abs(countermeasures.detect(clean, torch.randn(40, 3)).auc - 0.5) < 0.25
