"""Chains on worlds that can be counted: what is asked, what is believed, and when it ends."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline import create
from sightline.errors import BadField, ShapeError
from sightline.explainers.chain.knowledge import ExactTable
from sightline.explainers.chain.pursuit import Ending, greedy, in_order, pursue
from sightline.ops.pursuit.information import bayes, entropy, information
from sightline.ops.pursuit.questions import KnownBits, Questions


def exclusive_or() -> ExactTable:
    """y = q1 xor q2, both fair; q3 is y, wrong in a tenth of the cases."""
    return ExactTable.of(
        [
            ((a, b, (a ^ b) ^ wrong), a ^ b, 0.25 * (0.1 if wrong else 0.9))
            for a, b, wrong in product((0, 1), repeat=3)
        ]
    )


def copied() -> ExactTable:
    """y = q1; q2 is a fair coin."""
    return ExactTable.of([((a, b), a, 0.25) for a, b in product((0, 1), repeat=2)])


def told_before(table: ExactTable) -> Tensor:
    answers, _ = table.answers(KnownBits.nothing(table.kinds.shape[1]), table.start(), 0)
    return information(answers, table.prior)


def test_exclusive_or_is_asked_for_the_noisy_copy_first_and_stops_at_nine_tenths() -> None:
    gains = told_before(exclusive_or())
    flipped = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert_close(gains, torch.tensor([0.0, 0.0, math.log(2) - flipped], dtype=torch.float64))
    assert float(gains[2]) == pytest.approx(0.368, abs=5e-4)
    bits = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    chain = create("explainer", "information-pursuit").ask(exclusive_or(), bits)
    assert chain.asked == [[2], [2]]
    assert chain.posterior[0][-1] == pytest.approx([0.1, 0.9])
    assert chain.reason == ["nothing left to learn"] * 2
    assert chain.prediction == [1, 1]  # greediness: the second is wrong, and q1 with q2 would tell


def test_the_pair_that_decides_is_missed_only_because_each_alone_tells_nothing() -> None:
    table, bits = exclusive_or(), torch.tensor([1.0, 1.0, 1.0])
    course = pursue(table, bits, in_order((0, 1)), Ending(least=0.0, sure=1.0))
    assert course.asked == [0, 1] and course.reason == "certain"
    assert course.gains[0] == pytest.approx(0, abs=1e-12)
    assert course.gains[1] == pytest.approx(math.log(2))
    assert_close(course.beliefs[-1], torch.tensor([1.0, 0.0], dtype=torch.float64))


def test_a_copy_of_the_class_is_asked_once() -> None:
    chain = create("explainer", "information-pursuit").ask(copied(), torch.tensor([[1.0, 0.0]]))
    assert chain.asked == [[0]] and chain.answers == [["yes"]]
    assert chain.gains[0] == pytest.approx([math.log(2)])
    assert chain.posterior[0][-1] == [0.0, 1.0]


def planted() -> tuple[ExactTable, Tensor]:
    """Four classes in a tree: q0 parts them in two, q1 decides in one half and q2 in the other."""
    rows = []
    for root, leaf, noise in product((0, 1), repeat=3):
        bits = [root, leaf if root else noise, noise if root else leaf, 0]
        rows.append((bits, 2 * root + leaf, 1 / 8))
    return ExactTable.of(rows), torch.tensor([row[0] for row in rows]).float()


def test_a_planted_tree_of_questions_is_found() -> None:
    table, bits = planted()
    chain = create("explainer", "information-pursuit").ask(table, bits)
    for row, asked in enumerate(chain.asked):
        root = int(bits[row, 0])
        assert asked == [0, 1 if root else 2]
    wanted = [int(2 * b[0] + (b[1] if b[0] else b[2])) for b in bits]
    assert chain.prediction == wanted
    fixed = create("explainer", "fixed-chain").ask(table, bits)
    assert all(len(one) >= 2 for one in fixed.asked) and fixed.prediction == wanted
    assert sum(map(len, fixed.asked)) > sum(map(len, chain.asked))


def random_table(seed: int) -> tuple[ExactTable, Tensor, Tensor]:
    """Three classes and four bits with a joint distribution of random numbers."""
    dice = torch.Generator().manual_seed(seed)
    joint = torch.rand(3, 16, generator=dice, dtype=torch.float64)
    joint /= joint.sum()
    bits = torch.tensor(list(product((0, 1), repeat=4))).float()
    rows = [(bits[k].int().tolist(), c, float(joint[c, k])) for c in range(3) for k in range(16)]
    return ExactTable.of(rows), joint, bits


@pytest.mark.parametrize("seed", range(3))
def test_the_belief_after_any_history_is_that_of_counting(seed: int) -> None:
    table, joint, bits = random_table(seed)
    for order in ((0, 1, 2, 3), (3, 1), (2, 0, 3)):
        for truth in bits:
            course = pursue(
                table, truth, in_order(order), Ending(most=len(order), least=0.0, sure=1.0)
            )
            for length in range(len(order) + 1):
                expected = torch.zeros(3, dtype=torch.float64)
                for c in range(3):
                    for k in range(16):
                        if all(bits[k, q] == truth[q] for q in order[:length]):
                            expected[c] += joint[c, k]
                assert_close(course.beliefs[length], expected / expected.sum(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(2))
def test_information_is_that_of_the_slow_sum(seed: int) -> None:
    table, _, bits = random_table(seed)
    known = KnownBits.nothing(4).with_answers(bits[5], torch.tensor([1]))
    answers, _ = table.answers(known, table.start(), 1)
    belief = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    for q, found in enumerate(information(answers, belief).tolist()):
        slow = 0.0
        for a in range(2):
            whole = sum(float(answers[y, q, a] * belief[y]) for y in range(3))
            for y in range(3):
                joint = float(answers[y, q, a] * belief[y])
                slow += joint * math.log(float(answers[y, q, a]) / whole) if joint else 0.0
        assert found == pytest.approx(slow, abs=1e-12)
    assert information(answers, belief)[1] == pytest.approx(0, abs=1e-12)  # it is known already


def test_patches_that_overlap_know_what_was_told_and_count_it_once() -> None:
    rows = [([a, b, c], (a + b + c) % 2, 1 / 8) for a, b, c in product((0, 1), repeat=3)]
    table = ExactTable.of(rows, Questions(torch.tensor([[0, 1], [1, 2]])))
    course = pursue(table, torch.tensor([1.0, 0.0, 1.0]), greedy, Ending(least=-1.0, sure=1.0))
    assert course.asked == [0, 1] and course.codes == [0b01, 0b10]
    assert course.gains == pytest.approx([0.0, math.log(2)], abs=1e-12)
    answers, _ = table.answers(
        KnownBits.nothing(3).with_answers(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0, 1])),
        table.start(),
        1,
    )
    assert_close(answers[:, 1, 1].sum() + answers[:, 1, 3].sum(), torch.tensor(0.0).double())


def independent(count: int, right: float = 0.8) -> ExactTable:
    """Two classes; each answer is right about them with the same probability, on its own."""
    share = torch.tensor([1 - right, right], dtype=torch.float64)
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
    return ExactTable.naive(prior, share[:, None].expand(2, count), Questions.single(count))


def test_no_question_is_asked_twice_and_the_chain_ends_when_all_are() -> None:
    for name in ("information-pursuit", "random-chain", "fixed-chain"):
        method = create("explainer", name, sure=1.0, least=0.0, seed=3)
        chain = method.ask(independent(9), torch.tensor([[1.0, 0.0] * 4 + [1.0]]))
        assert sorted(chain.asked[0]) == list(range(9)) and chain.reason == ["all asked"]


def test_it_is_sure_after_so_many_sure_steps_and_the_count_goes_down() -> None:
    bits = torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    method = create("explainer", "information-pursuit", sure=0.98, patience=2)
    chain = method.ask(independent(9), bits)
    highest = [max(belief) for belief in chain.posterior[0]]
    counts = [0]
    for belief in highest:
        counts.append(counts[-1] + 1 if belief >= 0.98 else max(0, counts[-1] - 1))
    assert len(chain.asked[0]) == counts.index(2) - 1 and chain.reason == ["sure"]


def test_it_ends_at_the_limit_at_a_small_entropy_and_when_no_question_tells_enough() -> None:
    bits = torch.ones(1, 9)
    for fields, reason in (
        ({"most": 3}, "limit reached"),
        ({"entropy": 0.3}, "certain"),
        ({"least": 0.1}, "nothing left to learn"),
        ({"most": 0}, "limit reached"),
    ):
        chain = create("explainer", "information-pursuit", **fields).ask(independent(9), bits)
        assert chain.reason == [reason], fields
        if "entropy" in fields:
            assert float(entropy(torch.tensor(chain.posterior[0][-1]))) <= 0.3
            assert float(entropy(torch.tensor(chain.posterior[0][-2]))) > 0.3


def test_answers_that_no_class_allows_are_a_stated_contradiction() -> None:
    table = ExactTable.of([((0, 0), 0, 0.5), ((1, 1), 1, 0.5)])
    course = pursue(table, torch.tensor([1.0, 0.0]), greedy, Ending(entropy=0.0, least=-1.0))
    assert course.reason == "certain"  # after one answer nothing was in doubt
    uneven = ExactTable.of([((0, 0), 0, 0.4), ((1, 1), 1, 0.4), ((1, 1), 2, 0.2)])
    told = pursue(uneven, torch.tensor([1.0, 0.0]), in_order((0, 1)), Ending(least=-1.0))
    assert told.reason == "contradiction" and told.asked == [0, 1]
    assert told.beliefs[-1].isfinite().all()


def test_what_cannot_be_asked_is_not_asked() -> None:
    bits = torch.tensor([[float("nan"), float("nan"), 1.0]])
    chain = create("explainer", "random-chain", least=0.0, sure=1.0).ask(exclusive_or(), bits)
    assert chain.asked == [[2]] and chain.reason == ["all asked"]


def test_words_of_a_text_are_questions_too() -> None:
    texts = {"sport": ["the team won", "a late goal won"], "weather": ["rain late", "the rain"]}
    words = ["goal", "rain", "team", "the", "won"]
    rows = [
        ([int(w in text.split()) for w in words], k, 0.25)
        for k, kind in enumerate(texts)
        for text in texts[kind]
    ]
    bits = torch.tensor([[int(w in ["rain", "stopped", "play"]) for w in words]]).float()
    chain = create("explainer", "information-pursuit").ask(
        ExactTable.of(rows), bits, questions=words, classes=list(texts)
    )
    assert chain.question(0, 0) == "rain" and chain.answers == [["yes"]]
    assert chain.classes[chain.prediction[0]] == "weather"


def test_bad_tables_and_fields_are_refused_with_what_is_expected() -> None:
    with pytest.raises(BadField, match=r"sum to 0\.5"):
        ExactTable.of([((0,), 0, 0.5)])
    with pytest.raises(ShapeError, match="same number of bits"):
        ExactTable.of([((0,), 0, 0.5), ((0, 1), 1, 0.5)])
    with pytest.raises(ShapeError, match="read 3 bits"):
        create("explainer", "information-pursuit").ask(exclusive_or(), torch.zeros(1, 2))
    for fields in ({"samples": 0}, {"step": 2.0}, {"sure": 0.0}, {"least": -0.1}, {"most": -1}):
        with pytest.raises(BadField):
            create("explainer", "information-pursuit", **fields)


def test_bayes_is_the_rule() -> None:
    found = bayes(torch.tensor([0.5, 0.5]), torch.tensor([0.2, 0.6]))
    assert_close(found, torch.tensor([0.25, 0.75]))
    assert bayes(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).isnan().all()


def test_a_class_that_never_occurs_is_never_believed_in() -> None:
    gap = ExactTable.of([((0,), 0, 0.5), ((1,), 2, 0.5)])
    chain = create("explainer", "information-pursuit").ask(gap, torch.tensor([[1.0]]))
    assert chain.posterior[0] == [[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]
    assert chain.gains[0] == pytest.approx([math.log(2)])
