"""Part words: exact drops on linear networks, the check as loops, files, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sameness import assert_same, told
from sightline import Axis, Class, Model, Preprocess, Words, create
from sightline.errors import BadField, FileProblem, NotExplainable, ShapeError, UnknownName
from sightline.ops.noise import generator
from sightline.pictures.areas import box_mask, decode, elsewhere
from sightline.pictures.reading import encode_png
from sightline.registry import from_json, to_json, view
from sightline.worlds import analytic

CREST, BILL, TAIL = (2, 1, 6, 4), (8, 2, 12, 5), (9, 9, 14, 14)
SIDE = 16


class Patches(nn.Module):
    """Score 0 grows with the mean of the crest and falls with that of the tail; nothing else."""

    def __init__(self) -> None:
        super().__init__()
        crest, tail = (torch.from_numpy(box_mask(b, (SIDE, SIDE))) for b in (CREST, TAIL))
        weight = 3.0 * crest / crest.sum() - 2.0 * tail / tail.sum()
        self.weight = nn.Parameter(weight.float())

    def forward(self, images: Tensor) -> Tensor:
        first = (images.mean(1) * self.weight).sum((1, 2))
        return torch.stack([first, 0.5 + 0 * first], 1)


def patches(count: int = 3) -> tuple[Model, Tensor]:
    images = 0.6 + 0.2 * torch.rand((count, 3, SIDE, SIDE), generator=generator(0, "birds"))
    return Model(Patches(), size=(SIDE, SIDE), labels=["reedling", "finch"]), images


NAMED = {"crest": CREST, "bill": BILL, "tail": TAIL}
LOGIT = Class(0, probability=False)


def test_on_a_linear_model_the_evidence_is_the_sum_of_the_part_s_own_products() -> None:
    known = analytic.linear()
    boxes = {"left": (0, 0, 2, 3), "right": (4, 2, 7, 6)}
    explain = create("explainer", "part-words", named=boxes, fill=0.0)
    found = explain(known.model, known.images, Class(1, probability=False))
    for row in range(2):
        for fact in found.facts[row]:
            mask = torch.from_numpy(box_mask(boxes[fact["word"]], (6, 7)))
            expected = float(known.expected[row][mask].double().sum())
            assert fact["evidence"] == pytest.approx(expected, rel=1e-4, abs=1e-5)
            assert fact["area"] == pytest.approx(float(mask.float().mean()))


def test_what_matters_is_said_what_does_not_is_not_and_what_speaks_against_is_named() -> None:
    model, images = patches()
    found = create("explainer", "part-words", named=NAMED, fill=0.0)(model, images, LOGIT)
    for row in range(3):
        facts = {fact["word"]: fact for fact in found.facts[row]}
        weight = model.module.weight.detach().clamp(min=0)
        drop = float((images[row].mean(0) * weight).sum())
        assert facts["crest"]["evidence"] == pytest.approx(drop, rel=1e-4)
        assert facts["bill"]["evidence"] == pytest.approx(0, abs=1e-5)
        outcomes = {word: fact["outcome"] for word, fact in facts.items()}
        assert outcomes == {"crest": "for", "bill": "none", "tail": "against"}
        assert found.carried(row) == ["crest"]
        text = found.sentences[row]
        assert text.startswith(f"Prediction: reedling, because of: crest ({drop:.2f}).")
        assert "Evidence against it: tail" in text
        assert "The bill was checked but did not matter." in text
        assert "Without the crest the prediction would be finch." in text


def test_hiding_what_does_not_matter_gives_no_word() -> None:
    model, images = patches(1)
    found = create("explainer", "part-words", named={"bill": BILL})(model, images, LOGIT)
    assert found.carried(0) == []
    assert "None of the words explains it" in found.sentences[0]


def test_the_check_is_a_comparison_with_regions_elsewhere_as_loops() -> None:
    model, images = patches(2)
    explain = create("explainer", "part-words", named=NAMED, fill=0.25, others=40, seed=5)
    found = explain(model, images, LOGIT)
    weight = model.module.weight.detach().double()
    for row, image in enumerate(images.double()):
        for fact in found.facts[row]:
            regions = elsewhere(decode(fact["region"]), 40, 5, f"elsewhere {fact['word']}")
            drops = []
            for region in regions:
                gray = image.mean(0)
                drops.append(
                    sum(float(weight[r, c] * (gray[r, c] - 0.25)) for r, c in region.nonzero())
                )
            drops.sort()
            assert_close(fact["others"], drops, rtol=1e-4, atol=1e-5)
            assert fact["null"] == pytest.approx(drops[-3], rel=1e-4, abs=1e-5)  # 2 of 40 may
            assert fact["null_low"] == pytest.approx(drops[2], rel=1e-4, abs=1e-5)


def test_alone_is_as_in_a_batch_also_in_a_long_one_with_parts_of_each_picture() -> None:
    model, images = patches(19)
    where = [(i % 10, 1, i % 10 + 4, 4) if i % 4 else None for i in range(19)]
    found = create("explainer", "part-words", named={"crest": where})(model, images, LOGIT)
    assert [len(facts) for facts in found.facts] == [0 if i % 4 == 0 else 1 for i in range(19)]
    for i in (2, 17):
        alone = create("explainer", "part-words", named={"crest": [where[i]]})
        assert_same(told(alone(model, images[i : i + 1], LOGIT)), told(found.take([i])))


def test_a_picture_that_shows_none_of_the_parts_says_so() -> None:
    model, images = patches(1)
    found = create("explainer", "part-words", named={"crest": [None]})(model, images, LOGIT)
    assert found.sentences[0] == (
        "Prediction: reedling. None of the named parts is visible in this picture."
    )


def test_a_part_of_more_than_half_of_the_picture_cannot_be_checked() -> None:
    model, images = patches(1)
    found = create("explainer", "part-words", named={"bird": (0, 0, 16, 12)})(model, images, LOGIT)
    fact = found.facts[0][0]
    assert fact["outcome"] == "unchecked" and "75%" in fact["why"] and "null" not in fact
    assert "Too large to be checked: bird." in found.sentences[0]


def test_another_class_than_the_top_one_is_explained_as_such() -> None:
    model, images = patches(1)
    found = create("explainer", "part-words", named=NAMED)(model, images, "finch")
    assert found.sentences[0].startswith("Prediction: reedling. Explained: finch")


def test_masks_and_several_boxes_are_parts_too() -> None:
    model, images = patches(2)
    mask = torch.from_numpy(box_mask(CREST, (SIDE, SIDE)))
    by_box = create("explainer", "part-words", named={"crest": CREST})
    one = by_box(model, images, LOGIT)
    for other in (mask, [mask, mask.numpy()], [[(2, 1, 4, 4), (4, 1, 6, 4)]] * 2):
        explain = create("explainer", "part-words", named={"crest": other})
        assert_same(told(explain(model, images, LOGIT)), told(one))


def test_parts_from_files_follow_the_picture_into_the_model_s_frame(tmp_path: Path) -> None:
    model = Model(Patches(), Preprocess(size=SIDE, crop=1.0), ["reedling", "finch"])
    picture = np.full((2 * SIDE, 2 * SIDE + 8, 3), 160, np.uint8)  # four columns go on each side
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(encode_png(picture))
    box = [2 * CREST[0] + 4, 2 * CREST[1], 2 * CREST[2] + 4, 2 * CREST[3]]
    mask = box_mask(tuple(map(float, box)), picture.shape[:2])
    (tmp_path / "crest.png").write_bytes(
        encode_png((mask[..., None] * 255).repeat(3, 2).astype(np.uint8))
    )
    (tmp_path / "parts.json").write_text(
        json.dumps({"a.png": {"crest": box}, "b.png": {"crest": "crest.png"}})
    )
    lines = [f"{name}.png,crest,{','.join(map(str, box))}" for name in ("a", "b")]
    (tmp_path / "parts.csv").write_text("\n".join(["image,part,x0,y0,x1,y1", *lines]))
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in ("parts.json", "parts.csv"):
        found = create("explainer", "part-words", named=tmp_path / file, fill=0.0)(
            model, pictures, LOGIT
        )
        for facts in found.facts:
            assert facts[0]["box"] == list(CREST) and facts[0]["outcome"] == "for"
    (tmp_path / "c.png").write_bytes(encode_png(picture))
    with pytest.raises(UnknownName, match=r"no parts of 'c.png'; did you mean"):
        create("explainer", "part-words", named=tmp_path / "parts.csv")(model, tmp_path / "c.png")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    model, images = patches(2)

    def told_of(named: object) -> None:
        create("explainer", "part-words", named=named)(model, images, LOGIT)

    with pytest.raises(NotExplainable, match=r"needs the parts of the pictures.*--set named="):
        create("explainer", "part-words")(model, images)
    with pytest.raises(ShapeError, match="3 places of 'crest' for 2 images"):
        told_of({"crest": [CREST, None, CREST]})
    with pytest.raises(BadField, match="neither a box x0, y0, x1, y1 nor a mask"):
        told_of({"crest": "up there"})
    with pytest.raises(BadField, match="is empty; expected x0 < x1"):
        told_of({"crest": (5, 5, 5, 9)})
    with pytest.raises(ShapeError, match=r"a mask of \(4, 4\) does not fit"):
        told_of({"crest": np.ones((4, 4), bool)})
    with pytest.raises(FileProblem, match="cannot be read"):
        told_of(tmp_path / "none.json")
    (tmp_path / "a.csv").write_text("image,part,x0,y0,x1\nb.png,crest,1,1,2")
    with pytest.raises(BadField, match="lacks the column y1"):
        told_of(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("image,part,x0,y0,x1,y1\nb.png,crest,1,one,2,3")
    with pytest.raises(BadField, match="line 2: x0, y0, x1, y1 must be numbers"):
        told_of(tmp_path / "b.csv")
    (tmp_path / "c.json").write_text("[1, 2]")
    with pytest.raises(BadField, match="a mapping of pictures to their parts"):
        told_of(tmp_path / "c.json")
    (tmp_path / "d.json").write_text('{"b.png": {"crest": [1, 1, 3, 3]}}')
    with pytest.raises(ShapeError, match=r"names pictures, but tensors came"):
        told_of(tmp_path / "d.json")
    with pytest.raises(BadField, match="others is a number of regions"):
        create("explainer", "part-words", others=2)


def test_explainers_with_parts_are_plain_data_and_results_come_back_from_files(
    tmp_path: Path,
) -> None:
    mask = box_mask(CREST, (SIDE, SIDE))
    explain = create("explainer", "part-words", named={"crest": [mask, None], "bill": BILL})
    same = from_json("explainer", json.loads(json.dumps(to_json(explain))))
    assert same == explain and hash(same) == hash(explain)
    model, images = patches(2)
    found = explain(model, images, LOGIT)
    found.save(tmp_path / "words")
    back = Words.load(tmp_path / "words")
    assert_same(told(back), told(found))
    assert back.sentences == found.sentences
    assert json.loads(found.save(tmp_path / "words.json").read_text())["sentences"]


def test_parts_in_one_place_say_that_no_drop_tells_them_apart() -> None:
    model, images = patches(1)
    x0, y0, x1, y1 = CREST
    named = {"crest": CREST, "crown": (x0, y0, x1, y1 + 1), "tail": TAIL}
    found = create("explainer", "part-words", named=named, fill=0.0)(model, images, LOGIT)
    same = {fact["word"]: fact["same"] for fact in found.facts[0]}
    assert same == {"crest": ["crown"], "crown": ["crest"], "tail": []}
    assert ", same place)" in found.sentences[0] and found.sentences[0].count("(") == 2
    page = view(Words, "panel")(found)
    assert page.count("same place</strong> as") == 2


def test_a_value_that_is_no_class_is_not_called_anything() -> None:
    model, images = patches(1)
    found = create("explainer", "part-words", named=NAMED, fill=0.0)(model, images, Axis(0))
    assert found.sentences[0].startswith("The value of Axis(0) depends on: crest (")
    assert found.top == [None]
