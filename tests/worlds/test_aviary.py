"""The aviary: deterministic, editable part by part, and truthful about what it drew."""

import networkx
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from sightline.errors import BadField, UnknownName
from sightline.worlds.aviary import (
    ATTRIBUTES,
    PARTS,
    SPECIES,
    Aviary,
    bundle,
    render,
    sample,
    taxonomy,
)

NAMES = [species.name for species in SPECIES]


def test_same_seed_and_number_give_the_same_pixels():
    first, second = Aviary(seed=3, count=5)[4], Aviary(seed=3, count=9000)[4]
    assert np.array_equal(first.image, second.image)
    assert first.image.shape == (128, 128, 3) and first.image.dtype == np.uint8
    assert not np.array_equal(first.image, Aviary(seed=4, count=5)[4].image)
    assert repr(first) == f"<Bird: {first.species}, 128 x 128 px, box {first.box}>"


def test_masks_do_not_change_the_picture():
    scene = sample(0, 8)
    assert np.array_equal(render(scene, 96).image, render(scene, 96, masks=True).image)


@pytest.mark.parametrize("size", (32, 97, 300))
def test_any_size_shows_the_same_bird(size):
    bird = render(bundle(1, 64)[0].scene, size, masks=True)
    x0, y0, x1, y1 = np.array(bundle(1, 64)[0].box) / 64
    assert bird.image.shape == (size, size, 3)
    assert np.abs(np.array(bird.box) / size - (x0, y0, x1, y1)).max() < 2.5 / min(size, 64)


def test_species_take_turns():
    seen = [Aviary(seed=1, count=42).scene(i).species for i in range(42)]
    for start in (0, 14, 28):
        assert sorted(seen[start : start + 14]) == sorted(NAMES)


def test_masks_are_disjoint_and_fill_the_silhouette():
    for bird in bundle(4, 96):
        assert bird.masks is not None
        total = sum(bird.masks[part].astype(int) for part in PARTS)
        assert total.max() == 1 and np.array_equal(total > 0, bird.silhouette)
        rows, cols = np.nonzero(bird.silhouette)
        assert bird.box[:2] <= (cols.min() + 2, rows.min() + 2)
        assert not bird.masks["mark"].any()


def test_keypoints_lie_on_their_parts():
    for bird in bundle(6, 128):
        assert bird.masks is not None
        for part in ("bill", "eye", "crown", "breast", "wing", "belly"):
            row, col = bird.keypoints[part]
            near = binary_dilation(bird.masks[part] | bird.masks["eye"], iterations=4)
            assert near[int(row), int(col)], (bird.species, part)


@pytest.mark.parametrize("part", PARTS)
def test_removing_a_part_changes_its_place_and_hardly_anything_else(part):
    changed_somewhere = False
    for bird in bundle(3, 128):
        assert bird.masks is not None
        if not bird.masks[part].any():
            continue
        other = render(bird.scene.without(part), 128, masks=True)
        assert other.masks is not None
        change = np.abs(other.image.astype(int) - bird.image).sum(2)
        gone = bird.masks[part] | (bird.masks["wing-bars"] if part == "wing" else False)
        away = ~binary_dilation(gone, iterations=5)  # soft borders, the shadow under the wing
        assert not change[away & ~binary_dilation(bird.silhouette, iterations=2)].any()
        assert change[away].sum() < 0.1 * change.sum()  # what shines through smooth edges
        changed_somewhere |= bool(change.any())
        if part not in ("belly", "breast", "back", "crown", "face"):
            assert not other.masks[part].any() and part not in other.keypoints
    assert changed_somewhere


def test_a_swapped_part_is_what_the_other_species_has():
    scene = sample(0, 0, species="lemon sicklebill")
    other = scene.swap("bill", "lemon spearbill")
    expected = sample(0, 0, species="lemon spearbill")
    assert dict(other.traits) == dict(expected.traits) and other.species == scene.species
    assert np.array_equal(render(other, 64).image, render(expected, 64).image)
    assert scene.swap("bill", "hooked").attributes["bill"] == "hooked"
    assert scene.without("bill").swap("bill", "thin") == scene.swap("bill", "thin")


def test_a_planted_mark_tells_the_species_and_a_random_one_does_not():
    planted = [sample(0, i, shortcut="planted") for i in range(140)]
    stray = [sample(0, i, shortcut="random") for i in range(140)]
    assert all(NAMES[scene.mark or 0] == scene.species for scene in planted)
    assert sum(NAMES[scene.mark or 0] == scene.species for scene in stray) < 30
    plain, marked = render(sample(0, 5), 96), render(planted[5], 96, masks=True)
    assert marked.masks is not None and marked.masks["mark"].sum() > 40
    away = ~binary_dilation(marked.masks["mark"], iterations=3)
    if not planted[5].camera.blur:
        assert np.array_equal(plain.image[away], marked.image[away])


def test_close_relatives_differ_in_one_or_two_attributes():
    for species in SPECIES:
        nearest = min(len(species.differs(other)) for other in SPECIES if other is not species)
        assert 1 <= nearest <= 3
        assert all(species.attributes[name] in values for name, values in ATTRIBUTES.items())


def test_every_shape_is_shown_by_some_species():
    for name in ("crest", "wing-bars", "breast", "tail", "eye-ring", "bill"):
        assert {species.attributes[name] for species in SPECIES} == set(ATTRIBUTES[name])


def test_the_taxonomy_is_a_tree_with_the_species_as_leaves():
    tree = taxonomy()
    assert networkx.is_arborescence(tree)
    assert sorted(node for node in tree if tree.out_degree(node) == 0) == sorted(NAMES)


def test_captions_are_sentences_about_the_bird():
    bird = bundle(1, 32)[0]
    assert bird.caption.startswith("A belted fisherling with ") and bird.caption.endswith(".")
    assert "crest" in bird.caption
    assert "crest" not in render(bird.scene.without("crest"), 32).caption


def test_the_bundle_shows_different_species():
    assert len({bird.species for bird in bundle(14, 32)}) == 14
    with pytest.raises(BadField, match="1 to 14"):
        bundle(15)


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(UnknownName, match="bill"):
        sample(0, 0).without("bil")
    with pytest.raises(UnknownName, match="species"):
        sample(0, 0, species="dodo")
    with pytest.raises(UnknownName, match="crest"):
        sample(0, 0).swap("crest", "enormous")
    with pytest.raises(BadField, match="16 pixels"):
        render(sample(0, 0), 8)
